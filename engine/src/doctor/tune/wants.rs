//! What each check would have written, by the check that asks.
//!
//! Invariant: every value is one that the check then calls right, and a list of CPUs that is
//! written is never empty.

use super::Want;
use crate::doctor::card;
use crate::doctor::cpus::{EXIT_US_MAX, sleep_states};
use crate::doctor::cpuset::Cpus;
use crate::doctor::host::Host;
use crate::doctor::isolation::{self, WORKQUEUES};
use crate::doctor::network::{BUDGETS, BUSY_US, masks};
use crate::doctor::nic::{JOINING, ring_wanted};

/// What a seldom-used timer may take.
const STAT_SECONDS: u32 = 10;
/// Messages less important than this stay off consoles.
const CONSOLE_LEVEL: &str = "4";

fn one(path: &str, value: &(impl ToString + ?Sized)) -> Vec<Want> {
    vec![(path.to_owned(), value.to_string())]
}

/// The CPUs that are left for everything but hot threads; none if hot threads have all.
fn others(host: &Host) -> Option<Cpus> {
    let others = host.online().without(&host.needs.hot);
    (!others.is_empty()).then_some(others)
}

fn hot(host: &Host, file: &str) -> impl Iterator<Item = (usize, String)> {
    let path = move |cpu: &usize| (*cpu, format!("sys/devices/system/cpu/cpu{cpu}/{file}"));
    host.needs.hot.0.iter().map(path)
}

/// Preferences go first: a driver whose governor is `performance` refuses other ones.
pub(in crate::doctor) fn governor(host: &Host) -> Vec<Want> {
    let files = ["cpufreq/energy_performance_preference", "cpufreq/scaling_governor"];
    let paths = files.into_iter().flat_map(|file| hot(host, file));
    let there = paths.filter(|(_, path)| host.root.get(path).is_some());
    there.map(|(_, path)| (path, "performance".to_owned())).collect()
}

pub(in crate::doctor) fn cstates(host: &Host) -> Vec<Want> {
    let states = host.needs.hot.0.iter().flat_map(|&cpu| sleep_states(host, cpu));
    let deep = states.filter(|state| !state.disabled && state.exit_us > EXIT_US_MAX);
    deep.map(|state| (format!("{}/disable", state.path), "1".to_owned())).collect()
}

pub(in crate::doctor) fn numa_balancing(_: &Host) -> Vec<Want> {
    one("proc/sys/kernel/numa_balancing", &0)
}

pub(in crate::doctor) fn irqs(host: &Host) -> Vec<Want> {
    let Some(others) = others(host) else { return Vec::new() };
    let hot = &host.needs.hot;
    let all = isolation::interrupts(host).unwrap_or_default();
    let away = all.iter().filter_map(|irq| {
        let path = format!("proc/irq/{}/smp_affinity_list", irq.number);
        let asked = Cpus::from_list(&host.root.get(&path)?)?;
        if asked.and(hot).is_empty() {
            return None;
        }
        let rest = asked.and(&others);
        Some((path, if rest.is_empty() { &others } else { &rest }.to_string()))
    });
    away.collect()
}

pub(in crate::doctor) fn irq_default(host: &Host) -> Vec<Want> {
    others(host).map_or_else(Vec::new, |cpus| one("proc/irq/default_smp_affinity", &cpus.mask()))
}

pub(in crate::doctor) fn workqueues(host: &Host) -> Vec<Want> {
    let Some(others) = others(host) else { return Vec::new() };
    let there = WORKQUEUES.iter().filter(|path| host.root.get(path).is_some());
    there.map(|path| ((*path).to_owned(), others.mask())).collect()
}

pub(in crate::doctor) fn thp(host: &Host) -> Vec<Want> {
    let path = |file: &str| format!("sys/kernel/mm/transparent_hugepage/{file}");
    let mut wanted = Vec::new();
    if host.root.get(&path("enabled")).is_some() {
        wanted.push((path("enabled"), "madvise".to_owned()));
    }
    if host.root.get(&path("defrag")).is_some_and(|text| super::hand::value(&text) == "always") {
        wanted.push((path("defrag"), "madvise".to_owned()));
    }
    wanted
}

pub(in crate::doctor) fn swap(_: &Host) -> Vec<Want> {
    one("proc/sys/vm/swappiness", &1)
}

pub(in crate::doctor) fn clocksource(host: &Host) -> Vec<Want> {
    let path = |file: &str| format!("sys/devices/system/clocksource/clocksource0/{file}");
    let available = host.root.get(&path("available_clocksource")).unwrap_or_default();
    if available.split(' ').any(|name| name == "tsc") {
        one(&path("current_clocksource"), "tsc")
    } else {
        Vec::new()
    }
}

