//! A small journal, cut at every byte of its last two records and with every bit flipped: the start
//! always comes to the documented case, and changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use corelane_feeds::record::{RecordBuf, Stamp, View};
use corelane_feeds::streams::iex::Trade;
use corelane_feeds::streams::sys::Session;
use corelane_feeds::units::{Char, Nanos, Seq};
use corelane_strategies::registry::Registry;
use tempfile::TempDir;

use super::*;
use crate::journal::{JournalConfig, JournalReader, JournalWriter, SEGMENT_BYTES_MIN, shard_dir};
use crate::rerun::Decider;
use crate::snapshot::{Replica, Snapshot};

const RULES: &str = "INSERT INTO alert (kind, symbol, count)
    SELECT 'third', symbol, count(*) OVER w FROM iex.trade
    WINDOW w AS (PARTITION BY symbol ROWS 9 PRECEDING) QUALIFY count(*) OVER w = 3
    WITH (keys_max = 16, rows_max = 64);";

/// A run whose journal has a session, some trades and an alert, and whose writer died.
struct Died {
    dir: TempDir,
    config: Config,
    registry: Registry,
    /// Its one segment, and where each entry begins and the last one ends.
    segment: PathBuf,
    places: Vec<usize>,
    bytes: Vec<u8>,
}

impl Died {
    fn new(trades: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("rules.sql"), RULES).unwrap();
        let text = format!(
            "name = \"t\"\n[journal]\ndir = \"{}\"\n[[feed]]\nprotocol = \"iex-tops16\"\n\
             lines = [\"239.1.1.1:4000\"]\n[[rules]]\nfile = \"{}\"\n",
            at("journal").display(),
            at("rules.sql").display()
        );
        fs::write(at("config.toml"), text).unwrap();
        let registry = Registry::builtin();
        let config = Config::load(&at("config.toml"), &registry).unwrap();
        decided::save(&config.journal.dir, &config).unwrap();
        let run = config.journal.dir.clone();
        let segment_bytes = SEGMENT_BYTES_MIN;
        let journal = JournalConfig { segment_bytes, id: 3, ..JournalConfig::new(&run) };
        let mut writer = JournalWriter::create(&journal).unwrap();
        let mut decider = Decider::new(&run, &config, &registry, 0, true).unwrap();
        let mut take = |record: RecordBuf| {
            let record = record.record().unwrap();
            writer.append(record).unwrap();
            for action in decider.take(record).unwrap() {
                writer.append(action.record().unwrap()).unwrap();
            }
        };
        take(Session::new(Stamp::default(), 0).as_record().to_buf());
        for seq in 1..=trades {
            let ts_event = Nanos(seq * 1_000);
            let stamp = Stamp { seq: Seq(seq), instrument: 1, ts_event, ..Stamp::default() };
            let mut trade = Trade::new(stamp, b'T');
            trade.symbol = Char::new("ABC");
            take(trade.as_record().to_buf());
        }
        drop(writer);
        let folder = shard_dir(&run, 0);
        let mut places = Vec::new();
        let mut entries = JournalReader::open(&folder).unwrap();
        while let Some(entry) = entries.read().unwrap() {
            places.push(entry.offset as usize);
        }
        places.push(entries.position().1 as usize);
        let segment = folder.join("0000000000.segment");
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path != segment {
                fs::remove_file(path).unwrap();
            }
        }
        let bytes = fs::read(&segment).unwrap();
        Self { dir, config, registry, segment, places, bytes }
    }

    fn folder(&self) -> &Path {
        self.segment.parent().unwrap()
    }

    /// What a start finds, and how many records and owed actions it goes on with.
    fn found(&self) -> (String, u64, u64) {
        match recover(&self.config, &self.registry) {
            Ok(None) => ("nothing".to_owned(), 0, 0),
            Ok(Some(Recovery { report, .. })) => (report.case, report.records, report.owed),
            Err(error) => {
                let text = error.to_string();
                let cases = ["damaged before its end", "of a layout that this program"];
                let case = cases.iter().find(|case| text.contains(*case));
                (case.unwrap_or_else(|| panic!("{text}")).to_string(), 0, 0)
            }
        }
    }

    /// The same after other bytes were put in the segment's place, which stay as they are.
    fn found_in(&self, bytes: &[u8]) -> (String, u64, u64) {
        fs::write(&self.segment, bytes).unwrap();
        let found = self.found();
        assert!(fs::read(&self.segment).unwrap() == bytes, "nothing is changed");
        found
    }

    /// How many entries of other bytes are as they were, from the first on.
    fn whole(&self, bytes: &[u8]) -> usize {
        let mut entries = self.places.windows(2);
        let changed =
            entries.position(|ends| bytes[ends[0]..ends[1]] != self.bytes[ends[0]..ends[1]]);
        changed.unwrap_or(self.places.len() - 1)
    }
}

