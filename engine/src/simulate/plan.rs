//! What a seed draws: the shape of the engine, its rules, what comes in, and what goes wrong.
//!
//! Invariant: a plan depends on the seed alone.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use super::desk::Manners;
use crate::generate::MessageSink;
use crate::generate::rng::Rng;
use crate::generate::session::{self, generate};

/// Messages of a seed's session.
const MESSAGES: (u32, u32) = (240, 700);
/// Packets held ahead of a hole: more than a session has.
const HOLD_MAX: u32 = 1024;
/// The folder of a world in which its disk has its files.
pub(super) const DISK: &str = "disk";
/// Deaths of a seed's engine, at most.
const DEATHS_MAX: u32 = 5;

/// Multicast lines that carry the same messages.
#[derive(Copy, Clone, Debug)]
pub(super) struct Lines {
    pub(super) count: usize,
    /// On the first line nothing is lost, repeated or out of order.
    pub(super) first_is_clean: bool,
    pub(super) lost_in_1024: u32,
    pub(super) repeated_in_1024: u32,
    pub(super) reordered_in_1024: u32,
    /// The longest way, in nanoseconds.
    pub(super) delay_ns: u32,
}

/// What happens to files between a death and the next start.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum AtRest {
    /// Nothing.
    Kept,
    /// A bit flips.
    Flipped,
}

/// How the journal is copied to the disk.
#[derive(Copy, Clone, Debug)]
pub(super) struct DiskPlan {
    /// An action leaves only when it is on disk.
    pub(super) sync: bool,
    /// Full, durable segments that stay in memory.
    pub(super) hot_segments: u32,
    /// How many of 1024 turns of the disk are none: it is slow.
    pub(super) slow_in_1024: u32,
    /// How many of 1024 deaths are power cuts.
    pub(super) power_in_1024: u32,
    /// The disk fails to sync now and then.
    pub(super) breaks: bool,
    /// Full segments are compressed while nothing runs.
    pub(super) compresses: bool,
}

/// See the [module](self).
pub(super) struct Plan {
    pub(super) messages: Arc<Vec<Vec<u8>>>,
    pub(super) pipelined: bool,
    pub(super) shards: usize,
    pub(super) segment_bytes: usize,
    pub(super) hold_max: u32,
    /// None is SoupBinTCP.
    pub(super) lines: Option<Lines>,
    pub(super) server_breaks_in_1024: u32,
    pub(super) manners: Manners,
    /// Rules before and behind the message at which they change, if they do.
    pub(super) rules: [String; 2],
    pub(super) rules_change_at: Option<usize>,
    pub(super) deaths: u32,
    /// Deaths leave the last stores undone that nobody had seen.
    pub(super) tears: bool,
    pub(super) at_rest: AtRest,
    /// The disk is full now and then.
    pub(super) fills_up: bool,
    pub(super) strategies: bool,
    /// How the journal survives a power cut, if it does.
    pub(super) disk: Option<DiskPlan>,
    /// Records between two snapshots, if any are taken.
    pub(super) snapshot_every: Option<u32>,
    /// Segments that stay when nothing needs them any more, if any go.
    pub(super) retain_segments: Option<u32>,
}

/// Messages of a session, each for itself.
#[derive(Default)]
struct Messages(Vec<Vec<u8>>);

impl MessageSink for Messages {
    fn message(&mut self, _ns: u64, bytes: &[u8]) {
        self.0.push(bytes.to_vec());
    }
}

