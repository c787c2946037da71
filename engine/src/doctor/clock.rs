//! Time: what clock stamps records, and where timers run.

use super::host::Host;
use super::tune::wants;
use super::{Check, Fix, Judged, Verdict, settle};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "clocksource",
        title: "the kernel's clock source",
        wanted: "tsc",
        why: "the kernel's receive time stamps, and every clock that is read, come from it; hpet \
              and acpi_pm are read over a bus",
        effect: "rdtsc took 11.5 ns, clock_gettime by tsc 28 ns; hpet \
                 cannot be read without a system call and a bus access",
        source: "measured on a two-core VM (tuning/README.md); timers/timekeeping.rst",
        fix: Fix::Apply(wants::clocksource),
        judge: |host| settle(clocksource(host)),
    },
    Check {
        id: "tsc",
        title: "the CPU's time stamp counter",
        wanted: "constant_tsc and nonstop_tsc",
        why: "stamps on hot threads are the counter itself; one that changes its rate or stops in \
              sleep cannot be one",
        effect: "a stamp costs 12 ns without a system call; otherwise the engine reads the \
                 monotonic clock",
        source: "measured on a two-core VM (tuning/README.md); virt/kvm/x86/timekeeping.rst",
        fix: Fix::Hand("another CPU model of the guest, or invtsc=on at the hypervisor"),
        judge: |host| settle(tsc(host)),
    },
    Check {
        id: "timer_migration",
        title: "timers of idle CPUs move to busy ones",
        wanted: "0, unless hot cores are in nohz_full=",
        why: "a spinning core is never idle, so it collects the timers of those that are",
        effect: "no timer interrupts of other cores' work",
        source: "sysctl/kernel.rst, timer_migration; tuned, network-latency and cpu-partitioning",
        fix: Fix::Apply(wants::timer_migration),
        judge: |host| settle(timer_migration(host)),
    },
];

fn clocksource(host: &Host) -> Judged {
    let folder = "sys/devices/system/clocksource/clocksource0";
    let name = host.root.text(&format!("{folder}/current_clocksource"));
    let name = name.map_err(Verdict::unknown)?;
    let available = host.root.get(&format!("{folder}/available_clocksource")).unwrap_or_default();
    let lost = if available.split(' ').any(|name| name == "tsc") {
        ""
    } else {
        "; the kernel gave up tsc: dmesg says why"
    };
    let what = format!("{name} (available: {available}{lost})");
    Ok(match name.as_str() {
        "tsc" | "arch_sys_counter" => Verdict::ok(name),
        "kvm-clock" | "hyperv_clocksource_tsc_page" => Verdict::info(what),
        _ => Verdict::bad(what),
    })
}

fn tsc(host: &Host) -> Judged {
    let flags = host.cpuinfo("flags");
    let flags = flags.ok_or_else(|| Verdict::unknown("/proc/cpuinfo has no flags"))?;
    let has = |wanted: &str| flags.split(' ').any(|flag| flag == wanted);
    let wanted = ["constant_tsc", "nonstop_tsc"];
    let missing: Vec<_> = wanted.into_iter().filter(|flag| !has(flag)).collect();
    if missing.is_empty() {
        return Ok(Verdict::ok(wanted.join(", ")));
    }
    Ok(Verdict::warn(format!("without {}", missing.join(", "))))
}

fn timer_migration(host: &Host) -> Judged {
    let on = host.root.number("proc/sys/kernel/timer_migration").map_err(Verdict::unknown)?;
    if on == 0 {
        return Ok(Verdict::ok("0"));
    }
    let full = host.root.get("sys/devices/system/cpu/nohz_full");
    let full = full.and_then(|list| super::Cpus::from_list(&list)).unwrap_or_default();
    if host.hot()?.without(&full).is_empty() {
        return Ok(Verdict::ok("1, and no hot core takes part: nohz_full"));
    }
    Ok(Verdict::warn("1"))
}
