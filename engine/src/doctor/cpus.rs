//! How fast and how steadily the hot cores run: frequency, sleep states, siblings, memory nodes.

use super::cpuset::Cpus;
use super::host::Host;
use super::tune::wants;
use super::{Check, Fix, Judged, Verdict, settle};

/// Leaving a sleep state may take this long: about what C1 takes.
pub(super) const EXIT_US_MAX: i64 = 2;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "governor",
        title: "frequency governor of hot cores",
        wanted: "performance",
        why: "other governors lower the clock in quiet times, and a burst starts on a slow core",
        effect: "no ramp of up to tens of milliseconds at the start of a burst",
        source: "admin-guide/pm/cpufreq.rst; tuned, latency-performance; DPDK, How to get best \
                 performance with NICs on Intel platforms",
        fix: Fix::Apply(wants::governor),
        judge: |host| settle(governor(host)),
    },
    Check {
        id: "turbo",
        title: "turbo",
        wanted: "on with few busy cores; off where steadiness matters more than the median",
        why: "it makes a core faster, and slower again when neighbours wake, AVX-512 runs or it \
              gets warm",
        effect: "the distance between base and turbo clock in the CPU's data sheet, with variation",
        source: "admin-guide/pm/intel_pstate.rst, no_turbo; DPDK's guide turns it off for \
                 reproducible figures",
        fix: Fix::Hand("intel_pstate/no_turbo or cpufreq/boost below /sys/devices/system/cpu"),
        judge: |host| settle(turbo(host)),
    },
    Check {
        id: "cstates",
        title: "sleep states of hot cores",
        wanted: "none whose exit takes longer than 2 us",
        why: "a core that parks, or waits for a ring, wakes up only after its exit latency; a \
              spinning one never sleeps",
        effect: "an exit from C6 takes 133 us on Skylake-X, 170 us on Ice Lake-X, from C1 1-2 us",
        source: "admin-guide/pm/cpuidle.rst; RHEL 10, Network troubleshooting and performance \
                 tuning, ch. 3; drivers/idle/intel_idle.c",
        fix: Fix::Apply(wants::cstates),
        judge: |host| settle(cstates(host)),
    },
    Check {
        id: "smt",
        title: "siblings of hot cores",
        wanted: "no two hot threads on one core, and the sibling offline or isolated",
        why: "two hyperthreads share execution units and both caches of their core",
        effect: "a busy sibling took 40 % of a thread's speed",
        source: "measured on a two-thread VM (tuning/README.md); DPDK, How to get best \
                 performance with NICs on Intel platforms",
        fix: Fix::Hand("other cores in reactor_cores and shard_cores, or boot with nosmt"),
        judge: |host| settle(smt(host)),
    },
    Check {
        id: "numa_nic",
        title: "hot cores and network card on one memory node",
        wanted: "every hot core on the node of the card, or the card says no node",
        why: "frames of a card on the other socket come through the link between the two",
        effect: "memory of the other socket is about twice as far: 20 or 21 against 10 in \
                 /sys/devices/system/node/node0/distance",
        source: "DPDK, How to get best performance with NICs on Intel platforms: cores on the \
                 NIC's socket; Cloudflare, How to achieve low latency with 10Gbps Ethernet",
        fix: Fix::Hand("cores of the card's node in reactor_cores and shard_cores"),
        judge: |host| settle(numa_nic(host)),
    },
    Check {
        id: "numa_balancing",
        title: "automatic NUMA balancing",
        wanted: "0",
        why: "it unmaps pages to see who touches them: faults and TLB shootdowns in threads that \
              are pinned anyway",
        effect: "no page faults of its sampling",
        source: "sysctl/kernel.rst, numa_balancing; tuned, network-latency",
        fix: Fix::Apply(wants::numa_balancing),
        judge: |host| settle(numa_balancing(host)),
    },
];

fn per_cpu(host: &Host, path: &str) -> Result<Vec<(usize, String)>, Verdict> {
    let found = host.hot()?.0.iter().filter_map(|&cpu| {
        let text = host.root.get(&format!("sys/devices/system/cpu/cpu{cpu}/{path}"))?;
        Some((cpu, text))
    });
    Ok(found.collect())
}

fn governor(host: &Host) -> Judged {
    let governors = per_cpu(host, "cpufreq/scaling_governor")?;
    if governors.is_empty() {
        if host.is_virtual() {
            return Ok(Verdict::info("the hypervisor sets the frequency"));
        }
        return Err(Verdict::unknown("no cpufreq driver: the firmware sets the frequency"));
    }
    let slow: Vec<_> = governors.iter().filter(|(_, name)| name != "performance").collect();
    let cpus: Cpus = slow.iter().map(|(cpu, _)| *cpu).collect();
    Ok(match slow.first() {
        None => Verdict::ok("performance"),
        Some((_, name)) => Verdict::bad(format!("{name} on CPU {cpus}")),
    })
}

fn turbo(host: &Host) -> Judged {
    let intel = host.root.number("sys/devices/system/cpu/intel_pstate/no_turbo").map(|no| no == 0);
    let on = intel.or_else(|_| {
        host.root.number("sys/devices/system/cpu/cpufreq/boost").map(|boost| boost == 1)
    });
    Ok(match on {
        Ok(true) => Verdict::ok("on"),
        Ok(false) => Verdict::info("off: steadier, slower"),
        Err(_) if host.is_virtual() => Verdict::info("the hypervisor decides"),
        Err(_) => Verdict::unknown("neither intel_pstate/no_turbo nor cpufreq/boost is there"),
    })
}

