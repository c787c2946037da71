//! Counters of the CPU and the kernel by `perf stat`, where they are to be had.
//!
//! Invariant: what cannot be counted is left out, and [`unavailable`] says why; a measurement never
//! fails for it.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// What is asked for. Virtual machines often have none of the first, containers none of the last.
const EVENTS: [&str; 9] = [
    "cycles",
    "instructions",
    "cache-misses",
    "branch-misses",
    "dTLB-load-misses",
    "context-switches",
    "cpu-migrations",
    "page-faults",
    "raw_syscalls:sys_enter",
];

/// The events that this machine counts.
pub fn available() -> &'static [&'static str] {
    static AVAILABLE: OnceLock<Vec<&'static str>> = OnceLock::new();
    AVAILABLE.get_or_init(|| {
        // One that is unknown makes perf refuse all, so each is tried alone.
        let works = |event: &&str| counted(&[*event], &["--", "true"]).contains_key(*event);
        EVENTS.into_iter().filter(works).collect()
    })
}

/// What is missing and why, for a report; `None` if nothing is.
#[must_use]
pub fn unavailable() -> Option<String> {
    let missing: Vec<&str> =
        EVENTS.into_iter().filter(|event| !available().contains(event)).collect();
    if missing.is_empty() {
        return None;
    }
    let why = match Command::new("perf").arg("--version").output() {
        Ok(output) if output.status.success() => "not counted on this machine",
        _ => "`perf` is not installed",
    };
    Some(format!("{why}: {}", missing.join(", ")))
}

/// Counts for threads of this process for a time; names begin with `perf.`.
#[must_use]
pub fn count_threads(threads: &[u32], time: Duration) -> BTreeMap<String, f64> {
    let ids: Vec<String> = threads.iter().map(u32::to_string).collect();
    count_for(&ids.join(","), time)
}

/// Counts for all threads of a process until it ends.
#[must_use]
pub fn count_until_end(process: u32) -> BTreeMap<String, f64> {
    if available().is_empty() {
        return BTreeMap::new();
    }
    let counts = counted(available(), &["-p", &process.to_string()]);
    counts.into_iter().map(|(name, value)| (format!("perf.{name}"), value)).collect()
}

fn count_for(whom: &str, time: Duration) -> BTreeMap<String, f64> {
    if available().is_empty() || whom.is_empty() {
        return BTreeMap::new();
    }
    let seconds = time.as_secs_f64().to_string();
    let mut counts = counted(available(), &["-t", whom, "--", "sleep", &seconds]);
    counts.insert("seconds".to_owned(), time.as_secs_f64());
    counts.into_iter().map(|(name, value)| (format!("perf.{name}"), value)).collect()
}

fn counted(events: &[&str], arguments: &[&str]) -> BTreeMap<String, f64> {
    let mut command = Command::new("perf");
    command.args(["stat", "-x", ";", "-e", &events.join(",")]).args(arguments);
    match command.env("LC_ALL", "C").output() {
        Ok(output) => parse(&String::from_utf8_lossy(&output.stderr)),
        Err(_) => BTreeMap::new(),
    }
}

/// Lines `value;unit;event;...`; events that were not counted have words for a value.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let mut words = line.split(';');
        let value = words.next()?.parse().ok()?;
        let event = words.nth(1)?;
        // Without the right to see the kernel perf counts user code alone, and says so behind a
        // colon.
        let event = EVENTS.into_iter().find(|known| event.starts_with(known))?;
        Some((event.to_owned(), value))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_was_not_counted_is_left_out() {
        let text = "<not supported>;;cycles;0;100.00;;\n12;;page-faults:u;1000;100.00;;\n\
                    7;;raw_syscalls:sys_enter;1000;100.00;;\nnonsense\n";
        let expected = [("page-faults", 12.0), ("raw_syscalls:sys_enter", 7.0)];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(parse(text), BTreeMap::from(expected));
    }

    #[test]
    fn counting_works_or_says_why_not() {
        // One thread that is busy: of one that sleeps perf counts nothing, and if one has ended, as
        // those of other tests do, it refuses all.
        let (stop, (tell, told)) = (AtomicBool::new(false), channel());
        let counts = std::thread::scope(|scope| {
            scope.spawn(|| {
                tell.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            });
            let busy = told.recv().unwrap();
            let busy = busy.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let counts = count_threads(&[busy], Duration::from_millis(50));
            stop.store(true, Ordering::Relaxed);
            counts
        });
        if available().is_empty() {
            assert!(counts.is_empty() && unavailable().is_some());
        } else {
            assert!(counts.len() == available().len() + 1, "{counts:?}");
        }
        assert!(count_threads(&[], Duration::ZERO).is_empty());
    }
}
