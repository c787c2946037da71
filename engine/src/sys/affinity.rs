//! Pins a thread to one CPU, named by the kernel's own number, and proves that it took.
//!
//! `core_affinity::get_core_ids` lists what the thread's present mask allows, which leaves out
//! isolated cores, the very ones a hot thread wants, so a position in that list names the wrong
//! CPU. The real limit is the cpuset: what the kernel leaves of a mask that asks for everything.
//!
//! Invariant: after `Ok` from [`pin`] the calling thread's affinity, read back, is that CPU alone;
//! after an error it is what it was before.
//!
//! ```
//! use corelane::sys::affinity;
//! let allowed = affinity::allowed().unwrap();
//! std::thread::spawn(move || affinity::pin(allowed[0]).unwrap()).join().unwrap();
//! ```

use std::fmt;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Why a thread could not be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The CPU does not exist, is offline, or lies outside the cpuset of this process.
    #[error("CPU {cpu} is not to be had: this process may use {allowed}")]
    NotAllowed {
        /// What was asked for.
        cpu: usize,
        /// What the cpuset allows.
        allowed: CpuList,
    },
    /// The kernel accepted the mask but runs the thread elsewhere.
    #[error("pinned to CPU {cpu}, but the kernel says {found}; this process may use {allowed}")]
    NotHeld {
        /// What was asked for.
        cpu: usize,
        /// The affinity read back.
        found: CpuList,
        /// What the cpuset allows.
        allowed: CpuList,
    },
    /// The affinity can be neither read nor set here.
    #[error("reading or setting the CPU affinity")]
    Io(#[from] io::Error),
}

/// CPU numbers in ascending order; prints as the kernel does: `0-3,8`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CpuList(pub Vec<usize>);

impl CpuList {
    fn from_set(set: &CpuSet) -> Self {
        Self((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut separator = "";
        while let Some(&first) = rest.first() {
            let run = rest.iter().enumerate().take_while(|&(i, &cpu)| cpu == first + i).count();
            write!(f, "{separator}{first}")?;
            if run > 1 {
                write!(f, "-{}", first + run - 1)?;
            }
            rest = &rest[run..];
            separator = ",";
        }
        Ok(())
    }
}

/// The CPUs that this process may use at all, isolated ones included, whatever mask the calling
/// thread inherited. The thread's own mask is as before when this returns.
///
/// # Errors
/// If the affinity can be neither read nor set.
pub fn allowed() -> io::Result<Vec<usize>> {
    let before = sched_getaffinity(None)?;
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    // The kernel cuts the mask down to the cpuset, and that is what it then reports.
    let widest = sched_setaffinity(None, &all).and_then(|()| sched_getaffinity(None));
    sched_setaffinity(None, &before)?;
    Ok(CpuList::from_set(&widest?).0)
}

/// Pins the calling thread to the kernel's CPU number `cpu`.
///
/// # Errors
/// If the CPU is outside the cpuset, or the affinity read back is another.
pub fn pin(cpu: usize) -> Result<(), PinError> {
    let allowed = CpuList(allowed()?);
    if !allowed.0.contains(&cpu) {
        return Err(PinError::NotAllowed { cpu, allowed });
    }
    let before = sched_getaffinity(None).map_err(io::Error::from)?;
    let accepted = core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
    let found = CpuList::from_set(&sched_getaffinity(None).map_err(io::Error::from)?);
    if accepted && found.0 == [cpu] {
        return Ok(());
    }
    sched_setaffinity(None, &before).map_err(io::Error::from)?;
    Err(PinError::NotHeld { cpu, found, allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_runs_there_and_its_children_may_go_elsewhere() {
        let all = allowed().unwrap();
        let last = *all.last().unwrap();
        std::thread::spawn(move || {
            pin(last).unwrap();
            assert_eq!(CpuList::from_set(&sched_getaffinity(None).unwrap()).0, [last]);
            // A child inherits the mask of one CPU, yet sees the whole cpuset.
            let seen = std::thread::spawn(|| allowed().unwrap()).join().unwrap();
            assert_eq!(seen, all);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn an_impossible_cpu_is_named_with_what_is_allowed() {
        for cpu in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, usize::MAX] {
            let before = sched_getaffinity(None).unwrap();
            let text = pin(cpu).unwrap_err().to_string();
            let allowed = CpuList(allowed().unwrap());
            assert_eq!(text, format!("CPU {cpu} is not to be had: this process may use {allowed}"));
            assert_eq!(sched_getaffinity(None).unwrap(), before);
        }
    }

    #[test]
    fn cpu_lists_print_as_the_kernel_prints_them() {
        assert_eq!(CpuList(vec![0, 1, 2, 3, 8, 10, 11]).to_string(), "0-3,8,10-11");
        assert_eq!(CpuList(vec![]).to_string(), "");
    }
}
