//! How cost grows: with multicast groups, symbols, keys, rules, shards, and the size of a record.
//!
//! Invariant: all points of a curve are measured in turns, so that each has its ratio to the first;
//! what grows along a curve is one thing alone.

mod groups;
mod records;

use std::path::Path;
use std::time::Duration;

use crate::cep::events::{Events, Query};
use crate::cep::ours::Ours;
use crate::many_rules::{self, Shape};
use crate::results::{Figure, Measurement, Point, Ratio};
use crate::session::Session;
use crate::stages::{Framing, Stage, pass};
use crate::stat::{CONFIDENCE, Rounds, Variant, bootstrap, in_turns_within, median, per_item};
use crate::throughput::{Capture, Topology, replay};

/// What grows.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Curve {
    /// Multicast groups that one reactor receives: wire to action.
    Groups,
    /// Symbols of an ITCH session: decoding, books and strategies.
    Symbols,
    /// Keys of a rule with windows.
    Keys,
    /// Rules over one stream, of which few can fire.
    Rules,
    /// Shards of a replay.
    Shards,
    /// Bytes of a record: journal and ring.
    RecordSizes,
}

impl Curve {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Groups, Self::Symbols, Self::Keys, Self::Rules, Self::Shards, Self::RecordSizes];

    /// As the command line spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Symbols => "symbols",
            Self::Keys => "keys",
            Self::Rules => "rules",
            Self::Shards => "shards",
            Self::RecordSizes => "record-sizes",
        }
    }
}

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Extent<'a> {
    /// Time for the rounds of one curve, besides what it takes to make its input.
    pub budget: Duration,
    /// Rounds at most.
    pub rounds_max: usize,
    /// Messages, events or records of a pass.
    pub messages: u64,
    /// Points above this are left out: for small versions.
    pub x_max: u64,
    /// The binary of this crate, for processes.
    pub binary: &'a Path,
    /// CPU of the side under test, and of the generator.
    pub cpus: (usize, usize),
    /// Where captures and journals are written: a memory file system.
    pub dir: &'a Path,
}

/// Measures a curve.
///
/// # Errors
/// If something of it cannot run.
pub fn measure(curve: Curve, extent: &Extent<'_>) -> anyhow::Result<Vec<Measurement>> {
    match curve {
        Curve::Groups => groups::measure(extent),
        Curve::Symbols => symbols(extent),
        Curve::Keys => keys(extent),
        Curve::Rules => rules(extent),
        Curve::Shards => shards(extent),
        Curve::RecordSizes => records::measure(extent),
    }
}

impl Extent<'_> {
    /// The points of a curve that are within reach.
    fn points(&self, all: &[u64]) -> Vec<u64> {
        all.iter().copied().filter(|x| *x <= self.x_max).collect()
    }

    fn rounds(&self, variants: Vec<Variant<'_>>) -> anyhow::Result<Rounds> {
        in_turns_within(self.budget, self.rounds_max, variants)
    }
}

/// The points of a curve, from the figures of every round; each with its ratio to the first.
fn points(
    curve: &str,
    axis: &str,
    xs: &[u64],
    figure: (&str, &str),
    of: &Rounds,
) -> Vec<Measurement> {
    let name = |place: usize| format!("scaling/{curve}/{}", xs[place]);
    let point = |place: usize| {
        let mut measurement = Measurement::new(name(place));
        measurement.set(axis, xs[place]);
        let x = xs[place] as f64;
        measurement.point = Some(Point { curve: curve.to_owned(), axis: axis.to_owned(), x });
        let (figure, unit) = figure;
        let rounds = of.figures(place).to_vec();
        let value = Figure::lower(figure, of.median(place), unit).with_rounds(rounds);
        measurement.figures.push(value);
        if place > 0 {
            measurement.ratios.push(ratio(figure, &name(0), of.figures(place), of.figures(0)));
        }
        measurement
    };
    (0..xs.len()).map(point).collect()
}

/// A ratio of figures that were taken in the same rounds.
fn ratio(figure: &str, over: &str, figures: &[f64], base: &[f64]) -> Ratio {
    let ratios: Vec<f64> = figures.iter().zip(base).map(|(figure, base)| figure / base).collect();
    let (low, high) = bootstrap(&ratios);
    Ratio {
        figure: figure.to_owned(),
        over: over.to_owned(),
        value: median(ratios.clone()),
        low,
        high,
        confidence: CONFIDENCE,
        pairs: ratios.len(),
    }
}

fn symbols(extent: &Extent<'_>) -> anyhow::Result<Vec<Measurement>> {
    let xs = extent.points(&[10, 100, 1_000, 8_000]);
    let sessions: anyhow::Result<Vec<Session>> =
        xs.iter().map(|&x| Session::with_symbols(extent.messages, x as u32)).collect();
    let sessions = sessions?;
    let variant = |session| {
        let work = move || Ok(pass(session, Framing::Mold, Stage::Decide, extent.dir)?.ns);
        Variant::new("symbols", work)
    };
    let rounds = extent.rounds(sessions.iter().map(variant).collect())?;
    Ok(points("symbols", "symbols", &xs, ("cpu", "ns/message"), &rounds))
}

fn keys(extent: &Extent<'_>) -> anyhow::Result<Vec<Measurement>> {
    let xs = extent.points(&[1_000, 10_000, 100_000, 1_000_000]);
    let mut variants = Vec::new();
    for &keys in &xs {
        let events = Events::with_keys(Query::Velocity, extent.messages as usize, keys);
        let mut ours = Ours::with_rules(Query::Velocity.rules(), &events)?;
        // Windows are full from the second pass on.
        ours.pass(0);
        let mut passes = 0;
        variants.push(Variant::new("keys", move || {
            passes += 1;
            Ok(per_item(events.list.len(), || ours.pass(passes * events.span_ms)))
        }));
    }
    let rounds = extent.rounds(variants)?;
    Ok(points("keys", "keys", &xs, ("cpu", "ns/record"), &rounds))
}

