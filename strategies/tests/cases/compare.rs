//! What rules did against what a case expects, in the case's mode.

use serde_json::{Map, Value, json};

use crate::Job;
use crate::run::{Told, events};

/// Numbers are equal within what single precision, which some sources use, can tell apart. Of what
/// is told by name, sources look at some: what `b` does not name is not compared.
fn is_like(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            b.iter().all(|(name, b)| is_like(a.get(name).unwrap_or(&Value::Null), b))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_like(a, b))
        }
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * a.abs().max(b.abs()),
            _ => a == b,
        },
    }
}

fn is_same(mut found: Vec<Value>, expected: &[Value], ordered: bool) -> bool {
    if found.len() != expected.len() {
        return false;
    }
    if ordered {
        return found.iter().zip(expected).all(|(found, expected)| is_like(found, expected));
    }
    expected.iter().all(|row| {
        let at = found.iter().position(|found| is_like(found, row));
        at.map(|at| found.swap_remove(at)).is_some()
    })
}

/// An event, and what is told by name.
fn bound(on: &Value, bind: impl Iterator<Item = (String, Value)>) -> Value {
    let bind: Map<String, Value> = bind.filter(|(_, value)| !value.is_null()).collect();
    json!({ "on": on, "bind": bind })
}

fn short(rows: &[Value]) -> String {
    let text: Vec<String> = rows.iter().map(Value::to_string).collect();
    text.join(" ")
}

pub(crate) fn compare(case: &Value, job: &Job, told: &[Told]) -> Result<(), String> {
    let expected = &case["expected"];
    let ordered = expected["mode"] == "ordered";
    let id_of = |told: &Told| {
        let event = told.on.and_then(|at| events(case).get(at));
        event.map_or(Value::Null, |event| event["id"].clone())
    };
    let all = |key: &str| expected[key].as_array().cloned();
    let rows = all("rows").or_else(|| all("rows_iso")).or_else(|| all("matches"));
    let rows = rows.ok_or("what is expected is no rows")?;
    let by_name = rows.iter().any(|row| row.get("bind").is_some());
    let (found, wanted): (Vec<Value>, Vec<Value>) = if by_name || !job.columns.is_empty() {
        let named = |told: &Told| {
            let bind = job.columns.iter().cloned().zip(told.row.iter().cloned());
            bound(&id_of(told), bind)
        };
        let wanted = |row: &Value| {
            let on = if row["on_event"].is_null() { &row["on"] } else { &row["on_event"] };
            json!({ "on": on, "bind": row["bind"] })
        };
        (told.iter().map(named).collect(), rows.iter().map(wanted).collect())
    } else if expected.get("matches").is_some() {
        // The events of a match, in order.
        let events = |told: &Told| {
            told.row.iter().filter(|value| !value.is_null()).cloned().collect::<Vec<_>>().into()
        };
        (told.iter().map(events).collect(), rows)
    } else if rows.iter().any(|row| row.get("row").is_some()) {
        let row = |told: &Told| json!({ "on": id_of(told), "row": told.row });
        (told.iter().map(row).collect(), rows)
    } else {
        (told.iter().map(|told| told.row.clone().into()).collect(), rows)
    };
    if is_same(found.clone(), &wanted, ordered) {
        return Ok(());
    }
    Err(format!("{} instead of {}", short(&found), short(&wanted)))
}
