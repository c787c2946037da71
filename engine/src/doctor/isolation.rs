//! Who else may run on the hot cores: the scheduler, the tick, RCU, interrupts, kernel threads.

use super::cpuset::Cpus;
use super::host::Host;
use super::tune::wants;
use super::{Check, Fix, Judged, Verdict, settle};

/// Masks of kernel workers that are bound to no CPU.
pub(super) const WORKQUEUES: [&str; 2] =
    ["sys/devices/virtual/workqueue/cpumask", "sys/devices/virtual/workqueue/writeback/cpumask"];
/// Interrupts named in one line of the report.
const NAMED_MAX: usize = 4;
/// An interrupt that came less often than this since boot did so when its device was set up.
const IRQS_RARE: u64 = 100;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "pinning",
        title: "a core for each hot thread",
        wanted: "reactor_cores and shard_cores name a core for each reactor and shard",
        why: "a thread that is not pinned moves between cores, and leaves its caches behind; \
              nobody can keep others off a core that nobody named",
        effect: "no migrations, and all that follows about hot cores",
        source: "sched_setaffinity(2); DPDK, Getting Started Guide for Linux, core isolation",
        fix: Fix::Hand("reactor_cores and shard_cores in [engine] of the configuration"),
        judge: |host| settle(pinning(host)),
    },
    Check {
        id: "isolcpus",
        title: "hot cores kept from the scheduler",
        wanted: "every hot core in isolcpus=, or in a cpuset partition of type isolated",
        why: "the scheduler puts any thread on a core that is not isolated, and a hot thread then \
              waits for a time slice",
        effect: "no waits of milliseconds behind another thread",
        source: "kernel-parameters.txt, isolcpus=; cgroup-v2.rst, cpuset.cpus.partition; DPDK, \
                 Getting Started Guide for Linux, core isolation",
        fix: Fix::Boot("isolcpus=managed_irq,domain,CORES"),
        judge: |host| settle(isolated(host)),
    },
    Check {
        id: "nohz_full",
        title: "the timer tick stops on hot cores",
        wanted: "every hot core in nohz_full=",
        why: "the tick interrupts a core 100 to 1000 times a second, even if one thread alone runs",
        effect: "each 4 ms tick cost 25-55 us and set p99.9 of anything near 10 us",
        source: "measured on a two-core VM (tuning/README.md); timers/no_hz.rst",
        fix: Fix::Boot("nohz_full=CORES (a kernel with CONFIG_NO_HZ_FULL)"),
        judge: |host| settle(nohz_full(host)),
    },
    Check {
        id: "rcu_nocbs",
        title: "RCU callbacks run elsewhere",
        wanted: "every hot core in rcu_nocbs=, or in nohz_full=, which implies it",
        why: "callbacks of the kernel's read-copy-update run in softirqs of the core that queued \
              them",
        effect: "no softirq work of RCU on hot cores",
        source: "kernel-parameters.txt, rcu_nocbs= and nohz_full=; kernel-per-CPU-kthreads.rst",
        fix: Fix::Boot("rcu_nocbs=CORES"),
        judge: |host| settle(rcu_nocbs(host)),
    },
    Check {
        id: "cpuset",
        title: "the cpuset of this process",
        wanted: "holds every hot core",
        why: "a thread cannot be pinned to a core outside its cpuset: the engine refuses to start",
        effect: "the engine starts",
        source: "cgroup-v2.rst, cpuset.cpus; sched_setaffinity(2)",
        fix: Fix::Hand("AllowedCPUs= of the service, or the container's --cpuset-cpus"),
        judge: |host| settle(cpuset(host)),
    },
    Check {
        id: "cpu_quota",
        title: "CPU quota of this process",
        wanted: "cpu.max without a limit",
        why: "a spinning thread uses all of its quota, then the whole process stands until the \
              next period",
        effect: "no pauses of up to 100 ms, the default period",
        source: "cgroup-v2.rst, cpu.max; scheduler/sched-bwc.rst",
        fix: Fix::Hand("no CPUQuota=, no --cpus, or in Kubernetes the static CPU manager policy"),
        judge: |host| settle(quota(host)),
    },
    Check {
        id: "irq_affinity",
        title: "device interrupts on hot cores",
        wanted: "none may be served by a hot core",
        why: "an interrupt and its softirq take a hot core for microseconds to milliseconds",
        effect: "the core that disk interrupts land on lost 7.1 % of its time, the other one 1.4 %",
        source: "measured on a two-core VM (tuning/README.md); core-api/irq/irq-affinity.rst",
        fix: Fix::Apply(wants::irqs),
        judge: |host| settle(irqs(host)),
    },
    Check {
        id: "irq_default",
        title: "where new interrupts go",
        wanted: "default_smp_affinity without hot cores",
        why: "a driver that is loaded or reset later takes its mask from here",
        effect: "interrupts stay off hot cores after a link flap or a driver reset",
        source: "core-api/irq/irq-affinity.rst",
        fix: Fix::Apply(wants::irq_default),
        judge: |host| settle(irq_default(host)),
    },
    Check {
        id: "irqbalance",
        title: "irqbalance",
        wanted: "stopped, or told to leave hot cores alone",
        why: "it moves interrupts every ten seconds, and undoes what was set by hand",
        effect: "interrupts stay where they were put",
        source: "irqbalance(1), IRQBALANCE_BANNED_CPULIST; Solarflare Server Adapter User Guide, \
                 tuning: disable irqbalance",
        fix: Fix::Hand(
            "systemctl disable --now irqbalance, or IRQBALANCE_BANNED_CPULIST in \
             /etc/default/irqbalance",
        ),
        judge: |host| settle(irqbalance(host)),
    },
    Check {
        id: "workqueues",
        title: "unbound kernel workers",
        wanted: "workqueue cpumask without hot cores",
        why: "write-back, block and driver work runs in kworkers on any core of that mask",
        effect: "no kworker preempts a hot thread",
        source: "core-api/workqueue.rst; kernel-per-CPU-kthreads.rst; tuned, cpu-partitioning",
        fix: Fix::Apply(wants::workqueues),
        judge: |host| settle(workqueues(host)),
    },
];

