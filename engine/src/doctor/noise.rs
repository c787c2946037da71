//! How quiet the hot cores are: a thread spins on each and sees when it was taken away.
//!
//! Invariant: all cores spin at the same time, as they will in a run: what one does to the next
//! (siblings, a hypervisor that has fewer cores than it promised) is part of the figure.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cpuset::Cpus;
use super::host::Host;
use super::{Check, Fix, Judged, Verdict, settle};
use crate::sys::affinity;

/// Two readings of the clock further apart than this are a gap: the loop itself takes 20 ns.
const GAP_NS: u64 = 1_000;
/// A gap that a tail latency shows.
const LONG_NS: u64 = 50_000;
/// A gap in which a burst overflows small buffers.
const STALL_NS: u64 = 1_000_000;
/// Steal beyond this share of all time is a host that is overbooked: one in a thousand.
const STEAL_PER_MILLE: u64 = 1;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "noise",
        title: "gaps in a spinning thread, 2 s on each hot core",
        wanted: "no gap over 50 us, less than 0.1 % of the time lost",
        why: "whatever is wrong above ends up here: time in which a hot core did not run us",
        effect: "each 4 ms timer tick cost 25-55 us and set p99.9 of anything near 10 us; a core \
                 that disk interrupts also use lost 7.1 % of its time, the other one 1.4 %",
        source: "measured on a two-core VM (tuning/README.md); the method is that of sysjitter \
                 and of the kernel's osnoise tracer",
        fix: Fix::Hand(
            "what is bad or warn above; on bare metal then BIOS power settings and SMIs",
        ),
        judge: |host| settle(spin_gaps(host)),
    },
    Check {
        id: "steal",
        title: "time that the hypervisor gave to others",
        wanted: "none on hot cores since boot",
        why: "a virtual CPU that waits for a real one stops for milliseconds, and no setting of \
              the guest changes that",
        effect: "gaps over 1 ms came 0.2-2 times a second on a shared host, the longest 28 ms",
        source: "measured on a two-core VM (tuning/README.md); proc(5), /proc/stat, steal",
        fix: Fix::Hand("dedicated or metal instances, or pinned virtual CPUs"),
        judge: |host| settle(steal(host)),
    },
];

/// What was seen on one CPU.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Noise {
    /// The CPU.
    pub cpu: usize,
    /// How long a thread spun on it.
    pub wall_ns: u64,
    /// How much of that it was taken away, in gaps over a microsecond.
    pub lost_ns: u64,
    /// Gaps over a microsecond.
    pub gaps: u64,
    /// Those over 50 us.
    pub gaps_long: u64,
    /// The longest.
    pub max_ns: u64,
}

/// Spins on every one of `cpus` at once for `time`.
///
/// # Errors
/// If a CPU is not to be had; says which.
pub fn measure(cpus: &Cpus, time: Duration) -> Result<Vec<Noise>, String> {
    let start = Barrier::new(cpus.0.len());
    thread::scope(|scope| {
        let spin = |cpu: usize| {
            let start = &start;
            scope.spawn(move || {
                let pinned = affinity::pin(cpu);
                start.wait();
                pinned.map_err(|error| error.to_string()).map(|()| spin(cpu, time))
            })
        };
        let threads: Vec<_> = cpus.0.iter().map(|&cpu| spin(cpu)).collect();
        let ends = threads.into_iter();
        ends.map(|end| end.join().map_err(|_| "a spinning thread panicked".to_owned())?).collect()
    })
}

fn spin(cpu: usize, time: Duration) -> Noise {
    let clock = quanta::Clock::new();
    let limit = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let mut noise = Noise { cpu, wall_ns: 0, lost_ns: 0, gaps: 0, gaps_long: 0, max_ns: 0 };
    let first = clock.raw();
    let mut last = first;
    while noise.wall_ns < limit {
        let now = clock.raw();
        let gap = clock.delta_as_nanos(last, now);
        if gap > GAP_NS {
            noise.gaps += 1;
            noise.gaps_long += u64::from(gap > LONG_NS);
            noise.lost_ns += gap;
            noise.max_ns = noise.max_ns.max(gap);
        }
        last = now;
        noise.wall_ns = clock.delta_as_nanos(first, now);
    }
    noise
}

fn spin_gaps(host: &Host) -> Judged {
    let cpus = host.hot()?;
    let seen = host.noise(cpus).map_err(Verdict::unknown)?;
    let judge = |noise: Noise| {
        let lost = noise.lost_ns as f64 * 100.0 / noise.wall_ns.max(1) as f64;
        let text = format!(
            "CPU {}: {lost:.2} % lost, {} gaps over 50 us, longest {}",
            noise.cpu,
            noise.gaps_long,
            time(noise.max_ns)
        );
        if noise.max_ns >= STALL_NS || lost >= 1.0 {
            Verdict::bad(text)
        } else if noise.max_ns > LONG_NS || lost >= 0.1 {
            Verdict::warn(text)
        } else {
            Verdict::ok(text)
        }
    };
    Ok(Verdict::worst(seen.into_iter().map(judge), "no hot core was measured"))
}

fn time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..1_000_000 => format!("{} us", ns / 1_000),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}

fn steal(host: &Host) -> Judged {
    if !host.is_virtual() {
        return Ok(Verdict::ok("no hypervisor"));
    }
    let stat = host.root.text("proc/stat").map_err(Verdict::unknown)?;
    let hot = host.hot().cloned().unwrap_or_else(|_| host.online());
    let judge = |line: &str| {
        let mut words = line.split_whitespace();
        let cpu: usize = words.next()?.strip_prefix("cpu")?.parse().ok()?;
        let times: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; guest time is part of user.
        let (all, steal) = (times.iter().take(8).sum::<u64>().max(1), *times.get(7)?);
        if !hot.0.contains(&cpu) {
            return None;
        }
        let text = format!("CPU {cpu}: {:.2} % stolen", steal as f64 * 100.0 / all as f64);
        let much = steal * 1_000 > all * STEAL_PER_MILLE;
        Some(if much { Verdict::bad(text) } else { Verdict::ok(text) })
    };
    let none = "/proc/stat does not name the hot cores";
    Ok(Verdict::worst(stat.lines().filter_map(judge), none))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spinning_thread_sees_its_own_time() {
        let cpu = affinity::allowed().unwrap()[0];
        let cpus = Cpus::from_iter([cpu]);
        let seen = measure(&cpus, Duration::from_millis(5)).unwrap();
        assert_eq!(seen.len(), 1);
        assert!(seen[0].wall_ns >= 5_000_000 && seen[0].cpu == cpu);
        assert!(seen[0].lost_ns <= seen[0].wall_ns && seen[0].max_ns <= seen[0].lost_ns);
        assert!(measure(&Cpus::from_iter([9_000]), Duration::from_millis(1)).is_err());
    }
}
