//! The result of a run of a benchmark, as JSON: what `latency`, `throughput` and `scaling` write,
//! and what reports and comparisons read.
//!
//! ```text
//! Results ── machine, state before / during / after
//!    └─ Measurement *   one thing measured with one set of parameters
//!         ├─ histogram, interval *      latency, whole and over time; an interval may be disturbed
//!         ├─ figure *                   single numbers: a rate, nanoseconds a packet, memory
//!         ├─ ratio *                    a figure over the same figure of another measurement
//!         └─ stage *, thread *, counters    where the time went
//! ```
//!
//! Invariants: a histogram is never thinned out: what the host disturbed is in it, and the interval
//! says so. Times are nanoseconds. A measurement that could not be made stands there with the
//! reason. Fields are only ever added within a version, so a reader takes unknown ones for noise.
//!
//! ```
//! use corelane_bench::results::{Figure, Measurement, Results};
//! let mut results = Results::new("throughput");
//! let mut measurement = Measurement::new("replay");
//! measurement.set("messages", 1_000_000);
//! measurement.figures.push(Figure::higher("rate", 5e6, "messages/s"));
//! results.measurements.push(measurement);
//! let again = Results::from_json(&results.to_json()).unwrap();
//! assert_eq!(again, results);
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// The version of the format; another one is refused.
pub const VERSION: u32 = 1;

/// All that one command measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Results {
    /// [`VERSION`].
    pub version: u32,
    /// The subcommand: `latency`, `throughput`, `scaling`.
    pub benchmark: String,
    /// What distinguishes this run from others for a reader, such as a branch; may be empty.
    #[serde(default)]
    pub label: String,
    /// The program's version, and its commit if the checkout says it.
    #[serde(default)]
    pub program: String,
    /// The command line.
    #[serde(default)]
    pub command: Vec<String>,
    /// When it began, nanoseconds since the epoch.
    #[serde(default)]
    pub started_ns: u64,
    /// How long it took.
    #[serde(default)]
    pub wall_ns: u64,
    /// The machine it ran on.
    #[serde(default)]
    pub machine: Machine,
    /// What the machine did besides: before, during (the whole of the run) and after.
    #[serde(default)]
    pub states: Vec<MachineState>,
    /// What was measured, in the order in which tables show it.
    pub measurements: Vec<Measurement>,
}

/// A machine, as far as it bears on figures.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The CPU by its own name.
    pub cpu_model: String,
    /// Logical CPUs of the machine.
    pub cpus: usize,
    /// Those that the benchmark may use.
    pub cpus_allowed: Vec<usize>,
    /// Kernel release.
    pub kernel: String,
    /// Under which hypervisor, if any: `kvm`, `unknown hypervisor`; empty on bare metal.
    pub hypervisor: String,
    /// Frequency governor of the first CPU; empty where the kernel shows none.
    pub governor: String,
    /// The kernel's clock source.
    pub clocksource: String,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Isolation and tick settings of the kernel's command line; empty if there are none.
    pub isolation: String,
    /// Further settings worth knowing, by name.
    pub settings: BTreeMap<String, String>,
}

/// What a machine did besides the benchmark in a stretch of time.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineState {
    /// `before`, `during` or `after`.
    pub when: String,
    /// From when, nanoseconds since the epoch.
    pub start_ns: u64,
    /// For how long.
    pub span_ns: u64,
    /// Load average of a minute at its end.
    pub load: f64,
    /// Each CPU.
    pub cpus: Vec<CpuState>,
}

/// One CPU in a [`MachineState`].
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuState {
    /// Its number.
    pub cpu: usize,
    /// Time that the hypervisor gave to somebody else (`steal` of /proc/stat, 10 ms steps).
    pub steal_ns: u64,
    /// Time that it was busy, whoever with.
    pub busy_ns: u64,
    /// Local timer interrupts.
    pub timer_interrupts: u64,
    /// TLB shootdowns.
    pub tlb_shootdowns: u64,
    /// All other interrupts.
    pub other_interrupts: u64,
    /// What a thread that only read the clock on this CPU found; absent for `during`.
    pub spin: Option<SpinGaps>,
}

/// Gaps between two readings of the clock in a spinning thread.
#[derive(Copy, Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct SpinGaps {
    /// For how long it spun.
    pub wall_ns: u64,
    /// How much of that was in gaps over a microsecond.
    pub lost_ns: u64,
    /// Such gaps.
    pub gaps: u64,
    /// The longest.
    pub max_ns: u64,
}

