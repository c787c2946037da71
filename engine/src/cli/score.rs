//! `corelane score`: alerts found against episodes planted.
//!
//! Invariant: one alert counts for at most one episode and one episode is found at most once, so
//! that neither recall nor precision can be bought with repetition.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

/// An alert may come this long after the end of its episode, in nanoseconds of event time.
const SLACK_NS: u64 = 500_000_000;

/// Arguments of `corelane score`.
#[derive(Args, Debug)]
pub struct ScoreArgs {
    /// The truth that `generate` wrote beside the capture
    #[arg(long)]
    truth: PathBuf,
    /// Actions as JSON lines, from a file sink
    #[arg(long)]
    actions: PathBuf,
    /// Which kind of episode and alert
    #[arg(long, default_value = "layering")]
    kind: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found of what was planted.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Episodes in the truth.
    pub planted: usize,
    /// Alerts of the kind.
    pub alerts: usize,
    /// Episodes that an alert matches.
    pub found: usize,
}

impl Score {
    /// Share of the planted episodes that were found.
    #[must_use]
    pub fn recall(&self) -> f64 {
        if self.planted == 0 { 1.0 } else { self.found as f64 / self.planted as f64 }
    }

    /// Share of the alerts that name a planted episode.
    #[must_use]
    pub fn precision(&self) -> f64 {
        if self.alerts == 0 { 1.0 } else { self.found as f64 / self.alerts as f64 }
    }
}

/// One planted episode, or one alert.
struct Event {
    symbol: String,
    start_ns: u64,
    end_ns: u64,
}

/// Prints recall and precision.
///
/// # Errors
/// If a file cannot be read or is not what it should be.
pub fn run(args: &ScoreArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let score = score(args)?;
    let (recall, precision) = (score.recall(), score.precision());
    if args.json {
        let report = json!({
            "kind": args.kind, "planted": score.planted, "alerts": score.alerts,
            "found": score.found, "recall": recall, "precision": precision,
        });
        writeln!(out, "{report}")?;
    } else {
        writeln!(
            out,
            "{}: {} planted, {} alerts, {} found; recall {recall:.3}, precision {precision:.3}",
            args.kind, score.planted, score.alerts, score.found
        )?;
    }
    Ok(())
}

fn score(args: &ScoreArgs) -> anyhow::Result<Score> {
    let truth = read_truth(args)?;
    let alerts = read_alerts(args)?;
    let mut taken = vec![false; truth.len()];
    let mut score = Score { planted: truth.len(), alerts: alerts.len(), found: 0 };
    for alert in &alerts {
        let place = truth.iter().enumerate().position(|(i, episode)| {
            let in_time =
                alert.start_ns >= episode.start_ns && alert.start_ns <= episode.end_ns + SLACK_NS;
            !taken[i] && in_time && episode.symbol == alert.symbol
        });
        if let Some(i) = place {
            taken[i] = true;
            score.found += 1;
        }
    }
    Ok(score)
}

fn read_truth(args: &ScoreArgs) -> anyhow::Result<Vec<Event>> {
    let path = args.truth.display();
    let file = File::open(&args.truth).with_context(|| format!("cannot open {path}"))?;
    let truth: Value = serde_json::from_reader(BufReader::new(file))
        .with_context(|| format!("{path} is no JSON"))?;
    let episodes = truth.get(&args.kind).and_then(Value::as_array);
    let episodes = episodes.with_context(|| format!("{path} has no list `{}`", args.kind))?;
    let event = |episode: &Value| {
        Some(Event {
            symbol: episode.get("symbol")?.as_str()?.to_owned(),
            start_ns: episode.get("start_ns")?.as_u64()?,
            end_ns: episode.get("end_ns")?.as_u64()?,
        })
    };
    let events = episodes.iter().map(|episode| {
        event(episode).with_context(|| format!("{path}: not an episode: {episode}"))
    });
    events.collect()
}

fn read_alerts(args: &ScoreArgs) -> anyhow::Result<Vec<Event>> {
    let path = args.actions.display();
    let file = File::open(&args.actions).with_context(|| format!("cannot open {path}"))?;
    let mut alerts = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let place = || format!("{path}:{}", number + 1);
        let action: Value = serde_json::from_str(&line?).with_context(place)?;
        if action.get("kind").and_then(Value::as_str) != Some(args.kind.as_str()) {
            continue;
        }
        let symbol = action.get("symbol").and_then(Value::as_str).with_context(place)?;
        let ts = action.get("ts_event").and_then(Value::as_u64).with_context(place)?;
        alerts.push(Event { symbol: symbol.to_owned(), start_ns: ts, end_ns: ts });
    }
    Ok(alerts)
}
