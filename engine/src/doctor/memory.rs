//! Memory: large pages, swap, and how much may be locked and opened.

use super::host::Host;
use super::tune::{self, wants};
use super::{Check, Fix, Judged, Verdict, settle};

/// What one session executor locks for its rings (glommio's minimum).
const LOCKED_BYTES_MIN: u64 = 512 << 10;
/// Files: a connection each for many session clients, journal segments, sinks.
const FILES_MIN: u64 = 4_096;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "thp",
        title: "transparent huge pages",
        wanted: "enabled madvise, defrag madvise or defer+madvise",
        why: "the order table asks for large pages; with `always` the kernel compacts memory and \
              collapses pages behind everyone's back",
        effect: "one TLB entry for 2 MiB of the order table instead of 512, and no stalls of \
                 khugepaged elsewhere",
        source: "admin-guide/mm/transhuge.rst; tuned, network-latency turns it off altogether",
        fix: Fix::Apply(wants::thp),
        judge: |host| settle(thp(host)),
    },
    Check {
        id: "hugepages",
        title: "reserved huge pages",
        wanted: "none: the engine takes transparent ones",
        why: "reserved pages are lost to everyone who does not ask for them by name",
        effect: "none; other programs on the host (DPDK, databases) may want them",
        source: "admin-guide/mm/hugetlbpage.rst",
        fix: Fix::Hand("sysctl vm.nr_hugepages=0 if nobody uses them"),
        judge: |host| settle(hugepages(host)),
    },
    Check {
        id: "swap",
        title: "swap",
        wanted: "none, or vm.swappiness 0 or 1 (swapoff -a is surer)",
        why: "tables, rings and a journal on tmpfs can be swapped out, and come back by page \
              faults on a hot core",
        effect: "no hot thread waits for a disk by a page fault",
        source: "sysctl/vm.rst, swappiness; filesystems/tmpfs.rst: tmpfs pages can be swapped",
        fix: Fix::Apply(wants::swap),
        judge: |host| settle(swap(host)),
    },
    Check {
        id: "memlock",
        title: "memory that may be locked",
        wanted: "512 KiB or more for each core that serves sessions, best unlimited",
        why: "rings of session servers are locked memory; without room they cannot be opened",
        effect: "servers of sessions start",
        source: "glommio's documentation, memlock of at least 512 KiB; getrlimit(2)",
        fix: Fix::Hand("LimitMEMLOCK=infinity in the unit (tuning/corelane.service has it)"),
        judge: |host| settle(memlock(host)),
    },
    Check {
        id: "nofile",
        title: "files that may be open",
        wanted: "4096 or more",
        why: "every connection, journal segment and sink is an open file",
        effect: "accept() does not fail when many clients come back at once",
        source: "getrlimit(2), RLIMIT_NOFILE; systemd.exec(5): the soft limit is 1024 by default",
        fix: Fix::Hand("LimitNOFILE=65536 in the unit (tuning/corelane.service has it)"),
        judge: |host| settle(nofile(host)),
    },
];

fn thp(host: &Host) -> Judged {
    let folder = "sys/kernel/mm/transparent_hugepage";
    let Ok(enabled) = host.root.text(&format!("{folder}/enabled")) else {
        return Ok(Verdict::warn("not in this kernel: the order table is in small pages"));
    };
    let defrag = host.root.get(&format!("{folder}/defrag")).unwrap_or_default();
    let (enabled, defrag) = (tune::value(&enabled), tune::value(&defrag));
    let what = format!("enabled {enabled}, defrag {defrag}");
    Ok(match (enabled, defrag) {
        ("never", _) => Verdict::warn(format!("{what}: the order table is in small pages")),
        ("always", _) | (_, "always") => Verdict::warn(what),
        _ => Verdict::ok(what),
    })
}

fn hugepages(host: &Host) -> Judged {
    let folder = "sys/kernel/mm/hugepages";
    let mut reserved = Vec::new();
    for size in host.root.list(folder) {
        let count = host.root.number(&format!("{folder}/{size}/nr_hugepages")).unwrap_or(0);
        let free = host.root.number(&format!("{folder}/{size}/free_hugepages")).unwrap_or(0);
        if count > 0 {
            let size = size.trim_start_matches("hugepages-");
            reserved.push(format!("{count} of {size}, {free} free"));
        }
    }
    Ok(if reserved.is_empty() {
        Verdict::ok("none")
    } else {
        Verdict::info(format!("{}; the engine uses none", reserved.join("; ")))
    })
}

fn swap(host: &Host) -> Judged {
    let text = host.root.text("proc/swaps").map_err(Verdict::unknown)?;
    let names = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names.collect();
    let swappiness = host.root.number("proc/sys/vm/swappiness").unwrap_or(60);
    Ok(if names.is_empty() {
        Verdict::ok("none")
    } else if swappiness <= 1 {
        Verdict::info(format!("{}, swappiness {swappiness}", names.join(", ")))
    } else {
        Verdict::warn(format!("{}, swappiness {swappiness}", names.join(", ")))
    })
}

/// The soft limit of a resource, none if there is no limit.
fn limit(host: &Host, name: &str) -> Result<Option<u64>, Verdict> {
    let text = host.root.text("proc/self/limits").map_err(Verdict::unknown)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let soft = line.and_then(|line| line.split_whitespace().next());
    match soft {
        Some("unlimited") => Ok(None),
        Some(word) => match word.parse() {
            Ok(limit) => Ok(Some(limit)),
            Err(_) => Err(Verdict::unknown(format!("{name}: `{word}`"))),
        },
        None => Err(Verdict::unknown(format!("/proc/self/limits has no `{name}`"))),
    }
}

fn memlock(host: &Host) -> Judged {
    Ok(match limit(host, "Max locked memory")? {
        None => Verdict::ok("unlimited"),
        Some(bytes) if bytes >= LOCKED_BYTES_MIN => Verdict::ok(format!("{} KiB", bytes >> 10)),
        Some(bytes) => Verdict::warn(format!("{} KiB", bytes >> 10)),
    })
}

fn nofile(host: &Host) -> Judged {
    Ok(match limit(host, "Max open files")? {
        None => Verdict::ok("unlimited"),
        Some(files) if files >= FILES_MIN => Verdict::ok(files.to_string()),
        Some(files) => Verdict::warn(files.to_string()),
    })
}
