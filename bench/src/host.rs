//! What the machine is, and what it does besides the benchmark.
//!
//! Invariant: looking never fails a benchmark: what the kernel does not show is left empty or 0.
//!
//! ```
//! use corelane_bench::host::{Snapshot, machine};
//! let before = Snapshot::take();
//! assert!(machine().cpus > 0);
//! let during = Snapshot::take().since(&before, "during");
//! assert_eq!(during.cpus.len(), machine().cpus);
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corelane::doctor::{self, Cpus};
use corelane::sys::affinity;

use crate::results::{CpuState, Machine, MachineState, SpinGaps};

/// One tick of `/proc/stat`: the kernel counts in hundredths of a second for everyone.
const TICK_NS: u64 = 10_000_000;
/// What of the kernel's command line bears on latency.
const ISOLATION: [&str; 5] = ["isolcpus", "nohz_full", "rcu_nocbs", "idle", "mitigations"];
/// Settings worth knowing, and where they stand.
const SETTINGS: [(&str, &str); 5] = [
    ("net.core.rmem_max", "/proc/sys/net/core/rmem_max"),
    ("net.core.busy_poll", "/proc/sys/net/core/busy_poll"),
    ("kernel.numa_balancing", "/proc/sys/kernel/numa_balancing"),
    ("transparent_hugepage", "/sys/kernel/mm/transparent_hugepage/enabled"),
    ("smt", "/sys/devices/system/cpu/smt/control"),
];

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Nanoseconds since the epoch.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// This machine.
#[must_use]
pub fn machine() -> Machine {
    let cpuinfo = text("/proc/cpuinfo");
    let value = |key: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(key));
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
    };
    let meminfo = text("/proc/meminfo");
    let kib = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    let cmdline = text("/proc/cmdline");
    let isolation = cmdline
        .split_whitespace()
        .filter(|argument| ISOLATION.iter().any(|name| argument.split('=').next() == Some(name)));
    let settings = SETTINGS.iter().map(|(name, path)| ((*name).to_owned(), text(path)));
    Machine {
        cpu_model: value("model name"),
        cpus: Counts::all().len(),
        cpus_allowed: affinity::allowed().unwrap_or_default(),
        kernel: text("/proc/sys/kernel/osrelease"),
        hypervisor: hypervisor(&value("flags")),
        governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        clocksource: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        memory_bytes: kib.unwrap_or(0) * 1_024,
        isolation: isolation.collect::<Vec<_>>().join(" "),
        settings: settings.filter(|(_, value)| !value.is_empty()).collect(),
    }
}

/// The hypervisor by the clock that it offers; empty on bare metal.
fn hypervisor(flags: &str) -> String {
    let clocks = text("/sys/devices/system/clocksource/clocksource0/available_clocksource");
    let known = [("kvm-clock", "kvm"), ("hyperv", "hyperv"), ("xen", "xen")];
    match known.iter().find(|(clock, _)| clocks.contains(clock)) {
        Some((_, name)) => (*name).to_owned(),
        None if flags.split_whitespace().any(|flag| flag == "hypervisor") => {
            "unknown hypervisor".to_owned()
        }
        None => String::new(),
    }
}

/// What the kernel counted of one CPU since it was started.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Ticks in which it did anything at all.
    pub busy: u64,
    /// Ticks that the hypervisor gave to somebody else.
    pub steal: u64,
    /// Local timer interrupts.
    pub timer: u64,
    /// TLB shootdowns.
    pub tlb: u64,
    /// All other interrupts.
    pub other: u64,
}

impl Counts {
    fn all() -> BTreeMap<usize, Self> {
        let mut counts = BTreeMap::new();
        add_stat(&text("/proc/stat"), &mut counts);
        add_interrupts(&text("/proc/interrupts"), &mut counts);
        counts
    }
}

/// Adds the lines `cpuN user nice system idle iowait irq softirq steal ...`.
fn add_stat(stat: &str, counts: &mut BTreeMap<usize, Counts>) {
    for line in stat.lines() {
        let mut words = line.split_whitespace();
        let cpu = words.next().and_then(|word| word.strip_prefix("cpu")?.parse().ok());
        let Some(cpu) = cpu else { continue };
        let ticks: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        let tick = |place: usize| ticks.get(place).copied().unwrap_or(0);
        let count: &mut Counts = counts.entry(cpu).or_default();
        count.busy = [0, 1, 2, 5, 6].into_iter().map(tick).sum();
        count.steal = tick(7);
    }
}

