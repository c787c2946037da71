//! The network card's own settings, which only its driver tells.

use super::card::{self, Card};
use super::host::Host;
use super::tune::wants;
use super::{Check, Fix, Judged, Verdict, settle};

/// Descriptors that take a burst: 4,096 full frames are 5 ms of 10 Gbit/s.
const RING_MIN: u32 = 4_096;
pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "rx_ring",
        title: "receive ring of the card",
        wanted: "4096 descriptors, or all that the card has",
        why: "a burst that the softirq has not taken yet waits here; what does not fit is lost \
              before any socket could count it",
        effect: "no rx_missed_errors in bursts; a ring larger than the cache costs some latency; \
                 many drivers take the link down for a moment to change it",
        source: "ethtool(8), -g; Red Hat, Performance Tuning Guide, hardware buffers; Solarflare \
                 Server Adapter User Guide",
        fix: Fix::Apply(wants::rx_ring),
        judge: |host| settle(each(host, rx_ring)),
    },
    Check {
        id: "rx_drops",
        title: "frames that the card lost",
        wanted: "none since boot",
        why: "each is a gap in somebody's feed",
        effect: "tells whether ring or softirq were too slow so far",
        source: "networking/statistics.rst, rx_missed_errors and rx_fifo_errors",
        fix: Fix::Hand("a larger ring, and interrupts away from busy cores"),
        judge: |host| settle(drops(host)),
    },
    Check {
        id: "coalescing",
        title: "interrupt moderation",
        wanted: "adaptive-rx off, rx-usecs 0",
        why: "the card waits for more frames before it interrupts; adaptive moderation makes the \
              wait depend on what came before",
        effect: "up to rx-usecs for every frame that finds the core idle; adaptive moderation of \
                 one vendor waits for up to 60 us",
        source: "Solarflare Server Adapter User Guide, interrupt moderation: disabled for market \
                 data handling",
        fix: Fix::Apply(wants::coalescing),
        judge: |host| settle(each(host, coalescing)),
    },
    Check {
        id: "gro",
        title: "receive offloads that join frames",
        wanted: "rx-lro off, rx-udp-gro-forwarding off, rx-gro-list off",
        why: "frames are held back to be joined with later ones; for datagrams there is nothing \
              to win unless a socket asks for joined ones",
        effect: "a frame is delivered when it came",
        source: "networking/segmentation-offloads.rst; ethtool(8), -K; Solarflare Server Adapter \
                 User Guide, LRO",
        fix: Fix::Apply(wants::gro),
        judge: |host| settle(each(host, gro)),
    },
    Check {
        id: "flow_steering",
        title: "flow steering",
        wanted: "with several queues, ntuple filters on and a rule for each feed",
        why: "the card hashes each feed to a queue of its choice, and so to a core of its choice",
        effect: "a feed's interrupts and caches stay on one core that was chosen",
        source: "networking/scaling.rst, accelerated RFS and RSS; ethtool(8), -N; Cloudflare, How \
                 to achieve low latency with 10Gbps Ethernet",
        fix: Fix::Hand("ethtool -K IF ntuple on; ethtool -N IF flow-type udp4 ... action QUEUE"),
        judge: |host| settle(each(host, steering)),
    },
    Check {
        id: "timestamping",
        title: "time stamps of received frames",
        wanted: "in hardware",
        why: "software stamps begin when the softirq runs: what a frame waited before that does \
              not show",
        effect: "wire-to-action figures without the card's and the interrupt's share hidden; the \
                 engine uses software stamps today",
        source: "networking/timestamping.rst; ethtool(8), -T",
        fix: Fix::Hand("a card with a clock, and phc2sys or ptp4l to set it"),
        judge: |host| settle(each(host, stamps)),
    },
];

type OfCard = fn(&str, &Card) -> Result<Verdict, String>;

fn each(host: &Host, judge: OfCard) -> Judged {
    let judge = |name: &str| match host.card(name) {
        Ok(card) => {
            judge(name, &card).unwrap_or_else(|why| Verdict::unknown(format!("{name}: {why}")))
        }
        Err(why) => Verdict::unknown(why),
    };
    Ok(Verdict::worst(host.nics().map(judge), "feeds come in by no card"))
}

/// How many descriptors are wanted of a card.
pub(super) fn ring_wanted(card: &Card) -> Result<u32, String> {
    Ok(RING_MIN.min(card.number(card::RX_MAX)?))
}

fn rx_ring(name: &str, card: &Card) -> Result<Verdict, String> {
    let rx = card.number(card::RX)?;
    let what = format!("{name}: {rx} of {}", card.number(card::RX_MAX)?);
    Ok(if rx >= ring_wanted(card)? { Verdict::ok(what) } else { Verdict::warn(what) })
}

fn drops(host: &Host) -> Judged {
    let judge = |name: &str| {
        let read = |file: &str| {
            host.root.number(&format!("sys/class/net/{name}/statistics/{file}")).unwrap_or(0)
        };
        let files = ["rx_missed_errors", "rx_fifo_errors", "rx_dropped"];
        let [missed, fifo, dropped] = files.map(read);
        let what = format!("{name}: missed {missed}, fifo {fifo}, dropped {dropped}");
        match (missed + fifo, dropped) {
            (0, 0) => Verdict::ok(what),
            // The kernel also counts what no protocol wanted as dropped.
            (0, _) => Verdict::info(what),
            _ => Verdict::warn(what),
        }
    };
    Ok(Verdict::worst(host.nics().map(judge), "feeds come in by no card"))
}

fn coalescing(name: &str, card: &Card) -> Result<Verdict, String> {
    let (adaptive, usecs) = (card.text(card::ADAPTIVE_RX)?, card.number(card::RX_USECS)?);
    let what = format!("{name}: adaptive-rx {adaptive}, rx-usecs {usecs}");
    Ok(if adaptive == "on" || usecs > 0 { Verdict::warn(what) } else { Verdict::ok(what) })
}

/// The offloads that hold frames back.
pub(super) const JOINING: [&str; 3] = [card::LRO, card::FORWARDING, card::GRO_LIST];

fn gro(name: &str, card: &Card) -> Result<Verdict, String> {
    let gro = card.text(card::GRO)?;
    let wrong: Vec<_> = JOINING.into_iter().filter(|feature| card.is_on(feature)).collect();
    Ok(if wrong.is_empty() {
        Verdict::ok(format!("{name}: none of them; rx-gro {gro}, which serves TCP"))
    } else {
        Verdict::warn(format!("{name}: {} on", wrong.join(", ")))
    })
}

fn steering(name: &str, card: &Card) -> Result<Verdict, String> {
    let queues = card.number(card::RX_QUEUES)?;
    if queues < 2 {
        return Ok(Verdict::ok(format!("{name}: one queue")));
    }
    let filters = card.text(card::NTUPLE)?;
    let what =
        format!("{name}: {queues} queues, ntuple filters {filters} (rules: ethtool -n {name})");
    Ok(if filters == "on" { Verdict::ok(what) } else { Verdict::warn(what) })
}

fn stamps(name: &str, card: &Card) -> Result<Verdict, String> {
    Ok(match card.text(card::STAMPS)? {
        "hardware" => Verdict::ok(format!("{name}: in hardware")),
        "software" => Verdict::info(format!("{name}: by the kernel")),
        other => Verdict::info(format!("{name}: {other}")),
    })
}
