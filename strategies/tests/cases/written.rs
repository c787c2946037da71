//! Rules that are written by hand, by the id of their case.
//!
//! `written.sql` is in sections: `-- case ID`, then rules and actions; or, in place of rules,
//! `-- not expressible: why`. `-- columns: a b` names the columns of the action where a case tells
//! rows by name, `-- lateness: 2s` is that of its streams, `-- end` lets an hour pass after the
//! last event.

use crate::Job;
use crate::run::End;

const WRITTEN: &str = include_str!("written.sql");

/// A case's rules, if they are written here.
pub(crate) fn job(id: &str) -> Option<Result<Job, String>> {
    let mut section = None;
    for part in WRITTEN.split("\n-- case ").skip(1) {
        let (ids, text) = part.split_once('\n').unwrap_or((part, ""));
        if ids.split_whitespace().any(|known| known == id) {
            section = Some(text);
        }
    }
    let text = section?;
    let note = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    if let Some(why) = note("-- not expressible: ") {
        return Some(Err(why.to_owned()));
    }
    let columns = note("-- columns: ").unwrap_or_default();
    let end = if note("-- end").is_some() { End::HourLater } else { End::Open };
    Some(Ok(Job {
        text: text.to_owned(),
        lateness: note("-- lateness: ").unwrap_or("0s").to_owned(),
        columns: columns.split_whitespace().map(str::to_owned).collect(),
        end,
    }))
}