/// One thing measured with one set of parameters.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Measurement {
    /// Unique among the measurements of a file and the same in the next run with the same
    /// parameters: comparisons pair measurements by it.
    pub name: String,
    /// What was set, by name: `backend`, `topology`, `waiting`, `transport` (`multicast`,
    /// `unicast`, `tcp`), `path` (`loopback`, `veth`), `side` (`engine`, `floor`), `rate`,
    /// `groups`...
    pub parameters: BTreeMap<String, String>,
    /// Its place on a curve, if it is a point of one.
    pub point: Option<Point>,
    /// Why it could not be made; then nothing below is there.
    pub unavailable: Option<String>,
    /// Messages per second.
    pub rate: Option<Rate>,
    /// Latency from the intended send time, nanoseconds, all rounds together.
    pub histogram: Option<Encoded>,
    /// The same over time.
    pub intervals: Vec<Interval>,
    /// Single numbers.
    pub figures: Vec<Figure>,
    /// Figures over those of another measurement, taken in turns with it.
    pub ratios: Vec<Ratio>,
    /// Time per stage, by the engine's own stamps, in the order of the way.
    pub stages: Vec<Stage>,
    /// The threads of the side that was measured, and of the generator.
    pub threads: Vec<ThreadUse>,
    /// Counters of the engine and, where they exist, of the CPU (`perf.instructions`, ...).
    pub counters: BTreeMap<String, f64>,
    /// What there is to say besides, a sentence each: what could not be counted and why, too.
    pub notes: Vec<String>,
}

/// A place on a curve.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Point {
    /// Which curve: measurements with the same one are its points.
    pub curve: String,
    /// What grows along it: `groups`, `rules`, ...
    pub axis: String,
    /// Where on it.
    pub x: f64,
}

/// Messages per second.
#[derive(Copy, Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Rate {
    /// As scheduled.
    pub wanted: f64,
    /// As they left.
    pub achieved: f64,
}

/// A histogram as HdrHistogram's V2 deflate encoding in base64: what stands in an `.hlog` line.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Encoded(pub String);

/// A stretch of a measurement.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Interval {
    /// Which round of the turns, from 0.
    pub round: u32,
    /// Beginning, from the first message of the round that counts.
    pub start_ns: u64,
    /// Length.
    pub span_ns: u64,
    /// Messages sent in it.
    pub sent: u64,
    /// Latency of the messages that were to be sent in it.
    pub histogram: Encoded,
    /// How the host disturbed it, a sentence each; empty if it did not.
    pub disturbed: Vec<String>,
}

/// A single number.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Figure {
    /// What it is: `p50`, `p99`, `rate_max`, `cpu_per_packet`, `memory_peak`, ...
    pub name: String,
    /// Its value: the median where it was taken over and over.
    pub value: f64,
    /// `ns`, `bytes`, `messages/s`, ...
    pub unit: String,
    /// Whether more is better; absent if neither is.
    pub higher_is_better: Option<bool>,
    /// The value in every round, if it was taken over and over.
    pub rounds: Vec<f64>,
}

/// A figure over the same figure of another measurement.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Ratio {
    /// Which figure.
    pub figure: String,
    /// The name of the measurement that it is divided by.
    pub over: String,
    /// The median over the pairs.
    pub value: f64,
    /// Lower end of the bootstrap confidence interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Its confidence: 0.95.
    pub confidence: f64,
    /// How many pairs were measured.
    pub pairs: usize,
}

/// Time in a stage.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Stage {
    /// As the engine's reports call it.
    pub name: String,
    /// Nanoseconds.
    pub histogram: Encoded,
}

/// What became of a thread's time while it was measured.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ThreadUse {
    /// Its name.
    pub name: String,
    /// The CPU it last ran on.
    pub cpu: usize,
    /// For how long it was watched.
    pub wall_ns: u64,
    /// It ran; a thread that spins runs all the time.
    pub running_ns: u64,
    /// It could have run and its CPU was another's.
    pub waiting_ns: u64,
    /// The share of its running time with work in hand, where the engine tells it.
    pub busy_share: Option<f64>,
    /// It gave up its CPU.
    pub switches_voluntary: u64,
    /// Its CPU was taken away.
    pub switches_involuntary: u64,
    /// Page faults without a disk.
    pub faults_minor: u64,
    /// Page faults that waited for one.
    pub faults_major: u64,
    /// Timer interrupts on its CPU meanwhile.
    pub timer_interrupts: u64,
    /// TLB shootdowns on its CPU meanwhile.
    pub tlb_shootdowns: u64,
    /// Other interrupts on its CPU meanwhile.
    pub other_interrupts: u64,
}

impl Results {
    /// Empty results of a subcommand that begins now.
    #[must_use]
    pub fn new(benchmark: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            version: VERSION,
            benchmark: benchmark.to_owned(),
            label: String::new(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            command: std::env::args().skip(1).collect(),
            started_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            wall_ns: 0,
            machine: Machine::default(),
            states: Vec::new(),
            measurements: Vec::new(),
        }
    }