/// A sleep state of one CPU.
pub(super) struct SleepState {
    /// Its folder.
    pub(super) path: String,
    name: String,
    pub(super) exit_us: i64,
    pub(super) disabled: bool,
}

pub(super) fn sleep_states(host: &Host, cpu: usize) -> Vec<SleepState> {
    let folder = format!("sys/devices/system/cpu/cpu{cpu}/cpuidle");
    let states = host.root.list(&folder).into_iter().filter(|name| name.starts_with("state"));
    let states = states.map(|state| {
        let path = format!("{folder}/{state}");
        let name = host.root.get(&format!("{path}/name")).unwrap_or(state);
        let exit_us = host.root.number(&format!("{path}/latency")).unwrap_or(0);
        let disabled = host.root.number(&format!("{path}/disable")) == Ok(1);
        SleepState { path, name, exit_us, disabled }
    });
    states.collect()
}

fn cstates(host: &Host) -> Judged {
    let hot = host.hot()?;
    if host.boot("idle").is_some_and(|how| how == "poll") {
        return Ok(Verdict::ok("idle=poll: idle cores spin"));
    }
    let all =
        hot.0.iter().flat_map(|&cpu| sleep_states(host, cpu).into_iter().map(move |s| (cpu, s)));
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        let info = Verdict::info("an idle core is the hypervisor's");
        return Ok(if host.is_virtual() { info } else { Verdict::unknown("no cpuidle driver") });
    }
    let deep = all.iter().filter(|(_, state)| !state.disabled && state.exit_us > EXIT_US_MAX);
    let Some((_, longest)) = deep.clone().max_by_key(|(_, state)| state.exit_us) else {
        return Ok(Verdict::ok(format!("none above {EXIT_US_MAX} us is enabled")));
    };
    let (name, exit_us) = (&longest.name, longest.exit_us);
    let cpus: Cpus = deep.map(|(cpu, _)| *cpu).collect();
    Ok(Verdict::warn(format!("{name}, {exit_us} us, may be entered by CPU {cpus}")))
}

fn smt(host: &Host) -> Judged {
    let isolated = host.root.get("sys/devices/system/cpu/isolated");
    let isolated = isolated.and_then(|text| Cpus::from_list(&text)).unwrap_or_default();
    let online = host.online();
    let hot = host.hot()?;
    let (mut shared, mut exposed) = (Cpus::default(), Cpus::default());
    let siblings = per_cpu(host, "topology/thread_siblings_list")?;
    if siblings.is_empty() {
        return Err(Verdict::unknown("/sys/devices/system/cpu tells no siblings"));
    }
    for (cpu, list) in siblings {
        let others = Cpus::from_list(&list).unwrap_or_default().and(&online);
        let others = others.without(&Cpus::from_iter([cpu]));
        shared.0.extend(&others.and(hot).0);
        exposed.0.extend(&others.without(hot).without(&isolated).0);
    }
    Ok(if !shared.is_empty() {
        Verdict::bad(format!("CPU {shared} share cores with one another"))
    } else if !exposed.is_empty() {
        Verdict::warn(format!("the siblings, CPU {exposed}, are open to any thread"))
    } else if host.is_virtual() {
        Verdict::info("none seen; a hypervisor may hide that two virtual CPUs share a core")
    } else {
        Verdict::ok("no sibling is online that others may use")
    })
}

/// The memory node of a CPU.
fn node(host: &Host, cpu: usize) -> Option<String> {
    let names = host.root.list(&format!("sys/devices/system/cpu/cpu{cpu}"));
    let node = names.iter().find_map(|name| name.strip_prefix("node")?.parse::<u32>().ok());
    if let Some(node) = node {
        return Some(node.to_string());
    }
    // A record has files alone, no links.
    let nodes = host.root.list("sys/devices/system/node");
    nodes.iter().find_map(|name| {
        let list = host.root.get(&format!("sys/devices/system/node/{name}/cpulist"))?;
        let has = Cpus::from_list(&list)?.0.contains(&cpu);
        has.then(|| name.trim_start_matches("node").to_owned())
    })
}

fn nodes(host: &Host) -> usize {
    let online = host.root.get("sys/devices/system/node/online");
    online.and_then(|list| Cpus::from_list(&list)).map_or(1, |nodes| nodes.0.len())
}

fn numa_nic(host: &Host) -> Judged {
    if nodes(host) == 1 {
        return Ok(Verdict::ok("one node"));
    }
    let hot = host.hot()?;
    let judge = |name: &str| {
        let own = host.root.get(&format!("sys/class/net/{name}/device/numa_node"));
        let own = own.unwrap_or_else(|| "-1".into());
        if own == "-1" {
            return Verdict::unknown(format!("{name} names no node"));
        }
        let away = hot.0.iter().copied().filter(|&cpu| node(host, cpu).as_deref() != Some(&*own));
        let away: Cpus = away.collect();
        if away.is_empty() {
            Verdict::ok(format!("{name} and CPU {hot} on node {own}"))
        } else {
            Verdict::bad(format!("{name} on node {own}, CPU {away} elsewhere"))
        }
    };
    Ok(Verdict::worst(host.nics().map(judge), "feeds come in by no card"))
}

fn numa_balancing(host: &Host) -> Judged {
    let Ok(on) = host.root.number("proc/sys/kernel/numa_balancing") else {
        return Ok(Verdict::ok("not in this kernel"));
    };
    Ok(match (on, nodes(host)) {
        (0, _) => Verdict::ok("0"),
        (on, 1) => Verdict::info(format!("{on}, without effect on one node")),
        (on, nodes) => Verdict::warn(format!("{on} on {nodes} nodes")),
    })
}