fn pinning(host: &Host) -> Judged {
    let needs = &host.needs;
    let named = needs.named;
    Ok(match needs.threads {
        None => Verdict::info("no configuration was given"),
        Some(threads) if named >= threads => {
            Verdict::ok(format!("{threads} hot threads, each with a core"))
        }
        Some(threads) => Verdict::warn(format!("{threads} hot threads, {named} with a core")),
    })
}

fn missing(hot: &Cpus, have: &Cpus, what: &str) -> Verdict {
    let left = hot.without(have);
    if left.is_empty() {
        Verdict::ok(format!("CPU {have} {what}"))
    } else {
        Verdict::bad(format!("CPU {left} not {what}; those that are: {have}"))
    }
}

fn list(host: &Host, path: &str) -> Option<Cpus> {
    host.root.get(path).and_then(|text| Cpus::from_list(&text))
}

fn isolated(host: &Host) -> Judged {
    let hot = host.hot()?;
    let boot = list(host, "sys/devices/system/cpu/isolated").unwrap_or_default();
    let partitions = list(host, "sys/fs/cgroup/cpuset.cpus.isolated").unwrap_or_default();
    let all: Cpus = boot.0.union(&partitions.0).copied().collect();
    Ok(missing(hot, &all, "isolated"))
}

fn nohz_full(host: &Host) -> Judged {
    let hot = host.hot()?;
    match host.root.text("sys/devices/system/cpu/nohz_full") {
        Ok(text) => {
            let full = Cpus::from_list(&text);
            let full = full.ok_or_else(|| Verdict::unknown(format!("nohz_full: `{text}`")))?;
            Ok(missing(hot, &full, "without tick"))
        }
        // The file is there if the kernel can do it.
        Err(_) => Ok(Verdict::warn("this kernel is built without CONFIG_NO_HZ_FULL")),
    }
}

