//! `corelane actions sort|diff`: outputs of sinks, put in order and compared.
//!
//! JSON lines and binary records are told apart by their first byte. The order is that of the
//! actions' causes, (ts_event, feed, session, seq, rule, ordinal): what one shard writes in the
//! order of its feed, and what several write after sorting. Actions are the same if their ids are;
//! `diff` leaves `ts_recv` and `ts_sent` out of what it compares, as no two runs agree on them.
//!
//! Invariant: sorting neither adds, drops nor changes an action.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use corelane_feeds::record::{RECORD_BYTES_MAX, Record, Slot};
use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;
use serde::Deserialize;
use serde_json::Value;
use zerocopy::IntoBytes;

use super::json::{ActionExtras, format_action_json};
use super::merge::{Key, key};
use super::receive::{ReceiveArgs, receive};

/// How many differences `diff` shows of each kind.
const SHOWN_MAX: usize = 10;
/// Stamps, which no two runs share.
const STAMPS: [&str; 2] = ["ts_recv", "ts_sent"];

/// Commands on files of actions.
#[derive(Subcommand, Debug)]
pub enum ActionsCommand {
    /// Put actions in the order of their causes
    Sort(SortArgs),
    /// Compare two outputs as sets of actions; fails if they differ
    Diff(DiffArgs),
    /// Receive actions over TCP, each once, and acknowledge them
    Receive(ReceiveArgs),
}

/// Arguments of `corelane actions sort`.
#[derive(Args, Debug)]
pub struct SortArgs {
    /// JSON lines or binary records, as a sink wrote them
    pub file: PathBuf,
    /// Where to write; stdout if absent. May be FILE itself
    #[arg(short, long)]
    pub output: Option<PathBuf>,
}

/// Arguments of `corelane actions diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// One output
    pub a: PathBuf,
    /// The other; the formats may differ
    pub b: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs one of the commands.
///
/// # Errors
/// If a file cannot be read or holds something else, or the outputs compared differ.
pub fn run(command: &ActionsCommand, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        ActionsCommand::Sort(args) => sort(args, out),
        ActionsCommand::Diff(args) => diff(args, out),
        ActionsCommand::Receive(args) => receive(args, out),
    }
}

/// One action of a file: its place in the order, and its text or bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Action {
    key: Key,
    bytes: Vec<u8>,
}

fn sort(args: &SortArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let mut actions = read(&args.file)?;
    actions.sort_by_key(|action| action.key);
    let sorted: Vec<u8> = actions.into_iter().flat_map(|action| action.bytes).collect();
    match &args.output {
        Some(path) => {
            fs::write(path, sorted).with_context(|| format!("cannot write {}", path.display()))
        }
        None => Ok(out.write_all(&sorted)?),
    }
}

/// What two outputs have and have not in common.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct ActionsDiff {
    /// Actions that are in both and say the same.
    pub same: usize,
    /// Actions that only the first has.
    pub only_a: Vec<ActionId>,
    /// Actions that only the second has.
    pub only_b: Vec<ActionId>,
    /// Actions that are in both and do not say the same.
    pub changed: Vec<ActionId>,
    /// Repetitions of actions in the first.
    pub repeated_a: usize,
    /// Repetitions of actions in the second.
    pub repeated_b: usize,
}

impl ActionsDiff {
    /// Whether both are the same set of actions; repetitions aside.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty() && self.changed.is_empty()
    }
}

/// Compares two outputs of sinks as sets of actions.
///
/// # Errors
/// If a file cannot be read or holds something else.
pub fn diff_files(a: &Path, b: &Path) -> anyhow::Result<ActionsDiff> {
    let mut diff = ActionsDiff::default();
    let (a, repeated_a) = by_id(read(a)?);
    let (mut b, repeated_b) = by_id(read(b)?);
    (diff.repeated_a, diff.repeated_b) = (repeated_a, repeated_b);
    for (id, action) in a {
        match b.remove(&id) {
            None => diff.only_a.push(id),
            Some(other) if says_same(&action, &other)? => diff.same += 1,
            Some(_) => diff.changed.push(id),
        }
    }
    diff.only_b = b.into_keys().collect();
    Ok(diff)
}