    /// The measurement of that name.
    #[must_use]
    pub fn measurement(&self, name: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|measurement| measurement.name == name)
    }

    /// As JSON, indented.
    ///
    /// # Panics
    /// Never: every part can be written as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data") + "\n"
    }

    /// From JSON.
    ///
    /// # Errors
    /// If the text is no result, or of another version.
    pub fn from_json(text: &str) -> anyhow::Result<Self> {
        let results: Self = serde_json::from_str(text).context("not a result of a benchmark")?;
        let found = results.version;
        ensure!(found == VERSION, "results of version {found}: this program reads {VERSION}");
        Ok(results)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, self.to_json()).with_context(|| format!("writing {}", path.display()))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or is no result.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("reading {}", path.display()))?;
        Self::from_json(&text).with_context(|| path.display().to_string())
    }
}

impl Measurement {
    /// An empty one.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Sets a parameter.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts, given as they are")]
    pub fn set(&mut self, parameter: &str, value: impl ToString) {
        self.parameters.insert(parameter.to_owned(), value.to_string());
    }

    /// A figure by its name.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// A ratio by its figure's name.
    #[must_use]
    pub fn ratio(&self, figure: &str) -> Option<&Ratio> {
        self.ratios.iter().find(|ratio| ratio.figure == figure)
    }
}

impl Figure {
    /// A figure of which less is better.
    #[must_use]
    pub fn lower(name: &str, value: f64, unit: &str) -> Self {
        Self { higher_is_better: Some(false), ..Self::plain(name, value, unit) }
    }

    /// A figure of which more is better.
    #[must_use]
    pub fn higher(name: &str, value: f64, unit: &str) -> Self {
        Self { higher_is_better: Some(true), ..Self::plain(name, value, unit) }
    }

    /// A figure that is neither.
    #[must_use]
    pub fn plain(name: &str, value: f64, unit: &str) -> Self {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        Self { name, value, unit, higher_is_better: None, rounds: Vec::new() }
    }

    /// The same with the value of every round.
    #[must_use]
    pub fn with_rounds(mut self, rounds: Vec<f64>) -> Self {
        self.rounds = rounds;
        self
    }
}

impl Encoded {
    /// Encodes a histogram.
    ///
    /// # Panics
    /// Never: writing to memory does not fail.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(histogram, &mut bytes).expect("memory");
        Self(STANDARD.encode(bytes))
    }

    /// The histogram.
    ///
    /// # Errors
    /// If the text is no histogram.
    pub fn decode(&self) -> anyhow::Result<Histogram<u64>> {
        let bytes = STANDARD.decode(&self.0).context("a histogram is not base64")?;
        let histogram = Deserializer::new().deserialize(&mut bytes.as_slice());
        histogram.map_err(|error| anyhow::anyhow!("a histogram cannot be read: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_survives_the_way_through_json() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for ns in [900, 7_000, 7_100, 100_000_000] {
            histogram.record(ns).unwrap();
        }
        let mut measurement = Measurement::new("latency/multicast/loopback/socket");
        measurement.set("backend", "socket");
        measurement.histogram = Some(Encoded::of(&histogram));
        measurement.point = Some(Point { curve: "groups".into(), axis: "groups".into(), x: 4.0 });
        let disturbed = vec!["20 ms stolen on CPU 0".to_owned()];
        let encoded = Encoded::of(&histogram);
        let interval = Interval { sent: 4, histogram: encoded, disturbed, ..Interval::default() };
        measurement.intervals.push(interval);
        measurement.figures.push(Figure::lower("p50", 7_000.0, "ns").with_rounds(vec![7_000.0]));
        let ratio = Ratio { figure: "p50".into(), value: 1.1, pairs: 6, ..Ratio::default() };
        measurement.ratios.push(ratio);
        measurement.threads.push(ThreadUse { busy_share: Some(0.25), ..ThreadUse::default() });
        let mut results = Results::new("latency");
        let cpu = CpuState { spin: Some(SpinGaps::default()), ..CpuState::default() };
        let state = MachineState { when: "before".into(), cpus: vec![cpu], ..Default::default() };
        results.states.push(state);
        results.measurements.push(measurement);

        let again = Results::from_json(&results.to_json()).unwrap();
        assert_eq!(again, results);
        let found = again.measurement("latency/multicast/loopback/socket").unwrap();
        assert_eq!(found.histogram.as_ref().unwrap().decode().unwrap(), histogram);
        assert_eq!(found.figure("p50").unwrap().rounds, [7_000.0]);
        assert_eq!(found.ratio("p50").unwrap().value, 1.1);
    }

    #[test]
    fn other_versions_and_other_files_are_refused() {
        let results = Results { version: VERSION + 1, ..Results::new("latency") };
        let error = Results::from_json(&results.to_json()).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
        assert!(Results::from_json("{}").is_err());
        assert!(Encoded("no base64!".into()).decode().is_err());
        assert!(Encoded(STANDARD.encode(b"no histogram")).decode().is_err());
    }
}
