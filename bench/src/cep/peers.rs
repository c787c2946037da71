//! Engines as processes, each on the same CPU, warm, and told in turns to go through the events.
//!
//! ```text
//! to the engine:   pass | end
//! from the engine: {"name", "version", "runtime", "text"}, then for each line that it was told
//!                  {"wall_ns", "cpu_ns", "rows", "sum"}
//! ```
//!
//! Invariant: only one engine is at work at a time, and all have gone through the events as often.

use std::io::{BufRead, BufReader, Write, stdin};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use corelane::sys::affinity;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::events::{Events, Query};
use super::ours::Ours;
use super::results::Results;

/// What every Java process is started with: one collector that suits one CPU, and memory from the
/// start.
const JAVA_OPTIONS: &[&str] = &["-Xms3g", "-Xmx3g", "-XX:+UseSerialGC", "-XX:-UsePerfData"];
/// What Flink's documentation asks for on Java 17: its serializers look into `java.util`.
const OPENS: &[&str] =
    &["--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED"];

/// An engine that can be measured.
#[derive(Copy, Clone, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Engine {
    /// Ourselves.
    Corelane,
    /// EsperTech Esper.
    Esper,
    /// Siddhi.
    Siddhi,
    /// Apache Flink.
    Flink,
}

impl Engine {
    /// All of them, ourselves first.
    pub const ALL: [Self; 4] = [Self::Corelane, Self::Esper, Self::Siddhi, Self::Flink];

    /// Its folder below what was built, and its class.
    const fn java(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Corelane => None,
            Self::Esper => Some(("esper", "corelane.cep.EsperPeer")),
            Self::Siddhi => Some(("siddhi", "corelane.cep.SiddhiPeer")),
            Self::Flink => Some(("flink", "corelane.cep.FlinkPeer")),
        }
    }
}

/// What all engines of a run have in common.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// What is asked.
    pub query: Query,
    /// A file of its events.
    pub events: &'a Path,
    /// `corelane-bench`.
    pub binary: &'a Path,
    /// Where the Java side was built.
    pub built: &'a Path,
    /// The CPU that everyone runs on.
    pub cpu: usize,
    /// Which way to write the query; the fastest if there is none.
    pub variant: Option<usize>,
}

/// Who an engine says that it is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub runtime: String,
    /// The query in its language.
    pub text: String,
}

/// What a pass took, and the rows of all passes so far.
#[derive(Copy, Clone, Debug)]
pub struct Pass {
    /// By the clock.
    pub wall_ns: f64,
    /// CPU time of the whole process: what other processes took away does not count, what its own
    /// collector and compiler took does.
    pub cpu_ns: f64,
    /// Rows so far.
    pub results: Results,
}

/// An engine at work in a process of its own; it ends with this.
pub struct Running {
    /// Who it is.
    pub identity: Identity,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Starts an engine and waits until its query is ready.
    ///
    /// # Errors
    /// Why it cannot run.
    pub fn start(engine: Engine, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let mut command = match engine.java() {
            None => {
                let mut command = Command::new(setup.binary);
                command.arg("cep-serve").arg(setup.query.name()).arg(setup.events);
                command.args(["--cpu", &setup.cpu.to_string()]);
                command
            }
            Some((folder, class)) => java(setup, &setup.built.join(folder), class)?,
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let program = command.get_program().display().to_string();
        let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
        let stdin = child.stdin.take().context("no standard input")?;
        let stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        let identity = Identity {
            name: String::new(),
            version: String::new(),
            runtime: String::new(),
            text: String::new(),
        };
        let mut running = Self { identity, child, stdin, stdout };
        let hello = running.line()?;
        let text = |name: &str| hello[name].as_str().unwrap_or("unknown").to_owned();
        running.identity = Identity {
            name: text("name"),
            version: text("version"),
            runtime: text("runtime"),
            text: text("text"),
        };
        Ok(running)
    }

    fn line(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        if line.is_empty() {
            bail!("it ended: {}", self.child.wait()?);
        }
        serde_json::from_str(&line).with_context(|| format!("it said {line}"))
    }

    fn tell(&mut self, what: &str) -> anyhow::Result<Pass> {
        writeln!(self.stdin, "{what}")?;
        self.stdin.flush()?;
        let answer = self.line()?;
        let number = |name: &str| answer[name].as_f64().with_context(|| format!("no {name}"));
        let sum = answer["sum"].as_str().context("no sum")?;
        let rows = answer["rows"].as_u64().context("no rows")?;
        let results = Results { rows, sum: u64::from_str_radix(sum, 16)? };
        Ok(Pass { wall_ns: number("wall_ns")?, cpu_ns: number("cpu_ns")?, results })
    }

    /// Goes through the events once more.
    ///
    /// # Errors
    /// If it ended or said what cannot be understood.
    pub fn pass(&mut self) -> anyhow::Result<Pass> {
        self.tell("pass")
    }

    /// Brings out what waits for time; the results are then complete.
    ///
    /// # Errors
    /// As [`Running::pass`].
    pub fn end(&mut self) -> anyhow::Result<Results> {
        Ok(self.tell("end")?.results)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn java(setup: &Setup<'_>, built: &Path, class: &str) -> anyhow::Result<Command> {
    let lib = built.join("lib");
    ensure!(lib.is_dir(), "{} is not there: scripts/peers cep builds it", lib.display());
    let classes: Vec<PathBuf> = vec![built.join("classes"), lib.join("*")];
    let classes: Vec<String> = classes.iter().map(|path| path.display().to_string()).collect();
    let mut command = Command::new("taskset");
    command.args(["-c", &setup.cpu.to_string(), "java"]).args(JAVA_OPTIONS).args(OPENS);
    command.args(["-cp", &classes.join(":"), "corelane.cep.Serve", class, setup.query.name()]);
    command.arg(setup.events);
    if let Some(variant) = setup.variant {
        command.arg(variant.to_string());
    }
    Ok(command)
}

fn process_cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Our own side of the conversation, on standard input and output.
///
/// # Errors
/// If the file or what it is told cannot be understood.
pub fn serve(query: Query, file: &Path, cpu: Option<usize>) -> anyhow::Result<()> {
    if let Some(cpu) = cpu {
        affinity::pin(cpu)?;
    }
    let events = Events::parse(&std::fs::read(file)?)?;
    let mut ours = Ours::new(query, &events)?;
    let hello = json!({
        "name": "Corelane",
        "version": env!("CARGO_PKG_VERSION"),
        "runtime": "native",
        "text": query.rules(),
    });
    println!("{hello}");
    let mut passes = 0;
    for line in stdin().lines() {
        let (wall, cpu) = (Instant::now(), process_cpu_ns());
        match line?.as_str() {
            "pass" => {
                ours.pass(passes * events.span_ms);
                passes += 1;
            }
            "end" => ours.end(passes.saturating_sub(1) * events.span_ms)?,
            other => bail!("told to {other}"),
        }
        let (cpu_ns, wall_ns) = (process_cpu_ns() - cpu, wall.elapsed().as_nanos() as f64);
        let Results { rows, sum } = ours.results();
        let sum = format!("{sum:016x}");
        println!("{}", json!({ "wall_ns": wall_ns, "cpu_ns": cpu_ns, "rows": rows, "sum": sum }));
    }
    Ok(())
}