fn diff(args: &DiffArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let diff = diff_files(&args.a, &args.b)?;
    let lists = [("only_a", &diff.only_a), ("only_b", &diff.only_b), ("changed", &diff.changed)];
    if args.json {
        let texts = |ids: &[ActionId]| ids.iter().map(ActionId::to_string).collect::<Vec<_>>();
        let mut json = serde_json::json!({
            "same": diff.same, "repeated_a": diff.repeated_a, "repeated_b": diff.repeated_b,
        });
        lists.iter().for_each(|(name, ids)| json[*name] = texts(ids).into());
        writeln!(out, "{json}")?;
    } else {
        let (repeated_a, repeated_b) = (diff.repeated_a, diff.repeated_b);
        writeln!(out, "same {}, repeated {repeated_a} and {repeated_b}", diff.same)?;
        for (name, ids) in lists {
            writeln!(out, "{name} {}", ids.len())?;
            ids.iter().take(SHOWN_MAX).try_for_each(|id| writeln!(out, "  {id}"))?;
        }
    }
    ensure!(diff.is_same(), "the outputs differ");
    Ok(())
}

fn by_id(actions: Vec<Action>) -> (BTreeMap<ActionId, Action>, usize) {
    let all = actions.len();
    let map: BTreeMap<_, _> = actions.into_iter().map(|action| (action.key.1, action)).collect();
    let repeated = all - map.len();
    (map, repeated)
}

fn says_same(a: &Action, b: &Action) -> anyhow::Result<bool> {
    Ok(a.bytes == b.bytes || comparable(a)? == comparable(b)?)
}

/// An action as JSON without what no two runs share, and without the strategy's name, which binary
/// output does not have.
fn comparable(action: &Action) -> anyhow::Result<Value> {
    let mut line = Vec::new();
    if action.bytes.starts_with(b"{") {
        line.clone_from(&action.bytes);
    } else {
        let (record, _) = first_record(&action.bytes)?;
        format_action_json(record.record()?, ActionExtras::default(), &mut line);
    }
    let mut value: Value = serde_json::from_slice(&line)?;
    if let Some(fields) = value.as_object_mut() {
        STAMPS.iter().chain(&["strategy"]).for_each(|name| drop(fields.remove(*name)));
    }
    Ok(value)
}

fn read(path: &Path) -> anyhow::Result<Vec<Action>> {
    let name = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    if bytes.first().is_none_or(|&first| first == b'{') {
        read_json(&bytes).with_context(|| format!("{name} is no file of actions"))
    } else {
        read_binary(&bytes).with_context(|| format!("{name} is no file of actions"))
    }
}

fn read_json(bytes: &[u8]) -> anyhow::Result<Vec<Action>> {
    #[derive(Deserialize)]
    struct Head<'a> {
        id: &'a str,
        ts_event: u64,
    }
    let lines = bytes.split_inclusive(|&byte| byte == b'\n').enumerate();
    let action = |(number, line): (usize, &[u8])| {
        let place = || format!("line {}", number + 1);
        let head: Result<Head<'_>, _> = serde_json::from_slice(line);
        let head = head.map_err(io::Error::from).with_context(place)?;
        let id = head.id.parse().map_err(bad_data).with_context(place)?;
        let mut bytes = line.to_owned();
        if !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        Ok(Action { key: (Nanos(head.ts_event), id), bytes })
    };
    lines.map(action).collect()
}

fn read_binary(mut bytes: &[u8]) -> anyhow::Result<Vec<Action>> {
    let all = bytes.len();
    let mut actions = Vec::new();
    while !bytes.is_empty() {
        let offset = all - bytes.len();
        let place = || format!("at byte {offset}");
        let (record, len) = first_record(bytes).with_context(place)?;
        let key = key(record.record()?).ok_or_else(|| bad_data("not an action"));
        let key = key.with_context(place)?;
        actions.push(Action { key, bytes: bytes[..len].to_owned() });
        bytes = &bytes[len..];
    }
    Ok(actions)
}

/// A copy of one record at the alignment that records have.
struct Aligned([Slot; RECORD_BYTES_MAX / size_of::<Slot>()]);

impl Aligned {
    fn record(&self) -> anyhow::Result<&Record> {
        Ok(Record::from_slots(&self.0)?)
    }
}

/// The first record of `bytes`, and its length.
fn first_record(bytes: &[u8]) -> anyhow::Result<(Aligned, usize)> {
    let mut aligned = Aligned(Default::default());
    let have = bytes.len().min(RECORD_BYTES_MAX);
    aligned.0.as_mut_bytes()[..have].copy_from_slice(&bytes[..have]);
    let record = Record::from_bytes(&aligned.0.as_bytes()[..have]).map_err(bad_data)?;
    let len = record.header.bytes();
    Ok((aligned, len))
}