impl Plan {
    /// What `rng` draws.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let config = session::Config {
            messages: u64::from(rng.between(MESSAGES.0, MESSAGES.1)),
            symbols: rng.between(2, 6),
            seed: rng.bits(),
            ..session::Config::default()
        };
        let made = generate(&config, Messages::default());
        let messages = made.map(|(messages, _)| messages.0).unwrap_or_default();
        let pipelined = rng.chance(640);
        let lines = rng.chance(400).then(|| draw_lines(rng));
        let deaths = rng.below(DEATHS_MAX + 1);
        let rules_change_at = rng.chance(340).then(|| rng.below(messages.len() as u32) as usize);
        let mut plan = Self {
            messages: Arc::new(messages),
            pipelined,
            shards: if pipelined { *rng.one_of(&[1, 2, 4]) } else { 1 },
            segment_bytes: *rng.one_of(&[4 << 10, 8 << 10, 16 << 10, 64 << 10]),
            hold_max: *rng.one_of(&[4, 64, HOLD_MAX]),
            lines,
            server_breaks_in_1024: *rng.one_of(&[0, 2, 20]),
            manners: Manners {
                delay_ns: *rng.one_of(&[1_000, 200_000, 5_000_000]),
                lasts_ns: *rng.one_of(&[0, 20_000_000, 500_000_000]),
                away_ns: *rng.one_of(&[1_000, 10_000_000, 900_000_000]),
            },
            rules: [draw_rules(rng), draw_rules(rng)],
            rules_change_at,
            deaths,
            tears: rng.chance(700),
            at_rest: if deaths > 0 && rng.chance(128) { AtRest::Flipped } else { AtRest::Kept },
            fills_up: rng.chance(160),
            strategies: rng.chance(512),
            disk: None,
            snapshot_every: None,
            retain_segments: None,
        };
        // Drawn last, so that it takes nothing from what a seed drew before there was a disk.
        plan.disk = rng.chance(512).then(|| draw_disk(rng));
        plan.snapshot_every = rng.chance(400).then(|| rng.between(5, 200));
        let retains = plan.snapshot_every.is_some() && rng.chance(512);
        plan.retain_segments = retains.then(|| rng.between(1, 4));
        plan
    }

    /// Whether every message reaches the engine, whatever happens to it: what comes out must then
    /// be what comes out of an undisturbed run.
    pub(super) fn is_lossless(&self) -> bool {
        match &self.lines {
            None => true,
            // Nobody multicasts again what came while the engine was dead.
            // Too many packets ahead of a slow clean line are no more held, but its are a gap.
            Some(lines) => {
                lines.first_is_clean
                    && self.hold_max == HOLD_MAX
                    && self.deaths == 0
                    && !self.fills_up
                    && !self.disk.is_some_and(|disk| disk.breaks)
            }
        }
    }

    /// A line of it, for a trace.
    pub(super) fn summary(&self) -> String {
        let Self { shards, segment_bytes, hold_max, lines, deaths, tears, fills_up, .. } = self;
        let topology = if self.pipelined { "pipelined" } else { "fused" };
        format!(
            "{} messages, {topology}, {shards} shards, segments of {segment_bytes} bytes, \
             lines {lines:?} (hold {hold_max}), server breaks {} in 1024, {:?}, rules change at \
             {:?}, {deaths} deaths, tears {tears}, {:?}, fills up {fills_up}, {:?}, \
             snapshots {:?}, segments kept {:?}",
            self.messages.len(),
            self.server_breaks_in_1024,
            self.manners,
            self.rules_change_at,
            self.at_rest,
            self.disk,
            self.snapshot_every,
            self.retain_segments,
        )
    }

    /// The same without anything that goes wrong.
    pub(super) fn undisturbed(&self) -> Self {
        let manners = Manners { lasts_ns: 0, ..self.manners };
        let clean = |lines: Lines| Lines { count: 1, first_is_clean: true, ..lines };
        Self {
            messages: Arc::clone(&self.messages),
            lines: self.lines.map(clean),
            server_breaks_in_1024: 0,
            manners,
            rules: self.rules.clone(),
            deaths: 0,
            tears: false,
            at_rest: AtRest::Kept,
            fills_up: false,
            disk: None,
            snapshot_every: None,
            retain_segments: None,
            ..*self
        }
    }

    /// The configuration of an engine in a folder.
    pub(super) fn config(&self, dir: &Path) -> String {
        let dir = dir.display();
        let topology = if self.pipelined { "pipelined" } else { "fused" };
        let mut text = format!(
            "name = \"simulated\"\n[engine]\ntopology = \"{topology}\"\nshards = {}\n\
             wait = \"yield\"\nring_slots = 16384\norders_max = 1024\n\
             [journal]\ndir = \"{dir}/journal\"\n",
            self.shards
        );
        if let Some(DiskPlan { sync, hot_segments, .. }) = self.disk {
            let durability = if sync { "sync" } else { "interval" };
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "durability = \"{durability}\"\ndurable_dir = \"{dir}/{DISK}/durable\"\n\
                 hot_segments = {hot_segments}"
            );
        }
        if let Some(every) = self.snapshot_every {
            let _ = writeln!(text, "snapshot_every = {every}");
        }
        if let Some(segments) = self.retain_segments {
            let _ = writeln!(text, "retain_segments = {segments}");
        }
        text.push_str("[[feed]]\nname = \"feed\"\nprotocol = \"itch50\"\n");
        match &self.lines {
            Some(lines) => {
                let lines: Vec<_> =
                    (1..=lines.count).map(|line| format!("\"239.0.0.{line}:9\"")).collect();
                let (lines, hold_max) = (lines.join(", "), self.hold_max);
                let _ = writeln!(text, "lines = [{lines}]\nhold_max = {hold_max}");
            }
            None => text.push_str("connect = \"127.0.0.1:9\"\nusername = \"user\"\n"),
        }
        if self.strategies {
            text.push_str("[[strategy]]\ntype = \"imbalance\"\ncooldown = \"1ms\"\n");
            text.push_str("[[strategy]]\ntype = \"layering\"\n");
        }
        let _ = writeln!(
            text,
            "[[rules]]\nfile = \"{dir}/rules.sql\"\n\
             [[sink]]\nname = \"desk\"\ntype = \"tcp\"\naddress = \"127.0.0.1:8\"\n\
             acknowledged = true\nbuffer = \"1MiB\"\n\
             [[sink]]\nname = \"file\"\ntype = \"file\"\npath = \"{dir}/actions.jsonl\""
        );
        text
    }
}

