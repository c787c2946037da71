//! One row of a table: a side with its parameters, and the rounds in which it was measured.
//!
//! Invariant: round `n` of every variant of a comparison lies between the same two moments, so that
//! the ratio to the floor is taken pair by pair.

use hdrhistogram::Histogram;

use super::stages::{Stages, add_stages, histogram};
use super::{Loop, Setup, Side, Window, intervals, summary};
use crate::results::{Encoded, Figure, Measurement, Rate, Ratio, Stage, ThreadUse};
use crate::stat::{CONFIDENCE, bootstrap, median};

/// The quantiles that are figures.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
/// Those of them that are compared with the floor.
const COMPARED: [&str; 4] = ["p50", "p90", "p99", "p99.9"];

/// What distinguishes a row.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name in results.
    pub name: String,
    /// Who answers.
    pub side: Side,
}

/// What was measured of a row so far.
#[derive(Debug)]
pub struct Rounds {
    measurement: Measurement,
    intended: Histogram<u64>,
    /// Of each round, in the order of [`QUANTILES`].
    quantiles: Vec<[f64; QUANTILES.len()]>,
    rates: Vec<f64>,
    lost: u64,
    stages: Stages,
    interval_ns: u64,
    shares_cpus: bool,
}

impl Rounds {
    /// No rounds yet of a row that is measured with `setup`.
    #[must_use]
    pub fn new(variant: &Variant, setup: &Setup<'_>) -> Self {
        let mut measurement = Measurement::new(&variant.name);
        measurement.set("transport", setup.transport.name());
        measurement.set("path", setup.path.name());
        measurement.set("groups", setup.groups);
        measurement.set("rate", format!("{:.0}", setup.schedule.rate()));
        measurement.set("loop", if setup.kind == Loop::Open { "open" } else { "closed" });
        let mut shares_cpus = false;
        match &variant.side {
            Side::Floor => measurement.set("side", "floor"),
            Side::Engine(engine) => {
                measurement.set("side", "engine");
                measurement.set("backend", &engine.backend);
                measurement.set("topology", &engine.topology);
                measurement.set("waiting", &engine.waiting);
                shares_cpus = engine.topology == "pipelined" && setup.engine_cpus.len() < 2;
            }
        }
        if shares_cpus {
            let note = "reactor and shard share one CPU: this machine has none to spare";
            measurement.notes.push(note.to_owned());
        }
        Self {
            measurement,
            intended: histogram(),
            quantiles: Vec::new(),
            rates: Vec::new(),
            lost: 0,
            stages: Stages::new(),
            interval_ns: u64::try_from(setup.interval.as_nanos()).unwrap_or(u64::MAX).max(1),
            shares_cpus,
        }
    }

    /// Adds a round.
    pub fn add(&mut self, window: &Window) {
        let pings = summary(&window.sent);
        // Equal bounds: adding cannot fail.
        let _ = self.intended.add(&pings.intended);
        self.quantiles.push(QUANTILES.map(|(_, q)| pings.intended.value_at_quantile(q) as f64));
        let round = self.rates.len() as u32;
        self.rates.push(pings.rate);
        self.lost += pings.lost;
        let measurement = &mut self.measurement;
        measurement.intervals.extend(intervals(window, self.interval_ns, round, self.shares_cpus));
        add_stages(&mut self.stages, &window.stages);
        window.threads.iter().for_each(|thread| add_thread(&mut measurement.threads, thread));
        for (name, value) in &window.counters {
            *measurement.counters.entry(name.clone()).or_default() += value;
        }
        for note in &window.notes {
            measurement.notes.push(format!("round {round}: {note}"));
        }
    }

    /// Adds counters that were taken in a round of their own.
    pub fn count(&mut self, window: &Window) {
        for (name, value) in &window.counters {
            if name.starts_with("perf.") {
                self.measurement.counters.insert(name.clone(), *value);
            }
        }
    }

    /// The row, with its ratios to the floor.
    #[must_use]
    pub fn finish(&self, floor: Option<&Self>) -> Measurement {
        let mut measurement = self.measurement.clone();
        if self.rates.is_empty() {
            return measurement;
        }
        measurement.histogram = Some(Encoded::of(&self.intended));
        let wanted = measurement.parameters["rate"].parse().unwrap_or(0.0);
        measurement.rate = Some(Rate { wanted, achieved: median(self.rates.clone()) });
        for (place, (name, _)) in QUANTILES.into_iter().enumerate() {
            let rounds = self.rounds(place);
            let figure = Figure::lower(name, median(rounds.clone()), "ns");
            measurement.figures.push(figure.with_rounds(rounds));
            if let Some(floor) = floor
                && COMPARED.contains(&name)
            {
                let ratio = self.ratio(place, floor);
                measurement.ratios.push(Ratio { figure: name.to_owned(), ..ratio });
            }
        }
        measurement.figures.push(Figure::lower("lost", self.lost as f64, "messages"));
        let packets = self.intended.len() as f64 + self.lost as f64;
        let disturbed = measurement.intervals.iter().filter(|i| !i.disturbed.is_empty()).count();
        let share = disturbed as f64 / measurement.intervals.len().max(1) as f64;
        measurement.figures.push(Figure::plain("disturbed", share, "share of intervals"));
        if self.lost > 0 {
            measurement.notes.push(format!("{} of {packets} pings had no answer", self.lost));
        }
        let stage = |(name, times): &(&'static str, Histogram<u64>)| Stage {
            name: (*name).to_owned(),
            histogram: Encoded::of(times),
        };
        measurement.stages = self.stages.iter().map(stage).collect();
        measurement
    }

    fn rounds(&self, place: usize) -> Vec<f64> {
        self.quantiles.iter().map(|quantiles| quantiles[place]).collect()
    }

    fn ratio(&self, place: usize, floor: &Self) -> Ratio {
        let pairs = self.rounds(place).into_iter().zip(floor.rounds(place));
        let ratios: Vec<f64> = pairs.map(|(ours, floor)| ours / floor).collect();
        let (low, high) = bootstrap(&ratios);
        Ratio {
            figure: String::new(),
            over: floor.measurement.name.clone(),
            value: median(ratios.clone()),
            low,
            high,
            confidence: CONFIDENCE,
            pairs: ratios.len(),
        }
    }
}

/// Adds what a thread of that name did in another round.
fn add_thread(threads: &mut Vec<ThreadUse>, thread: &ThreadUse) {
    let Some(sum) = threads.iter_mut().find(|known| known.name == thread.name) else {
        threads.push(thread.clone());
        return;
    };
    if let (Some(mine), Some(other)) = (sum.busy_share, thread.busy_share) {
        let (before, more) = (sum.wall_ns as f64, thread.wall_ns as f64);
        sum.busy_share = Some((mine * before + other * more) / (before + more).max(1.0));
    }
    sum.cpu = thread.cpu;
    sum.wall_ns += thread.wall_ns;
    sum.running_ns += thread.running_ns;
    sum.waiting_ns += thread.waiting_ns;
    sum.switches_voluntary += thread.switches_voluntary;
    sum.switches_involuntary += thread.switches_involuntary;
    sum.faults_minor += thread.faults_minor;
    sum.faults_major += thread.faults_major;
    sum.timer_interrupts += thread.timer_interrupts;
    sum.tlb_shootdowns += thread.tlb_shootdowns;
    sum.other_interrupts += thread.other_interrupts;
}