/// The kind of error that says: the file is to blame.
fn bad_data(error: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use corelane_feeds::record::{Stamp, View};
    use corelane_feeds::units::Seq;
    use corelane_strategies::action::Order;

    use super::*;
    use crate::egress::{Egress, EgressSpec, Format, SinkConfig, Target};

    fn order(seq: u64, rule: u16) -> Order {
        let stamp = Stamp {
            seq: Seq(seq),
            ts_event: Nanos(seq / 4),
            ts_recv: Nanos(seq + 1),
            ..Stamp::default()
        };
        let mut order = Order::new(stamp, b'B');
        order.rule = rule;
        order
    }

    fn write(path: &Path, format: Format, stamps: bool, orders: &[Order]) {
        let sink =
            SinkConfig { format, stamps, ..SinkConfig::new("s", Target::File(path.to_owned())) };
        let spec = EgressSpec { sinks: vec![sink], ..EgressSpec::default() };
        let mut egress = Egress::open(&spec).unwrap();
        orders.iter().for_each(|order| egress.take(0, order.as_record()));
        assert_eq!(egress.finish(Duration::ZERO).sinks[0].dropped, 0);
    }

    fn orders() -> Vec<Order> {
        (0..40).flat_map(|seq| [order(seq, 1), order(seq, 2)]).collect()
    }

    #[test]
    fn sorting_gives_the_output_of_one_shard() {
        let folder = tempfile::tempdir().unwrap();
        for format in [Format::Json, Format::Binary] {
            let [sorted, mixed] = ["sorted", "mixed"]
                .map(|name| folder.path().join(format!("{name}{}", format as u8)));
            write(&sorted, format, false, &orders());
            let mut shuffled = orders();
            shuffled.sort_by_key(|order| order.header.seq.0.wrapping_mul(0x9E37_79B9) % 64);
            write(&mixed, format, false, &shuffled);
            assert_ne!(fs::read(&sorted).unwrap(), fs::read(&mixed).unwrap());
            let args = SortArgs { file: mixed.clone(), output: Some(mixed.clone()) };
            run(&ActionsCommand::Sort(args), &mut Vec::new()).unwrap();
            assert_eq!(fs::read(&sorted).unwrap(), fs::read(&mixed).unwrap());
        }
    }

    #[test]
    fn diff_compares_sets_over_formats_and_stamps() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        write(&a, Format::Json, true, &orders());
        let mut reversed = orders();
        reversed.reverse();
        reversed.push(order(3, 1));
        write(&b, Format::Binary, false, &reversed);
        let diff = diff_files(&a, &b).unwrap();
        assert!(diff.is_same(), "{diff:?}");
        assert_eq!((diff.same, diff.repeated_a, diff.repeated_b), (80, 0, 1));
    }

    #[test]
    fn diff_names_what_differs_and_fails() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        write(&a, Format::Json, false, &[order(1, 1), order(2, 1), order(3, 1)]);
        let mut changed = order(2, 1);
        changed.qty.0 = 5;
        write(&b, Format::Json, false, &[order(4, 1), changed, order(1, 1)]);
        let args = DiffArgs { a, b, json: true };
        let mut out = Vec::new();
        let error = run(&ActionsCommand::Diff(args), &mut out).unwrap_err();
        assert_eq!(error.to_string(), "the outputs differ");
        let json: Value = serde_json::from_slice(&out).unwrap();
        let expected = serde_json::json!({
            "same": 1, "repeated_a": 0, "repeated_b": 0, "only_a": ["0-00000000-3-1-0"],
            "only_b": ["0-00000000-4-1-0"], "changed": ["0-00000000-2-1-0"],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_no_file_of_actions_is_an_error_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let error = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            format!("{:#}", read(&path).unwrap_err())
        };
        assert!(error(b"{\"id\":\"0-0-0-0-0\",\"ts_event\":1}\n{\"id\"").contains("line 2"));
        let order = order(1, 1);
        let torn = [order.as_bytes(), &order.as_bytes()[..40]].concat();
        assert!(error(&torn).contains("at byte 64: record cut short"));
        assert!(error(b"garbage").contains("at byte 0"));
        fs::write(&path, b"").unwrap();
        assert!(read(&path).unwrap().is_empty());
    }
}
