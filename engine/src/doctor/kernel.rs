//! What the kernel does on its own: mitigations, watchdogs, statistics, messages to a console.

use super::cpuset::Cpus;
use super::host::Host;
use super::tune::wants;
use super::{Check, Fix, Judged, Verdict, settle};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "mitigations",
        title: "mitigations of CPU vulnerabilities",
        wanted: "a decision: on where anything runs that is not trusted",
        why: "they make system calls, context switches and indirect branches dearer; switching \
              them off gives other code on the host a way to read memory",
        effect: "mostly on system calls, of which a busy-polled receive is one; measure on your \
                 CPU before you trade safety for it",
        source: "kernel-parameters.txt, mitigations=; admin-guide/hw-vuln/",
        fix: Fix::Boot("mitigations=off, where the host is yours alone"),
        judge: |host| settle(mitigations(host)),
    },
    Check {
        id: "watchdogs",
        title: "lockup watchdogs",
        wanted: "nmi_watchdog 0, and watchdog_cpumask without hot cores",
        why: "the soft watchdog wakes a thread on every core, the hard one takes a performance \
              counter and interrupts by NMI",
        effect: "no wake-up every four seconds, and one counter more for perf",
        source: "admin-guide/lockup-watchdogs.rst; tuned, network-latency",
        fix: Fix::Apply(wants::watchdogs),
        judge: |host| settle(watchdogs(host)),
    },
    Check {
        id: "stat_interval",
        title: "interval of memory statistics",
        wanted: "10 s or more",
        why: "the kernel folds each CPU's counters by a worker on that CPU",
        effect: "one interruption of a hot core in ten seconds instead of in one",
        source: "sysctl/vm.rst, stat_interval; kernel-per-CPU-kthreads.rst; tuned, network-latency",
        fix: Fix::Apply(wants::stat_interval),
        judge: |host| settle(stat_interval(host)),
    },
    Check {
        id: "printk",
        title: "kernel messages on a console",
        wanted: "console log level of 4 or less, and no serial console",
        why: "the CPU that logs writes to the console at the speed of the line: 87 us a character \
              at 115,200 baud",
        effect: "no stall of milliseconds when the kernel has something to say",
        source: "sysctl/kernel.rst, printk; RHEL for Real Time, Disabling graphics console output \
                 for latency sensitive workloads",
        fix: Fix::Apply(wants::printk),
        judge: |host| settle(printk(host)),
    },
];

fn mitigations(host: &Host) -> Judged {
    let folder = "sys/devices/system/cpu/vulnerabilities";
    let mut active = Vec::new();
    let mut open = Vec::new();
    for name in host.root.list(folder) {
        match host.root.get(&format!("{folder}/{name}")) {
            Some(text) if text.starts_with("Mitigation") => active.push(name),
            Some(text) if text.starts_with("Vulnerable") => open.push(name),
            _ => {}
        }
    }
    let boot = host.boot("mitigations").map_or_else(String::new, |how| format!("{how}; "));
    let list = |names: &[String]| match names.len() {
        0 => "none".to_owned(),
        1..=4 => names.join(", "),
        count => format!("{} and {} more", names[..3].join(", "), count - 3),
    };
    let what = format!("{boot}mitigated: {}; vulnerable: {}", list(&active), list(&open));
    Ok(if active.is_empty() && open.is_empty() {
        Verdict::ok("none needed by this CPU")
    } else {
        Verdict::info(what)
    })
}

fn watchdogs(host: &Host) -> Judged {
    let read = |name: &str| host.root.number(&format!("proc/sys/kernel/{name}"));
    let nmi = read("nmi_watchdog").unwrap_or(0);
    let soft = read("soft_watchdog").or_else(|_| read("watchdog")).unwrap_or(0);
    let cpus = host.root.get("proc/sys/kernel/watchdog_cpumask");
    let cpus = cpus.and_then(|list| Cpus::from_list(&list)).unwrap_or_default();
    if nmi == 0 && soft == 0 {
        return Ok(Verdict::ok("off"));
    }
    let what = format!("nmi {nmi}, soft {soft}, on CPU {cpus}");
    if nmi != 0 {
        return Ok(Verdict::warn(what));
    }
    let hot = host.hot()?;
    Ok(if cpus.and(hot).is_empty() { Verdict::ok(what) } else { Verdict::warn(what) })
}

fn stat_interval(host: &Host) -> Judged {
    let seconds = host.root.number("proc/sys/vm/stat_interval").map_err(Verdict::unknown)?;
    let what = format!("{seconds} s");
    Ok(if seconds >= 10 { Verdict::ok(what) } else { Verdict::warn(what) })
}

fn printk(host: &Host) -> Judged {
    let text = host.root.text("proc/sys/kernel/printk").map_err(Verdict::unknown)?;
    let level: i64 = text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(7);
    let consoles = host.root.get("sys/class/tty/console/active").unwrap_or_default();
    let what = format!("log level {level}, consoles: {consoles}");
    let serial = consoles.split(' ').any(|name| name.starts_with("ttyS") || name == "hvc0");
    Ok(match (level > 4, serial) {
        (true, true) => Verdict::bad(what),
        (true, false) => Verdict::warn(what),
        (false, true) => Verdict::info(what),
        (false, false) => Verdict::ok(what),
    })
}
