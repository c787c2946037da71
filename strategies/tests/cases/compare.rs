//! What rules did against what a case expects, in the case's mode.

use serde_json::{Map, Value, json};

use crate::run::{Done, Told, events};
use crate::{Job, tables};

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

/// Rows told as texts, in any order.
fn compare_texts(rows: &[Value], told: &[Told]) -> Result<(), String> {
    let mut found: Vec<String> = told.iter().map(|told| tables::row(&told.row)).collect();
    let count = found.len();
    for wanted in rows.iter().filter_map(Value::as_str) {
        let at = found.iter().position(|found| tables::is_like(found, wanted));
        let Some(at) = at else { return Err(format!("no {wanted} among {found:?}")) };
        found.swap_remove(at);
    }
    if found.is_empty() { Ok(()) } else { Err(format!("of {count} rows, too many: {found:?}")) }
}

/// What is new and what is old at each time, or with each event. The rows of one time have no
/// order; a time at which there are none is not told.
fn compare_changes(case: &Value, rows: &[Value], told: &[Told]) -> Result<(), String> {
    type Change = (Value, [Vec<Value>; 2]);
    let add = |all: &mut Vec<Change>, at: Value, side: usize, row: Value| {
        let last = all.last_mut().filter(|(last, _)| *last == at);
        match last {
            Some((_, sides)) => sides[side].push(row),
            None => {
                let mut sides = [vec![], vec![]];
                sides[side].push(row);
                all.push((at, sides));
            }
        }
    };
    let (mut wanted, mut found): (Vec<Change>, Vec<Change>) = (vec![], vec![]);
    for row in rows {
        let at = row.get("t_ms").or_else(|| row.get("on")).cloned().unwrap_or_default();
        for (side, name) in ["new", "old"].iter().enumerate() {
            for value in row[name].as_array().into_iter().flatten() {
                let value = if value.is_array() { value.clone() } else { json!([value]) };
                add(&mut wanted, at.clone(), side, value);
            }
        }
    }
    for Told { on, row } in told {
        let event = on.and_then(|at| events(case).get(at));
        let (at, rest) = match row.split_first() {
            Some((at, rest)) if at.is_number() => (at.clone(), rest),
            _ => (event.map_or(Value::Null, |event| event["id"].clone()), &row[..]),
        };
        let Some((what, values)) = rest.split_first() else { continue };
        add(&mut found, at, usize::from(*what == "old"), values.to_vec().into());
    }
    let same = |(found, wanted): (&Change, &Change)| {
        found.0 == wanted.0
            && (0..2).all(|side| is_same(found.1[side].clone(), &wanted.1[side], false))
    };
    if found.len() == wanted.len() && found.iter().zip(&wanted).all(same) {
        return Ok(());
    }
    Err(format!("{found:?} instead of {wanted:?}"))
}

/// The windows of every event as rows: its time, begin and end.
fn windows(case: &Value) -> Option<Vec<Value>> {
    let all = case["expected"]["windows_per_event"].as_array()?;
    let rows = events(case).iter().zip(all).flat_map(|(event, windows)| {
        let windows = windows.as_array().into_iter().flatten();
        windows.map(|window| json!([event["t_ms"], window[0], window[1]]))
    });
    Some(rows.collect())
}

pub(crate) fn compare(case: &Value, job: &Job, done: &Done) -> Result<(), String> {
    let told = done.told.as_slice();
    let expected = &case["expected"];
    if expected["error"] == true {
        let why = "no error is counted, and one is expected";
        return if done.has_failed { Ok(()) } else { Err(why.to_owned()) };
    }
    // Where the order of some rows is left open, that of all is.
    let is_open = case["notes"].as_str().is_some_and(|notes| notes.contains("are a set"));
    let is_open = is_open || expected.get("windows_per_event").is_some();
    let ordered = expected["mode"] == "ordered" && !is_open;
    if let Some(rows) = expected["rows_text"].as_array() {
        return compare_texts(rows, told);
    }
    let id_of = |told: &Told| {
        let event = told.on.and_then(|at| events(case).get(at));
        event.map_or(Value::Null, |event| event["id"].clone())
    };
    let all = |key: &str| expected[key].as_array().cloned();
    if let Some(rows) = all("rows").filter(|rows| rows.iter().any(|row| row.get("new").is_some())) {
        return compare_changes(case, &rows, told);
    }
    let ours = job.answer.as_deref().and_then(all);
    let rows = ours.or_else(|| all("rows")).or_else(|| all("rows_iso")).or_else(|| all("matches"));
    let rows = rows.or_else(|| windows(case));
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
        let time_of = |told: &Told| told.on.and_then(|at| events(case).get(at)?["t_ms"].as_u64());
        let row =
            |told: &Told| json!({ "on": id_of(told), "t_ms": time_of(told), "row": told.row });
        (told.iter().map(row).collect(), rows)
    } else {
        (told.iter().map(|told| told.row.clone().into()).collect(), rows)
    };
    if is_same(found.clone(), &wanted, ordered) {
        return Ok(());
    }
    Err(format!("{} instead of {}", short(&found), short(&wanted)))
}
