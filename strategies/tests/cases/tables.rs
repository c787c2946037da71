//! Cases whose input is tables: rows as events in the order of their times, results as texts.

use serde_json::{Map, Value, json};

use crate::run::Stream;

/// The column that is the time of a row.
const TIME: &str = "date_time";

/// Days since 1970 of a date: <https://howardhinnant.github.io/date_algorithms.html>.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, in_era) = (year.div_euclid(400), year.rem_euclid(400));
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719_468
}

/// Milliseconds since 1970 of a text as `2015-07-15 00:00:20.163`.
fn time(text: &str) -> Option<i64> {
    let numbers: Option<Vec<i64>> =
        text.split(['-', ' ', ':', '.']).map(|part| part.parse().ok()).collect();
    let numbers = numbers?;
    let [year, month, day, hour, minute, second, rest @ ..] = numbers.as_slice() else {
        return None;
    };
    let ms = match (rest, text.split_once('.')) {
        ([], _) => 0,
        ([fraction], Some((_, digits))) => fraction * 1_000 / 10_i64.pow(digits.len() as u32),
        _ => return None,
    };
    let hours = days(*year, *month, *day) * 24 + hour;
    Some(((hours * 60 + minute) * 60 + second) * 1_000 + ms)
}

/// A time as the tables write it.
pub(crate) fn written(ms: i64) -> String {
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (mut year, mut month, mut day) = (1970, 1, 1);
    // The dates of tables are near each other: the first is looked for a day at a time.
    while self::days(year, month, day) < days {
        day += 1;
        if self::days(year, month, day) == self::days(year, month + 1, 1) && month < 12 {
            (month, day) = (month + 1, 1);
        } else if month == 12 && day == 32 {
            (year, month, day) = (year + 1, 1, 1);
        }
    }
    let (seconds, ms) = (in_day / 1_000, in_day % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let fraction = if ms == 0 { String::new() } else { format!(".{ms:03}") };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}")
}

/// A case of a query over tables.
pub(crate) fn case(query: &Value, tables: &Value) -> Value {
    let mut events: Vec<(i64, Value)> = Vec::new();
    for (stream, rows) in tables.as_object().into_iter().flatten() {
        for row in rows.as_array().into_iter().flatten() {
            let at = row[TIME].as_str().and_then(time).unwrap_or(0);
            let mut fields: Map<String, Value> = row.as_object().cloned().unwrap_or_default();
            fields.remove(TIME);
            for value in fields.values_mut() {
                if let Some(text) = value.as_str().filter(|text| time(text).is_some()) {
                    *value = text.replace(' ', "T").into();
                }
            }
            events.push((at, json!({ "t_ms": at, "stream": stream, "fields": fields })));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    let events: Vec<Value> = events.into_iter().map(|(_, event)| event).collect();
    let expected = json!({ "mode": "multiset", "rows_text": query["expected_rows_text"] });
    json!({
        "id": query["id"], "query": query, "tables": true, "events": events, "expected": expected,
    })
}

/// The streams of tables with the columns that rules name: a stream need not have others.
pub(crate) fn streams(streams: Vec<Stream>, events: &[Value], text: &str) -> Vec<Stream> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let named = |column: &str| text.split(|c| !is_word(c)).any(|word| word == column);
    let is_read = |stream: &str| {
        let mut reads = ["FROM", "JOIN"].iter().flat_map(|before| text.split(before).skip(1));
        reads.any(|read| read.trim_start().split(|c| !is_word(c)).next() == Some(stream))
    };
    let typed = |stream: &str, column: &str| {
        let own = events.iter().filter(|event| event["stream"] == stream);
        let texts: Vec<&str> = own.filter_map(|event| event["fields"][column].as_str()).collect();
        let is_time = texts.iter().all(|text| time(&text.replace('T', " ")).is_some());
        let longest = texts.iter().map(|text| text.len()).max()?;
        let kind = if is_time { "TIMESTAMP(9)".into() } else { format!("VARCHAR({longest})") };
        Some(&*Box::leak(kind.into_boxed_str()))
    };
    let fitted = streams.into_iter().map(|Stream { name, columns }| {
        let columns = columns.into_iter().filter(|(column, _)| is_read(&name) && named(column));
        let columns = columns.map(|(column, kind)| {
            let kind = typed(&name, &column).unwrap_or(kind);
            (column, kind)
        });
        Stream { columns: columns.collect(), name: name.clone() }
    });
    fitted.collect()
}

/// Whether two rows of values between blanks are the same, numbers within a millionth.
pub(crate) fn is_like(found: &str, wanted: &str) -> bool {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (found, wanted) = (words(found), words(wanted));
    let same = |(a, b): (&String, &String)| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1e-6 * a.abs().max(b.abs()),
        _ => a == b,
    };
    found.len() == wanted.len() && found.iter().zip(&wanted).all(same)
}

/// A row as a text.
pub(crate) fn row(values: &[Value]) -> String {
    let text = |value: &Value| match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    values.iter().map(text).collect::<Vec<_>>().join("\t")
}
