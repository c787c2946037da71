//! Rules that are written by hand, by the id of their case.
//!
//! `written.sql` is in sections: `-- case ID`, then rules and actions; or, in place of rules,
//! `-- not expressible: why`. `-- columns: a b` names the columns of the action where a case tells
//! rows by name, `-- lateness: 2s` is that of its streams, `-- end` lets an hour pass after the
//! last event, `-- end: days` two days. `-- time: t` names the field that is a row's event time
//! where it has one; `-- watermarks: 60` says that the case's watermarks are those of streams with
//! so many milliseconds of lateness, which nothing else moves; `-- answer: rows_x` which of several
//! answers it is to give.

use crate::Job;
use crate::run::End;

const WRITTEN: &str = include_str!("written.sql");

/// How a case's events come.
#[derive(Default)]
pub(crate) struct Setting {
    /// The field that is a row's event time.
    pub(crate) time: Option<String>,
    /// Watermarks are told for streams of this lateness, milliseconds.
    pub(crate) watermarks: Option<u64>,
}

/// How the events of a case come, as is written here.
pub(crate) fn setting(id: &str) -> Setting {
    let Some(text) = section(id) else { return Setting::default() };
    let watermarks = note(text, "-- watermarks: ").and_then(|ms| ms.parse().ok());
    Setting { time: note(text, "-- time: ").map(str::to_owned), watermarks }
}

fn note<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(start))
}

fn section(id: &str) -> Option<&'static str> {
    let mut section = None;
    for part in WRITTEN.split("\n-- case ").skip(1) {
        let (ids, text) = part.split_once('\n').unwrap_or((part, ""));
        if ids.split_whitespace().any(|known| known == id) {
            section = Some(text);
        }
    }
    section
}

/// A case's rules, if they are written here.
pub(crate) fn job(id: &str) -> Option<Result<Job, String>> {
    let text = section(id)?;
    let note = |start| note(text, start);
    if let Some(why) = note("-- not expressible: ") {
        return Some(Err(why.to_owned()));
    }
    let columns = note("-- columns: ").unwrap_or_default();
    let end = match note("-- end") {
        Some(days) if days.contains("days") => End::DaysLater,
        Some(_) => End::HourLater,
        None => End::Open,
    };
    Some(Ok(Job {
        lateness: note("-- lateness: ").unwrap_or("0s").to_owned(),
        columns: columns.split_whitespace().map(str::to_owned).collect(),
        answer: note("-- answer: ").map(str::to_owned),
        ..Job::new(text.to_owned(), end)
    }))
}