/// Session, three trades, of which the last leads to an alert, and another trade.
const LAST_FOUR: u64 = 4;

#[test]
fn a_journal_cut_at_every_byte_of_its_last_two_records_is_gone_on_with() {
    let died = Died::new(LAST_FOUR);
    assert_eq!(died.places.len(), 7, "six entries");
    let (first, end) = (died.places[4], died.places[6]);
    for cut in first..=end {
        let mut bytes = died.bytes.clone();
        bytes[cut..].fill(0);
        // What is cut off an entry's end may be zeros anyway.
        let whole = died.whole(&bytes);
        // The fifth entry is the alert, which comes out again if it is cut.
        let (records, owed) = [(4, 1), (4, 0), (5, 0)][whole - 4];
        let is_torn = bytes[died.places[whole]..].iter().any(|&byte| byte != 0);
        let case = if is_torn { "torn" } else { "open" };
        assert_eq!(died.found_in(&bytes), (case.to_owned(), records, owed), "cut at {cut}");
    }
}

#[test]
fn a_journal_with_any_bit_flipped_comes_to_the_documented_case() {
    let died = Died::new(LAST_FOUR);
    let (last, end) = (died.places[5], died.places[6]);
    let mut bytes = died.bytes.clone();
    for at in 0..end + 16 {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let (case, records, owed) = died.found_in(&bytes);
            bytes[at] ^= 1 << bit;
            let expected = match at {
                8..12 => ("of a layout that this program", 0),
                _ if at < last => ("damaged before its end", 0),
                // The last entry is no entry then, but for the bits that nobody reads.
                _ if at < end => ("torn", 4),
                _ => ("torn", 5),
            };
            assert_eq!((case.as_str(), records), expected, "bit {bit} of byte {at}");
            assert_eq!(owed, 0);
        }
    }
}

#[test]
fn a_snapshot_with_any_bit_of_its_header_flipped_is_passed_over() {
    let died = Died::new(12);
    let start = ReplicaStart {
        run: &died.config.journal.dir,
        config: &died.config,
        registry: &died.registry,
        shard: 0,
        resident: false,
    };
    let mut replica = Replica::new(&start, None).unwrap();
    let mut entries = JournalReader::open(died.folder()).unwrap();
    let mut bytes = Vec::new();
    while let Some(entry) = entries.read().unwrap() {
        replica.take(&entry).unwrap();
        if entry.seq == 8 {
            assert!(replica.save(Nanos(0), &mut bytes));
        }
    }
    let path = died.folder().join("snapshot-00000000000000000008");
    let found = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        died.found()
    };
    assert!(Snapshot::read(&path).is_err(), "it is not there yet");
    let all = (13, 0);
    assert_eq!(found(&bytes), ("open".to_owned(), 6, 0), "the rest is decided over");
    for at in 0..128 {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let (case, records, owed) = found(&bytes);
            bytes[at] ^= 1 << bit;
            let version = (8..12).contains(&at);
            let expected = if version { "other version's snapshot" } else { "damaged snapshot" };
            assert_eq!((case.as_str(), (records, owed)), (expected, all), "bit {bit} of byte {at}");
        }
    }
    drop(died.dir);
}
