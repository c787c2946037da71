//! The kernel's receive path: buffers, budgets, busy polling, what it dropped.

use super::host::Host;
use super::isolation::status;
use super::tune::wants;
use super::{Check, Cpus, Fix, Judged, Verdict, settle};

/// The bit of CAP_NET_ADMIN in CapEff.
const CAP_NET_ADMIN: u32 = 12;
/// Frames and microseconds that a receive softirq may take in one go, and frames that may wait for
/// one: twice, four times and ten times the kernel's defaults.
pub(super) const BUDGETS: [(&str, i64); 3] =
    [("netdev_budget", 600), ("netdev_budget_usecs", 8_000), ("netdev_max_backlog", 10_000)];
/// A socket's busy polling when `net.core.busy_read` is on: the kernel's own advice.
pub(super) const BUSY_US: i64 = 50;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "rmem_max",
        title: "receive buffer that a socket may ask for",
        wanted: "net.core.rmem_max of at least what the feeds ask for, or CAP_NET_ADMIN",
        why: "a burst that the reactor has not read yet waits in the socket's buffer; what does \
              not fit is lost",
        effect: "208 KiB lost 0.3-0.5 % of a feed sent as fast as it can be, 1-4 MiB up to 1 %; \
                 the engine asks for 32 MiB",
        source: "measured on a two-core VM (tuning/README.md); sysctl/net.rst, rmem_max",
        fix: Fix::Apply(wants::rmem_max),
        judge: |host| settle(rmem_max(host)),
    },
    Check {
        id: "rcvbuf_errors",
        title: "datagrams lost in full socket buffers",
        wanted: "none since boot",
        why: "each is a gap in somebody's feed",
        effect: "tells whether buffers or readers were too slow so far",
        source: "proc(5), /proc/net/snmp, Udp RcvbufErrors; RFC 4113",
        fix: Fix::Hand("larger buffers (rmem_max above), or find out why the reader was late"),
        judge: |host| settle(rcvbuf_errors(host)),
    },
    Check {
        id: "netdev_budget",
        title: "receive softirq: budget and backlog",
        wanted: "no time_squeeze and no drop in /proc/net/softnet_stat, or budget 600, 8000 us, \
                 backlog 10000",
        why: "a softirq that runs out of budget leaves frames in the ring until it runs again; a \
              full backlog loses them",
        effect: "bursts leave the ring in one go",
        source: "sysctl/net.rst, netdev_budget, netdev_budget_usecs, netdev_max_backlog; Red Hat, \
                 Performance Tuning Guide, softirq misses",
        fix: Fix::Apply(wants::budgets),
        judge: |host| settle(netdev_budget(host)),
    },
    Check {
        id: "busy_read",
        title: "busy polling of the card from the socket",
        wanted: "net.core.busy_read and busy_poll 50, where feeds come in by a card",
        why: "a read of an empty socket then looks into the card's queue itself, instead of \
              waiting for interrupt and softirq",
        effect: "settings of the host, this one among them, brought a UDP round trip over 10 \
                 Gbit/s to about 30 us",
        source: "sysctl/net.rst, busy_read; networking/napi.rst; Cloudflare, How to achieve low \
                 latency with 10Gbps Ethernet; tuned, network-latency",
        fix: Fix::Apply(wants::busy_read),
        judge: |host| settle(busy_read(host)),
    },
    Check {
        id: "napi_defer",
        title: "interrupts deferred for busy polling",
        wanted: "napi_defer_hard_irqs and gro_flush_timeout both 0, or both set with busy_read",
        why: "with busy polling they keep the card from interrupting the poller; without it they \
              delay what is received by up to the timeout",
        effect: "no interrupts while the reactor polls, e.g. 2 and 200000",
        source: "networking/napi.rst, software IRQ coalescing and IRQ mitigation",
        fix: Fix::Apply(wants::napi_defer),
        judge: |host| settle(napi_defer(host)),
    },
    Check {
        id: "rps",
        title: "receive packet steering",
        wanted: "rps_cpus 0 on every queue",
        why: "it hands each frame to another CPU by an interprocessor interrupt",
        effect: "one hop and one interrupt less per burst",
        source: "networking/scaling.rst, RPS: redundant with one queue per CPU",
        fix: Fix::Apply(wants::rps),
        judge: |host| settle(rps(host)),
    },
    Check {
        id: "xps",
        title: "transmit packet steering",
        wanted: "with several queues, each hot core has one of its own",
        why: "two cores on one queue wait for its lock",
        effect: "no contention when actions are sent",
        source: "networking/scaling.rst, XPS",
        fix: Fix::Hand("write the hot core's mask to queues/tx-N/xps_cpus"),
        judge: |host| settle(xps(host)),
    },
];

fn mib(bytes: u64) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

fn rmem_max(host: &Host) -> Judged {
    let max = host.root.number("proc/sys/net/core/rmem_max").map_err(Verdict::unknown)?;
    let max = u64::try_from(max).unwrap_or(0);
    let asked = host.needs.rcvbuf_bytes;
    let what = format!("{}, feeds ask for {}", mib(max), mib(asked));
    if max >= asked {
        return Ok(Verdict::ok(what));
    }
    let caps = status(host, "CapEff").and_then(|hex| u64::from_str_radix(&hex, 16).ok());
    if caps.is_some_and(|caps| caps >> CAP_NET_ADMIN & 1 == 1) {
        return Ok(Verdict::info(format!("{what}; this user has CAP_NET_ADMIN and gets them")));
    }
    Ok(Verdict::bad(what))
}