fn rcu_nocbs(host: &Host) -> Judged {
    let hot = host.hot()?;
    let all = host.online();
    let named = |name: &str| match host.boot(name).as_deref() {
        Some("all") => all.clone(),
        Some(text) => Cpus::from_list(text).unwrap_or_default(),
        None => Cpus::default(),
    };
    let implied = list(host, "sys/devices/system/cpu/nohz_full").unwrap_or_default();
    let have: Cpus = named("rcu_nocbs").0.union(&implied.0).copied().collect();
    let left = hot.without(&have);
    if left.is_empty() {
        return Ok(Verdict::ok(format!("callbacks of CPU {have} offloaded")));
    }
    Ok(Verdict::warn(format!("callbacks of CPU {left} not offloaded; those that are: {have}")))
}

/// A field of `/proc/self/status`.
pub(super) fn status(host: &Host, field: &str) -> Option<String> {
    let text = host.root.get("proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
}

fn cpuset(host: &Host) -> Judged {
    let allowed = status(host, "Cpus_allowed_list").and_then(|text| Cpus::from_list(&text));
    let allowed = allowed.ok_or_else(|| Verdict::unknown("/proc/self/status does not say"))?;
    // What a thread inherits says less than its cpuset, which it may use whole.
    let group = cgroup(host).map(|path| format!("sys/fs/cgroup{path}/cpuset.cpus.effective"));
    let effective = group.and_then(|path| list(host, &path));
    let may = effective.unwrap_or(allowed);
    let hot = host.hot()?;
    let left = hot.without(&may);
    if left.is_empty() {
        return Ok(Verdict::ok(format!("this process may use CPU {may}")));
    }
    Ok(Verdict::bad(format!("this process may use CPU {may}, not {left}")))
}

/// The cgroup of this process in the second hierarchy, `` for its root.
fn cgroup(host: &Host) -> Option<String> {
    let text = host.root.get("proc/self/cgroup")?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.trim_end_matches('/').to_owned())
}

fn quota(host: &Host) -> Judged {
    let path = cgroup(host).ok_or_else(|| Verdict::unknown("/proc/self/cgroup does not say"))?;
    let mut path = path.as_str();
    // A limit of any group above holds too. In a container the root is the container's own group.
    loop {
        if let Some(text) = host.root.get(&format!("sys/fs/cgroup{path}/cpu.max"))
            && !text.starts_with("max")
        {
            let group = if path.is_empty() { "/" } else { path };
            return Ok(Verdict::bad(format!("cpu.max of {group} is `{text}` (us per period)")));
        }
        let Some((parent, _)) = path.rsplit_once('/') else { break };
        path = parent;
    }
    let first = host.root.number("sys/fs/cgroup/cpu/cpu.cfs_quota_us").unwrap_or(-1);
    if first > 0 {
        return Ok(Verdict::bad(format!("cpu.cfs_quota_us is {first}")));
    }
    Ok(Verdict::ok("no limit"))
}

/// A device interrupt as `/proc/interrupts` has it.
pub(super) struct Irq {
    pub(super) number: String,
    name: String,
    /// How often each CPU of the heading served it.
    counts: Vec<(usize, u64)>,
}

pub(super) fn interrupts(host: &Host) -> Result<Vec<Irq>, Verdict> {
    let text = host.root.text("proc/interrupts").map_err(Verdict::unknown)?;
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default().split_whitespace();
    let cpus: Vec<usize> = head.filter_map(|word| word.strip_prefix("CPU")?.parse().ok()).collect();
    let irq = |line: &str| {
        let (number, rest) = line.split_once(':')?;
        let number = number.trim();
        number.parse::<u32>().ok()?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let counts = cpus.iter().zip(&words);
        let counts = counts.map_while(|(cpu, word)| Some((*cpu, word.parse().ok()?))).collect();
        let name = words.last().copied().unwrap_or_default().to_owned();
        Some(Irq { number: number.to_owned(), name, counts })
    };
    Ok(lines.filter_map(irq).collect())
}