/// Adds the table whose head names the CPUs and whose rows are interrupts.
fn add_interrupts(interrupts: &str, counts: &mut BTreeMap<usize, Counts>) {
    let mut lines = interrupts.lines();
    let head = lines.next().unwrap_or_default().split_whitespace();
    let cpus: Vec<usize> = head.filter_map(|cpu| cpu.strip_prefix("CPU")?.parse().ok()).collect();
    for line in lines {
        let Some((label, rest)) = line.trim_start().split_once(':') else { continue };
        for (&cpu, word) in cpus.iter().zip(rest.split_whitespace()) {
            // Rows of a single total, such as ERR, come with one number and are no CPU's.
            let Ok(value) = word.parse::<u64>() else { break };
            let count = counts.entry(cpu).or_default();
            match label {
                "LOC" => count.timer += value,
                "TLB" => count.tlb += value,
                "ERR" | "MIS" => {}
                _ => count.other += value,
            }
        }
    }
}

/// All CPUs at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    at_ns: u64,
    cpus: BTreeMap<usize, Counts>,
}

impl Snapshot {
    /// Now.
    #[must_use]
    pub fn take() -> Self {
        Self { at_ns: now_ns(), cpus: Counts::all() }
    }

    /// What happened since an earlier one.
    #[must_use]
    pub fn since(&self, earlier: &Self, when: &str) -> MachineState {
        let cpu = |(&cpu, now): (&usize, &Counts)| {
            let then = earlier.cpus.get(&cpu).copied().unwrap_or(*now);
            CpuState {
                cpu,
                steal_ns: now.steal.saturating_sub(then.steal) * TICK_NS,
                busy_ns: now.busy.saturating_sub(then.busy) * TICK_NS,
                timer_interrupts: now.timer.saturating_sub(then.timer),
                tlb_shootdowns: now.tlb.saturating_sub(then.tlb),
                other_interrupts: now.other.saturating_sub(then.other),
                spin: None,
            }
        };
        MachineState {
            when: when.to_owned(),
            start_ns: earlier.at_ns,
            span_ns: self.at_ns.saturating_sub(earlier.at_ns),
            load: text("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
            cpus: self.cpus.iter().map(cpu).collect(),
        }
    }
}

/// Steal of all CPUs so far in `/proc/stat`, nanoseconds.
pub(crate) fn steal_ns(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or_default();
    let steal = line.split_whitespace().nth(8).and_then(|ticks| ticks.parse::<u64>().ok());
    steal.unwrap_or(0) * TICK_NS
}

/// Spins on all of `cpus` at once for `time` and says what became of it.
///
/// # Errors
/// If a CPU is not to be had.
pub fn spin(cpus: &[usize], time: Duration, when: &str) -> anyhow::Result<MachineState> {
    let before = Snapshot::take();
    let noise = doctor::spin_gaps(&Cpus::from_iter(cpus.iter().copied()), time);
    let noise = noise.map_err(anyhow::Error::msg)?;
    let mut state = Snapshot::take().since(&before, when);
    for seen in noise {
        let gaps = SpinGaps {
            wall_ns: seen.wall_ns,
            lost_ns: seen.lost_ns,
            gaps: seen.gaps,
            max_ns: seen.max_ns,
        };
        if let Some(cpu) = state.cpus.iter_mut().find(|cpu| cpu.cpu == seen.cpu) {
            cpu.spin = Some(gaps);
        }
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  30 0 20 100 5 1 2 7 0 0\ncpu0 10 1 10 50 5 1 1 4 0 0\n\
                        cpu1 20 0 10 50 0 0 1 3 0 0\nintr 9 9\n";
    const INTERRUPTS: &str = "           CPU0       CPU1\n  4:        10          1  IO-APIC\n\
                              LOC:      1000       2000   Local timer interrupts\n\
                              TLB:        12         13   TLB shootdowns\nERR:          5\n";

    #[test]
    fn the_kernels_tables_are_read() {
        let mut counts = BTreeMap::new();
        add_stat(STAT, &mut counts);
        add_interrupts(INTERRUPTS, &mut counts);
        let first = Counts { busy: 23, steal: 4, timer: 1_000, tlb: 12, other: 10 };
        assert_eq!(counts[&0], first);
        assert_eq!((counts[&1].steal, counts[&1].timer, counts[&1].other), (3, 2_000, 1));
        assert_eq!(counts.len(), 2);
        assert_eq!(steal_ns(STAT), 7 * TICK_NS);
    }

    #[test]
    fn a_spinning_thread_sees_its_gaps() {
        let cpu = affinity::allowed().unwrap()[0];
        let state = spin(&[cpu], Duration::from_millis(5), "before").unwrap();
        let seen = state.cpus.iter().find(|state| state.cpu == cpu).unwrap().spin.unwrap();
        assert!(seen.wall_ns >= 5_000_000 && seen.lost_ns <= seen.wall_ns, "{seen:?}");
        assert_eq!(state.when, "before");
        assert!(state.cpus.iter().filter(|state| state.spin.is_some()).count() == 1);
        assert!(spin(&[9_000], Duration::from_millis(1), "before").is_err());
    }
}