fn rcvbuf_errors(host: &Host) -> Judged {
    let text = host.root.text("proc/net/snmp").map_err(Verdict::unknown)?;
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (names, values) = (rows.next().unwrap_or(""), rows.next().unwrap_or(""));
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let errors = pairs.find(|(name, _)| *name == "RcvbufErrors");
    let errors: Option<u64> = errors.and_then(|(_, value)| value.parse().ok());
    Ok(match errors {
        None => Verdict::unknown("/proc/net/snmp has no Udp RcvbufErrors"),
        Some(0) => Verdict::ok("none"),
        Some(count) => Verdict::warn(format!("{count} since boot, by all sockets")),
    })
}

fn netdev_budget(host: &Host) -> Judged {
    let text = host.root.text("proc/net/softnet_stat").map_err(Verdict::unknown)?;
    let column = |at: usize| {
        let words = text.lines().filter_map(move |line| line.split_whitespace().nth(at));
        words.filter_map(|word| u64::from_str_radix(word, 16).ok()).sum::<u64>()
    };
    let (dropped, squeezed) = (column(1), column(2));
    let read = |name: &str| host.root.get(&format!("proc/sys/net/core/{name}")).unwrap_or_default();
    let what = format!(
        "budget {} or {} us, backlog {}; squeezed {squeezed}, dropped {dropped} since boot",
        read("netdev_budget"),
        read("netdev_budget_usecs"),
        read("netdev_max_backlog")
    );
    let low = BUDGETS.iter().any(|(name, wanted)| {
        host.root.number(&format!("proc/sys/net/core/{name}")).is_ok_and(|now| now < *wanted)
    });
    Ok(match (squeezed, dropped) {
        (0, 0) => Verdict::ok(what),
        _ if !low => Verdict::info(what),
        (_, 0) => Verdict::warn(what),
        _ => Verdict::bad(what),
    })
}

fn busy_read(host: &Host) -> Judged {
    let read = |name: &str| host.root.number(&format!("proc/sys/net/core/{name}"));
    let Ok(socket) = read("busy_read") else {
        return Ok(Verdict::warn("this kernel is built without CONFIG_NET_RX_BUSY_POLL"));
    };
    let poll = read("busy_poll").unwrap_or(0);
    let what = format!("busy_read {socket}, busy_poll {poll}");
    Ok(if host.nics().next().is_none() {
        Verdict::info(format!("{what}; without effect on loopback"))
    } else if socket >= BUSY_US {
        Verdict::ok(what)
    } else {
        Verdict::warn(what)
    })
}

fn napi_defer(host: &Host) -> Judged {
    let busy = host.root.number("proc/sys/net/core/busy_read").unwrap_or(0) > 0;
    let judge = |name: &str| {
        let read = |file: &str| host.root.number(&format!("sys/class/net/{name}/{file}"));
        let (Ok(defer), Ok(timeout)) = (read("napi_defer_hard_irqs"), read("gro_flush_timeout"))
        else {
            return Verdict::unknown(format!("{name} tells neither"));
        };
        let what = format!("{name}: {defer} and {timeout} ns");
        match (defer > 0, timeout > 0, busy) {
            (false, false, false) | (true, true, true) => Verdict::ok(what),
            (false, false, true) => Verdict::info(format!("{what}: the card still interrupts")),
            (true, false, _) => Verdict::info(format!("{what}: without effect")),
            (_, true, _) => Verdict::warn(format!("{what}: delays what is received")),
        }
    };
    Ok(Verdict::worst(host.nics().map(judge), "feeds come in by no card"))
}

/// The masks of a card's queues, by queue.
pub(super) fn masks(
    host: &Host,
    name: &str,
    kind: &str,
    file: &str,
) -> Vec<(String, Option<Cpus>)> {
    let folder = format!("sys/class/net/{name}/queues");
    let queues = host.root.list(&folder).into_iter().filter(|queue| queue.starts_with(kind));
    let mask = |queue: String| {
        let text = host.root.get(&format!("{folder}/{queue}/{file}"));
        (queue, text.and_then(|text| Cpus::from_mask(&text)))
    };
    queues.map(mask).collect()
}

fn rps(host: &Host) -> Judged {
    let judge = |name: &str| {
        let masks = masks(host, name, "rx-", "rps_cpus");
        let on = masks.iter().filter(|(_, mask)| mask.as_ref().is_some_and(|m| !m.is_empty()));
        let on: Vec<_> = on.map(|(queue, _)| queue.as_str()).collect();
        match (masks.len(), on.len()) {
            (0, _) => Verdict::unknown(format!("{name} shows no queues")),
            (all, 0) => Verdict::ok(format!("{name}: off on {all} queue(s)")),
            (all, some) => Verdict::warn(format!("{name}: on for {some} of {all} queues")),
        }
    };
    Ok(Verdict::worst(host.nics().map(judge), "feeds come in by no card"))
}

fn xps(host: &Host) -> Judged {
    let hot = host.hot()?;
    let judge = |name: &str| {
        let masks = masks(host, name, "tx-", "xps_cpus");
        if masks.len() < 2 {
            return Verdict::ok(format!("{name}: {} queue", masks.len()));
        }
        let alone = |cpu: &usize| {
            let own = masks.iter().filter_map(|(_, mask)| mask.as_ref());
            own.filter(|mask| mask.0.contains(cpu)).any(|mask| mask.and(hot).0.len() == 1)
        };
        let shared: Cpus = hot.0.iter().copied().filter(|cpu| !alone(cpu)).collect();
        if shared.is_empty() {
            Verdict::ok(format!("{name}: CPU {hot} have their own queues"))
        } else {
            Verdict::info(format!("{name}: CPU {shared} without a queue of their own"))
        }
    };
    Ok(Verdict::worst(host.nics().map(judge), "feeds come in by no card"))
}