pub(in crate::doctor) fn timer_migration(_: &Host) -> Vec<Want> {
    one("proc/sys/kernel/timer_migration", &0)
}

pub(in crate::doctor) fn watchdogs(host: &Host) -> Vec<Want> {
    let mut wanted = one("proc/sys/kernel/nmi_watchdog", &0);
    let others = others(host);
    wanted.extend(others.map(|cpus| ("proc/sys/kernel/watchdog_cpumask".into(), cpus.to_string())));
    wanted
}

pub(in crate::doctor) fn stat_interval(_: &Host) -> Vec<Want> {
    one("proc/sys/vm/stat_interval", &STAT_SECONDS)
}

/// The first of four numbers; the other three stay.
pub(in crate::doctor) fn printk(host: &Host) -> Vec<Want> {
    let path = "proc/sys/kernel/printk";
    let Some(text) = host.root.get(path) else { return Vec::new() };
    let mut levels: Vec<_> = text.split_whitespace().collect();
    if let Some(console) = levels.first_mut() {
        *console = CONSOLE_LEVEL;
    }
    one(path, &levels.join("\t"))
}

pub(in crate::doctor) fn rmem_max(host: &Host) -> Vec<Want> {
    one("proc/sys/net/core/rmem_max", &host.needs.rcvbuf_bytes)
}

pub(in crate::doctor) fn budgets(host: &Host) -> Vec<Want> {
    let low = BUDGETS.iter().filter_map(|(name, wanted)| {
        let path = format!("proc/sys/net/core/{name}");
        let low = host.root.number(&path).is_ok_and(|now| now < *wanted);
        low.then(|| (path, wanted.to_string()))
    });
    low.collect()
}

pub(in crate::doctor) fn busy_read(host: &Host) -> Vec<Want> {
    let paths = ["busy_read", "busy_poll"].map(|name| format!("proc/sys/net/core/{name}"));
    let low = paths.into_iter().filter(|path| host.root.number(path).is_ok_and(|us| us < BUSY_US));
    low.map(|path| (path, BUSY_US.to_string())).collect()
}

pub(in crate::doctor) fn napi_defer(host: &Host) -> Vec<Want> {
    let files = ["napi_defer_hard_irqs", "gro_flush_timeout"];
    let paths =
        host.nics().flat_map(|name| files.map(|file| format!("sys/class/net/{name}/{file}")));
    let there = paths.filter(|path| host.root.get(path).is_some());
    there.map(|path| (path, "0".to_owned())).collect()
}

pub(in crate::doctor) fn rps(host: &Host) -> Vec<Want> {
    let queues = host.nics().flat_map(|name| {
        let masks = masks(host, name, "rx-", "rps_cpus").into_iter();
        let on = masks.filter(|(_, mask)| mask.as_ref().is_some_and(|mask| !mask.is_empty()));
        on.map(move |(queue, _)| format!("sys/class/net/{name}/queues/{queue}/rps_cpus"))
    });
    queues.map(|path| (path, "0".to_owned())).collect()
}

fn of_cards(host: &Host, wants: impl Fn(&card::Card) -> Vec<(&'static str, String)>) -> Vec<Want> {
    let cards = host.nics().filter_map(|name| Some((name, host.card(name).ok()?)));
    let all = cards.flat_map(|(name, card)| {
        let wanted = wants(&card).into_iter();
        wanted.map(move |(setting, value)| (format!("ethtool/{name}/{setting}"), value))
    });
    all.collect()
}

pub(in crate::doctor) fn rx_ring(host: &Host) -> Vec<Want> {
    of_cards(host, |card| {
        let low = |wanted: &u32| card.number(card::RX).is_ok_and(|now| now < *wanted);
        let wanted = ring_wanted(card).ok().filter(low);
        wanted.map(|wanted| (card::RX, wanted.to_string())).into_iter().collect()
    })
}

pub(in crate::doctor) fn coalescing(host: &Host) -> Vec<Want> {
    of_cards(host, |card| {
        let mut wanted = Vec::new();
        if card.is_on(card::ADAPTIVE_RX) {
            wanted.push((card::ADAPTIVE_RX, "off".to_owned()));
        }
        if card.number(card::RX_USECS).is_ok_and(|usecs| usecs > 0) {
            wanted.push((card::RX_USECS, "0".to_owned()));
        }
        wanted
    })
}

pub(in crate::doctor) fn gro(host: &Host) -> Vec<Want> {
    of_cards(host, |card| {
        let on = JOINING.into_iter().filter(|feature| card.is_on(feature));
        on.map(|feature| (feature, "off".to_owned())).collect()
    })
}