fn rules(extent: &Extent<'_>) -> anyhow::Result<Vec<Measurement>> {
    let xs = extent.points(&[1, 10, 100, 1_000, 10_000]);
    let events = &Events::generate(Query::Velocity, extent.messages as usize);
    let mut measurements = Vec::new();
    for shape in [Shape::Equal, Shape::Range] {
        let counts: Vec<usize> = xs.iter().map(|&count| count as usize).collect();
        let variants = many_rules::variants(shape, &counts, events)?;
        let half = Extent { budget: extent.budget / 2, ..extent.clone() };
        let rounds = half.rounds(variants)?;
        let curve = format!("rules-{}", shape.name());
        measurements.extend(points(&curve, "rules", &xs, ("cpu", "ns/record"), &rounds));
    }
    Ok(measurements)
}

fn shards(extent: &Extent<'_>) -> anyhow::Result<Vec<Measurement>> {
    let capture = &Capture::create(extent.messages, extent.dir)?;
    let xs = extent.points(&[1, 2, 4]);
    let cpu_ns = &std::cell::RefCell::new(vec![Vec::new(); xs.len() + 1]);
    let shapes = std::iter::once(Topology::Fused);
    let shapes = shapes.chain(xs.iter().map(|&shards| Topology::Pipelined(shards as usize)));
    let variant = |(place, topology): (usize, Topology)| {
        Variant::new("shards", move || {
            let pcap = capture.pcap();
            let source = (capture, pcap.as_path());
            let replayed = replay(extent.binary, source, topology, None, extent.dir)?;
            let messages = replayed.messages as f64;
            cpu_ns.borrow_mut()[place].push(replayed.cpu_ns / messages);
            Ok(replayed.wall_ns / messages)
        })
    };
    let rounds = extent.rounds(shapes.enumerate().map(variant).collect())?;
    let fused = "scaling/shards/fused";
    let point = |place: usize| {
        let name =
            if place == 0 { fused.to_owned() } else { format!("scaling/shards/{}", xs[place - 1]) };
        let mut measurement = Measurement::new(name);
        measurement.set("topology", if place == 0 { "fused" } else { "pipelined" });
        let cpu_ns = cpu_ns.borrow();
        let figures = [("wall", rounds.figures(place)), ("cpu", cpu_ns[place].as_slice())];
        for ((name, of), base) in figures.into_iter().zip([rounds.figures(0), &cpu_ns[0]]) {
            let figure = Figure::lower(name, median(of.to_vec()), "ns/message");
            measurement.figures.push(figure.with_rounds(of.to_vec()));
            if place > 0 {
                measurement.ratios.push(ratio(name, fused, of, base));
            }
        }
        if place > 0 {
            let x = xs[place - 1];
            measurement.set("shards", x);
            let (curve, axis) = ("shards".to_owned(), "shards".to_owned());
            measurement.point = Some(Point { curve, axis, x: x as f64 });
        }
        measurement
    };
    Ok((0..=xs.len()).map(point).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use corelane::sys::affinity;

    /// Small versions of the curves that need no process of their own; `tests/throughput.rs` has
    /// the others.
    #[test]
    fn every_curve_has_its_points() {
        let dir = tempfile::tempdir().unwrap();
        let cpus = affinity::allowed().unwrap();
        let extent = Extent {
            budget: Duration::ZERO,
            rounds_max: 2,
            messages: 21_000,
            x_max: 64,
            binary: Path::new("unused"),
            cpus: (cpus[0], cpus[cpus.len() - 1]),
            dir: dir.path(),
        };
        let count = |curve, extent: &Extent<'_>| {
            let rows = measure(curve, extent).unwrap();
            for row in &rows {
                let figure = &row.figures[0];
                assert!(figure.value > 0.0 && !figure.rounds.is_empty(), "{row:?}");
                assert!(row.point.is_some(), "{row:?}");
            }
            let with_ratio = rows.iter().filter(|row| !row.ratios.is_empty()).count();
            (rows.len(), with_ratio)
        };
        assert_eq!(count(Curve::Symbols, &extent), (1, 0));
        assert_eq!(count(Curve::Rules, &extent), (4, 2));
        let keys = Extent { x_max: 10_000, ..extent.clone() };
        assert_eq!(count(Curve::Keys, &keys), (2, 1));
        let sizes = Extent { x_max: 256, ..extent };
        assert_eq!(count(Curve::RecordSizes, &sizes), (10, 8));
    }

    #[test]
    fn more_groups_are_measured_against_one() {
        let dir = tempfile::tempdir().unwrap();
        let cpus = affinity::allowed().unwrap();
        let extent = Extent {
            budget: Duration::ZERO,
            rounds_max: 1,
            messages: 40,
            x_max: 2,
            binary: Path::new("unused"),
            cpus: (cpus[0], cpus[cpus.len() - 1]),
            dir: dir.path(),
        };
        let rows = measure(Curve::Groups, &extent).unwrap();
        let row = rows.iter().find(|row| row.name == "scaling/groups/socket/2").unwrap();
        assert_eq!(row.point.as_ref().unwrap().x, 2.0);
        let overs: Vec<&str> = row.ratios.iter().map(|ratio| ratio.over.as_str()).collect();
        assert!(
            overs.contains(&"scaling/groups/floor") && overs.contains(&"scaling/groups/socket/1")
        );
    }
}