fn irqs(host: &Host) -> Judged {
    let hot = host.hot()?;
    let all = interrupts(host)?;
    let (mut served, mut allowed) = (Vec::new(), Vec::new());
    for irq in &all {
        let of = |file: &str| list(host, &format!("proc/irq/{}/{file}", irq.number));
        let asked = of("smp_affinity_list").unwrap_or_default();
        let target = of("effective_affinity_list").filter(|cpus| !cpus.is_empty());
        let target = target.unwrap_or_else(|| asked.clone());
        let own = irq.counts.iter().filter(|(cpu, _)| hot.0.contains(cpu));
        let count: u64 = own.map(|(_, count)| count).sum();
        if !target.and(hot).is_empty() && count > 0 {
            served.push((count, format!("{} ({}, {count} times)", irq.number, irq.name)));
        } else if !asked.and(hot).is_empty() {
            allowed.push((0, format!("{} ({})", irq.number, irq.name)));
        }
    }
    served.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    Ok(match (served.first(), allowed.first()) {
        (Some((most, _)), _) if *most >= IRQS_RARE => {
            Verdict::bad(format!("hot cores serve IRQ {}", name(&served)))
        }
        (Some(_), _) => Verdict::warn(format!("hot cores serve IRQ {}", name(&served))),
        (None, Some(_)) => Verdict::warn(format!("hot cores may serve IRQ {}", name(&allowed))),
        (None, None) => Verdict::ok(format!("none of {} may come to CPU {hot}", all.len())),
    })
}

/// The first few, and how many more there are.
fn name(irqs: &[(u64, String)]) -> String {
    let named = irqs.iter().take(NAMED_MAX).map(|(_, what)| what.as_str());
    let text = named.collect::<Vec<_>>().join(", ");
    match irqs.len().saturating_sub(NAMED_MAX) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn irq_default(host: &Host) -> Judged {
    let hot = host.hot()?;
    let text = host.root.text("proc/irq/default_smp_affinity").map_err(Verdict::unknown)?;
    let mask = Cpus::from_mask(&text).ok_or_else(|| Verdict::unknown(format!("mask `{text}`")))?;
    let on = mask.and(&host.online());
    if on.and(hot).is_empty() {
        return Ok(Verdict::ok(format!("CPU {on}")));
    }
    Ok(Verdict::warn(format!("CPU {on}, hot ones among them")))
}

fn irqbalance(host: &Host) -> Judged {
    let processes = host.root.list("proc");
    let mut processes = processes.iter().filter(|name| name.parse::<u32>().is_ok());
    let runs = processes.any(|pid| {
        // Not by `get`: every process's name is no part of a record.
        host.root.peek(&format!("proc/{pid}/comm"), "irqbalance")
    });
    if !runs {
        return Ok(Verdict::ok("not running"));
    }
    let hot = host.hot()?;
    let files = ["etc/default/irqbalance", "etc/sysconfig/irqbalance"];
    let text: String = files.iter().filter_map(|path| host.root.get(path)).collect();
    let banned = text.lines().find_map(|line| {
        let (name, value) = line.trim().trim_start_matches("export ").split_once('=')?;
        let value = value.trim_matches(['"', '\'']);
        match name {
            "IRQBALANCE_BANNED_CPULIST" => Cpus::from_list(value),
            "IRQBALANCE_BANNED_CPUS" => Cpus::from_mask(value),
            _ => None,
        }
    });
    // Without a list it leaves out what the kernel isolates.
    let isolated = list(host, "sys/devices/system/cpu/isolated").unwrap_or_default();
    let banned = banned.unwrap_or(isolated);
    if hot.without(&banned).is_empty() {
        return Ok(Verdict::info(format!("running; keeps off CPU {banned}")));
    }
    Ok(Verdict::bad(format!("running; keeps off CPU {banned}, not off {}", hot.without(&banned))))
}

fn workqueues(host: &Host) -> Judged {
    let hot = host.hot()?;
    let judge = |path: &str| {
        let mask = Cpus::from_mask(&host.root.get(path)?)?;
        let name = path.strip_prefix("sys/devices/virtual/workqueue/").unwrap_or(path);
        let on = mask.and(hot);
        Some(if on.is_empty() {
            Verdict::ok(format!("{name}: CPU {}", mask.and(&host.online())))
        } else {
            Verdict::warn(format!("{name}: also CPU {on}"))
        })
    };
    let [all, write_back] = WORKQUEUES.map(judge);
    let all = all.ok_or_else(|| Verdict::unknown("/sys/devices/virtual/workqueue: no cpumask"))?;
    Ok(Verdict::worst([Some(all), write_back].into_iter().flatten(), ""))
}
