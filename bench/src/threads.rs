//! What became of the time of a process's threads: running, waiting for a CPU, switched away,
//! faulting; and what interrupted their CPUs meanwhile.
//!
//! Invariant: only differences between two readings are reported; a thread that began in between
//! counts from its beginning, one that ended is missing.
//!
//! ```
//! use corelane_bench::threads::Watch;
//! let watch = Watch::begin(None);
//! // The kernel counts with its ticks: this thread is seen after the next one.
//! while watch.so_far().is_empty() {}
//! assert!(watch.end()[0].running_ns > 0);
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::host::Snapshot;
use crate::results::ThreadUse;

/// Positions behind the name in `/proc/PID/stat`. [proc_pid_stat(5)]
const MINFLT: usize = 7;
const MAJFLT: usize = 9;
const PROCESSOR: usize = 36;

/// What the kernel counted of one thread.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Counts {
    name: String,
    cpu: usize,
    running_ns: u64,
    waiting_ns: u64,
    voluntary: u64,
    involuntary: u64,
    minor: u64,
    major: u64,
}

/// Threads that are watched.
#[derive(Debug)]
pub struct Watch {
    tasks: PathBuf,
    begun: Instant,
    threads: BTreeMap<u32, Counts>,
    cpus: Snapshot,
}

impl Watch {
    /// Watches the threads of a process from now on; of this one without an id.
    #[must_use]
    pub fn begin(process: Option<u32>) -> Self {
        let tasks = tasks(process);
        let threads = read_all(&tasks);
        Self { tasks, begun: Instant::now(), threads, cpus: Snapshot::take() }
    }

    /// What they did meanwhile: those that ran at all, the busiest first.
    #[must_use]
    pub fn end(self) -> Vec<ThreadUse> {
        self.so_far()
    }

    /// What they did until now.
    #[must_use]
    pub fn so_far(&self) -> Vec<ThreadUse> {
        let wall_ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let cpus = Snapshot::take().since(&self.cpus, "during").cpus;
        let mut used = Vec::new();
        for (id, now) in read_all(&self.tasks) {
            let then = self.threads.get(&id).cloned().unwrap_or_default();
            let cpu = cpus.iter().find(|state| state.cpu == now.cpu);
            let interrupts = |of: fn(&crate::results::CpuState) -> u64| cpu.map_or(0, of);
            used.push(ThreadUse {
                cpu: now.cpu,
                wall_ns,
                running_ns: now.running_ns.saturating_sub(then.running_ns),
                waiting_ns: now.waiting_ns.saturating_sub(then.waiting_ns),
                busy_share: None,
                switches_voluntary: now.voluntary.saturating_sub(then.voluntary),
                switches_involuntary: now.involuntary.saturating_sub(then.involuntary),
                faults_minor: now.minor.saturating_sub(then.minor),
                faults_major: now.major.saturating_sub(then.major),
                timer_interrupts: interrupts(|cpu| cpu.timer_interrupts),
                tlb_shootdowns: interrupts(|cpu| cpu.tlb_shootdowns),
                other_interrupts: interrupts(|cpu| cpu.other_interrupts),
                name: now.name,
            });
        }
        used.retain(|thread| thread.running_ns > 0);
        used.sort_by_key(|thread| std::cmp::Reverse(thread.running_ns));
        used
    }
}

fn tasks(process: Option<u32>) -> PathBuf {
    let process = process.map_or_else(|| "self".to_owned(), |id| id.to_string());
    Path::new("/proc").join(process).join("task")
}

/// Ids of this process's threads whose names begin so.
pub(crate) fn named(prefixes: &[&str]) -> Vec<(u32, String)> {
    let threads = read_all(&tasks(None)).into_iter();
    let named = threads.map(|(id, counts)| (id, counts.name));
    named.filter(|(_, name)| prefixes.iter().any(|prefix| name.starts_with(prefix))).collect()
}

fn read_all(tasks: &Path) -> BTreeMap<u32, Counts> {
    let entries = fs::read_dir(tasks).into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| Some((id, read(&tasks.join(id.to_string()))?))).collect()
}

fn read(task: &Path) -> Option<Counts> {
    let file = |name: &str| fs::read_to_string(task.join(name)).ok();
    let mut counts = Counts::of_stat(&file("stat")?)?;
    // Kernels without scheduler statistics have no such file: running time is then unknown.
    let schedstat = file("schedstat").unwrap_or_default();
    (counts.running_ns, counts.waiting_ns) = of_schedstat(&schedstat);
    let status = file("status")?;
    let switches = |key: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(key));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    counts.voluntary = switches("voluntary_ctxt_switches:");
    counts.involuntary = switches("nonvoluntary_ctxt_switches:");
    Some(counts)
}

/// Nanoseconds that a thread ran, and that it waited for a CPU, of `/proc/.../schedstat`.
pub(crate) fn of_schedstat(text: &str) -> (u64, u64) {
    let mut words = text.split_whitespace().map(|word| word.parse().unwrap_or(0));
    (words.next().unwrap_or(0), words.next().unwrap_or(0))
}

impl Counts {
    fn of_stat(text: &str) -> Option<Self> {
        let (head, tail) = text.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        let words: Vec<&str> = tail.split_whitespace().collect();
        let number = |place: usize| words.get(place).and_then(|word| word.parse::<u64>().ok());
        Some(Self {
            name,
            cpu: number(PROCESSOR)? as usize,
            minor: number(MINFLT)?,
            major: number(MAJFLT)?,
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read_whatever_the_name() {
        let line = "42 (odd) (name) S 1 1 1 0 -1 4194560 123 0 7 0 1 2 0 0 20 0 1 0 99 1000 10 \
                    18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0";
        let counts = Counts::of_stat(line).unwrap();
        assert_eq!((counts.name.as_str(), counts.cpu), ("odd) (name", 1));
        assert_eq!((counts.minor, counts.major), (123, 7));
        assert_eq!(of_schedstat("1000 20 3\n"), (1_000, 20));
        assert_eq!(of_schedstat(""), (0, 0));
        assert_eq!(Counts::of_stat("nothing"), None);
    }

    #[test]
    fn a_thread_that_works_is_seen_working() {
        let watch = Watch::begin(None);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let worker = std::thread::Builder::new().name("bench-worker".into()).spawn(move || {
            let begin = crate::stat::thread_cpu_ns();
            while crate::stat::thread_cpu_ns() - begin < 5e6 {}
            ready.send(()).unwrap();
            let _ = stopped.recv();
        });
        is_ready.recv().unwrap();
        let found = named(&["bench-work"]);
        let used = watch.end();
        drop(stop);
        worker.unwrap().join().unwrap();
        assert_eq!(found.len(), 1);
        let thread = used.iter().find(|thread| thread.name == "bench-worker").unwrap();
        assert!(thread.running_ns >= 4_000_000, "{thread:?}");
    }
}