fn draw_disk(rng: &mut Rng) -> DiskPlan {
    DiskPlan {
        sync: rng.chance(512),
        hot_segments: *rng.one_of(&[1, 2, 1000]),
        slow_in_1024: *rng.one_of(&[0, 500, 1000]),
        power_in_1024: *rng.one_of(&[300, 700, 1024]),
        breaks: rng.chance(200),
        compresses: rng.chance(300),
    }
}

fn draw_lines(rng: &mut Rng) -> Lines {
    let first_is_clean = rng.chance(512);
    Lines {
        count: if first_is_clean { 2 } else { rng.between(1, 3) as usize },
        first_is_clean,
        lost_in_1024: *rng.one_of(&[0, 10, 200]),
        repeated_in_1024: *rng.one_of(&[0, 30, 300]),
        reordered_in_1024: *rng.one_of(&[0, 30, 200]),
        delay_ns: *rng.one_of(&[1_000, 100_000, 3_000_000]),
    }
}

/// Rules that act often, over windows, per key; some of them in shadow.
fn draw_rules(rng: &mut Rng) -> String {
    let (rows, every) = (rng.between(2, 60), rng.between(1, 4));
    let (shadow, more) = (rng.chance(300), rng.between(2, 9));
    let mut text = format!(
        "CREATE ACTION print (symbol SYMBOL, notional DECIMAL(18,2), nth BIGINT);\n\
         CREATE RULE every_some WITH (keys_max = 64) ON book.order PARTITION BY symbol\n  \
         WHEN kind = 'A' AND count(*) OVER (ROWS {rows} PRECEDING) % {every} = 0\n  \
         THEN print(symbol, price * qty, count(*) OVER (ROWS {rows} PRECEDING));\n"
    );
    if shadow {
        text.push_str(
            "CREATE RULE shaded WITH (mode = 'shadow', keys_max = 64) ON book.order\n  \
             PARTITION BY symbol WHEN kind = 'E' THEN print(symbol, price * qty, 1);\n",
        );
    }
    let _ = write!(
        text,
        "INSERT INTO alert (kind, symbol, price, count)\n\
         SELECT 'other', symbol, price, count(*) OVER last FROM book.order WHERE kind = 'D'\n\
         WINDOW last AS (PARTITION BY symbol ROWS {rows} PRECEDING)\n\
         QUALIFY count(*) OVER last % {more} = 0 WITH (keys_max = 64);\n"
    );
    text
}
