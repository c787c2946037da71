//! Shards with a strategy that acts on every third order, over good and bad rings and journals.

use std::num::NonZeroU64;
use std::path::Path;
use std::time::{Duration, Instant};

use corelane_feeds::record::{RecordBuf, Stamp, StreamId};
use corelane_feeds::streams::itch::AddOrder;
use corelane_feeds::streams::sys::Tick;
use corelane_feeds::units::{Price, Seq};
use corelane_strategies::action::{ActionId, Alert, Order, is_action};
use corelane_strategies::outbox::Outbox;
use corelane_strategies::strategy::{StateError, Strategy};
use zerocopy::IntoBytes;

use super::outlet::UNDURABLE_MAX;
use super::*;
use crate::journal::{
    Durability, DurableConfig, JournalConfig, JournalReader, Kind, Progress, Tail, shard_dir,
};
use crate::latency::LatencyCollector;
use crate::ring;
use crate::ring::Full;

/// Orders on every third record, and an alert with it on every ninth.
struct Thirds;

impl Strategy for Thirds {
    fn name(&self) -> &'static str {
        "thirds"
    }

    fn streams(&self) -> &[StreamId] {
        &[AddOrder::STREAM]
    }

    fn actions_max(&self) -> usize {
        2
    }

    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        let Some(add) = record.view::<AddOrder>() else { return };
        if add.order_ref.is_multiple_of(3) {
            let mut order = Order::new(add.header.stamp(), b'B');
            order.price = Price(add.order_ref as i64);
            outbox.act(order);
        }
        if add.order_ref.is_multiple_of(9) {
            outbox.act(Alert::new(add.header.stamp(), b'S'));
        }
    }

    fn save(&self, _out: &mut Vec<u8>) {}

    fn restore(&mut self, _bytes: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
}

fn add(i: u64) -> AddOrder {
    let stamp = Stamp {
        seq: Seq(i),
        ts_event: Nanos(i * 100),
        ts_recv: Nanos(i),
        instrument: 1,
        ..Stamp::default()
    };
    let mut add = AddOrder::new(stamp, b'S');
    add.order_ref = i;
    add
}

fn chain() -> Chain {
    Chain::new(vec![], vec![Box::new(Thirds)])
}

fn journal(dir: &Path) -> JournalConfig {
    JournalConfig { segment_bytes: 1 << 14, id: 1, created: Nanos(1), ..JournalConfig::new(dir) }
}

/// What `count` records lead to, in order, as a journal holds it.
fn expected(count: u64) -> Vec<(Kind, Vec<u8>)> {
    let mut chain = chain();
    let mut all = Vec::new();
    for i in 1..=count {
        let add = add(i);
        all.push((Kind::Input, add.as_record().as_bytes().to_vec()));
        for action in chain.on_record(add.as_record()).iter().filter_map(RecordBuf::record) {
            all.push((Kind::Action, action.as_bytes().to_vec()));
        }
    }
    all
}

fn journalled(dir: &Path) -> (Vec<(Kind, Vec<u8>)>, Tail) {
    let mut reader = JournalReader::open(&shard_dir(dir, 0)).unwrap();
    let entries = reader
        .by_ref()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.kind, entry.record().as_bytes().to_vec()))
        .collect();
    (entries, reader.tail().unwrap())
}

/// Keeps what it is given, and has room only when told so.
#[derive(Default)]
struct Slow {
    taken: Vec<Vec<u8>>,
    room: usize,
}

impl ActionOut for Slow {
    fn push(&mut self, record: &Record) -> Result<(), Full> {
        if self.taken.len() == self.room {
            return Err(Full { free: 0, wanted: record.slots() });
        }
        self.taken.push(record.as_bytes().to_vec());
        Ok(())
    }
}

fn actions(all: &[(Kind, Vec<u8>)]) -> Vec<Vec<u8>> {
    all.iter().filter(|(kind, _)| *kind == Kind::Action).map(|(_, bytes)| bytes.clone()).collect()
}

#[test]
fn fused_and_pipelined_write_the_same_journal_and_the_same_actions() {
    const COUNT: u64 = 20_000;
    let wanted = expected(COUNT);

    let fused = tempfile::tempdir().unwrap();
    let writer = JournalWriter::create(&journal(fused.path())).unwrap();
    let out = Slow { room: usize::MAX, ..Slow::default() };
    let mut shard = Shard::new(chain(), Some(writer), out, ShardConfig::default());
    for i in 1..=COUNT {
        shard.record(add(i).as_record());
    }
    let end = shard.finish();
    assert!(end.failure.is_none());
    assert_eq!(end.journal.unwrap().entries, wanted.len() as u64);
    assert_eq!(end.counters.records, COUNT);
    assert_eq!(end.out.taken, actions(&wanted));
    assert_eq!(journalled(fused.path()), (wanted.clone(), Tail::Closed));

    // Rings of a few slots, so that both are full most of the time.
    let pipelined = tempfile::tempdir().unwrap();
    let writer = JournalWriter::create(&journal(pipelined.path())).unwrap();
    let (mut feed, mut feed_shard) = ring::new("feed_shard", 8);
    let (out, mut shard_egress) = ring::new("shard_egress", 4);
    let mut shard = Shard::new(chain(), Some(writer), out, ShardConfig::default());
    let shard = std::thread::spawn(move || {
        loop {
            let done = feed_shard.is_abandoned();
            if shard.drain(&mut feed_shard, 64) == 0 {
                shard.idle();
                if done {
                    let counters = shard.finish().counters;
                    return counters;
                }
                std::thread::yield_now();
            }
        }
    });
    let egress = std::thread::spawn(move || {
        let mut taken = Vec::new();
        loop {
            let done = shard_egress.is_abandoned();
            let drained = shard_egress.drain(1, |action| taken.push(action.as_bytes().to_vec()));
            if drained == 0 && done {
                return taken;
            }
            std::thread::yield_now();
        }
    });
    for i in 1..=COUNT {
        while feed.push(add(i).as_record()).is_err() {
            std::thread::yield_now();
        }
    }
    drop(feed);
    let counters = shard.join().unwrap();
    assert_eq!((counters.records, counters.actions_dropped), (COUNT, 0));
    assert_eq!(egress.join().unwrap(), actions(&wanted));
    assert_eq!(journalled(pipelined.path()), (wanted, Tail::Closed));
}

#[test]
fn actions_without_room_are_held_in_order_and_beyond_the_bound_counted() {
    let config = ShardConfig { on_full: OnFull::Hold(5), marks: false };
    let mut shard = Shard::new(chain(), None, Slow::default(), config);
    let wanted = actions(&expected(100));
    for i in 1..=9 {
        shard.on_record(add(i).as_record()); // orders at 3, 6, 9 and an alert at 9
    }
    assert_eq!((shard.counters().actions_held, shard.counters().actions_dropped), (4, 0));
    shard.out_mut().room = 2;
    shard.idle();
    assert_eq!(shard.out_mut().taken, wanted[..2]);
    for i in 10..=24 {
        shard.on_record(add(i).as_record()); // 12, 15, 18, 18 and 21, 24: room for three
    }
    assert_eq!(shard.counters().actions_dropped, 3);
    shard.out_mut().room = usize::MAX;
    for i in 25..=27 {
        shard.on_record(add(i).as_record());
    }
    let end = shard.finish();
    let counters = end.counters;
    assert_eq!(counters.actions, 12);
    assert_eq!(counters.actions - counters.actions_dropped, end.out.taken.len() as u64);
    assert_eq!(end.out.taken[..7], wanted[..7]);
    assert_eq!(end.out.taken[7..], wanted[10..12]);
}

#[test]
fn an_egress_that_is_gone_ends_the_waiting() {
    let (out, egress) = ring::new("shard_egress", 4);
    drop(egress);
    let mut shard = Shard::new(chain(), None, out, ShardConfig::default());
    for i in 1..=300 {
        shard.on_record(add(i).as_record());
    }
    let counters = shard.finish().counters;
    assert_eq!(counters.actions_dropped, counters.actions - 4);
}

#[test]
fn nothing_is_decided_that_cannot_be_journalled() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { segments_max: NonZeroU64::new(2), ..journal(dir.path()) };
    let writer = JournalWriter::create(&config).unwrap();
    let out = Slow { room: usize::MAX, ..Slow::default() };
    let mut shard = Shard::new(chain(), Some(writer), out, ShardConfig::default());
    let mut fed = 0;
    while shard.failure().is_none() {
        fed += 1;
        shard.on_record(add(fed).as_record());
    }
    assert_eq!(shard.failure().unwrap().exit_code(), 74);
    shard.on_record(add(fed + 1).as_record());
    let end = shard.finish();
    assert!(end.failure.is_some());
    assert_eq!(end.counters.refused, 1);
    let (entries, tail) = journalled(dir.path());
    assert_eq!(tail, Tail::Closed);
    let wanted = expected(fed);
    assert_eq!(entries, wanted[..entries.len()]);
    // What left is what is in the journal, or less by the record that did not fit whole.
    let left = actions(&entries);
    assert!(left.len() - end.out.taken.len() <= 2);
    assert_eq!(end.out.taken, left[..end.out.taken.len()]);
}

/// Notes how much was durable when each action left.
struct Gated {
    progress: std::sync::Arc<Progress>,
    left: Vec<(Vec<u8>, u64)>,
}

impl ActionOut for Gated {
    fn push(&mut self, record: &Record) -> Result<(), Full> {
        self.left.push((record.as_bytes().to_vec(), self.progress.last_durable_seq()));
        Ok(())
    }
}

fn synced(dir: &Path) -> JournalConfig {
    let durable = DurableConfig {
        durability: Durability::Sync,
        dir: dir.join("durable"),
        interval: Duration::ZERO,
        group_bytes: 64 << 10,
        hot_segments: 2,
    };
    JournalConfig { durable: Some(durable), ..journal(&dir.join("hot")) }
}

fn gated(dir: &Path) -> Shard<Gated> {
    let writer = JournalWriter::create(&synced(dir)).unwrap();
    let out = Gated { progress: writer.gate().unwrap(), left: Vec::new() };
    Shard::new(chain(), Some(writer), out, ShardConfig { on_full: OnFull::Hold(8), marks: false })
}

#[test]
fn an_action_leaves_once_it_is_durable() {
    const COUNT: u64 = 15_000;
    let dir = tempfile::tempdir().unwrap();
    let mut shard = gated(dir.path());
    for i in 1..=COUNT {
        shard.record(add(i).as_record());
        if i % 32 == 0 {
            shard.end_batch();
        }
    }
    let end = shard.finish();
    assert!(end.failure.is_none() && end.counters.actions_gated > 0);
    assert_eq!((end.counters.actions_dropped, end.counters.actions_undurable), (0, 0));
    let wanted = expected(COUNT);
    let mut left = end.out.left.iter();
    for (i, (_, bytes)) in wanted.iter().enumerate().filter(|(_, e)| e.0 == Kind::Action) {
        let (action, durable) = left.next().unwrap();
        assert!(action == bytes && *durable > i as u64, "entry {}: {durable}", i + 1);
    }
    assert!(left.next().is_none());
    let journal = end.journal.unwrap();
    assert_eq!(journal.last_durable_seq, Some(journal.last_seq));
    assert!(journal.durable.released > 0);
    assert_eq!(journalled(&dir.path().join("durable")), (wanted, Tail::Closed));
}

#[test]
fn actions_beyond_the_bound_wait_for_the_disk() {
    let progress = std::sync::Arc::new(Progress::new(0));
    let out = Gated { progress: progress.clone(), left: Vec::new() };
    let mut outlet = Outlet::new(out, OnFull::Hold(8), Some(progress.clone()));
    let order = Order::new(Stamp::default(), b'B');
    let mut seq = 0;
    while outlet.gated < UNDURABLE_MAX as u64 {
        seq += 1;
        outlet.push(seq, order.as_record());
    }
    assert!(outlet.awaits_disk() && outlet.gate_waits == 0 && outlet.out.left.is_empty());
    std::thread::scope(|scope| {
        let disk = scope.spawn(|| {
            // Later or sooner than the push begins to wait: both are right.
            std::thread::yield_now();
            progress.advance(3);
        });
        outlet.push(seq + 1, order.as_record());
        disk.join().unwrap();
    });
    assert_eq!((outlet.gate_waits, outlet.out.left.len(), outlet.undurable), (1, 3, 0));
    progress.fail(JournalError::Stopped);
    for more in 2..=4 {
        outlet.push(seq + more, order.as_record());
    }
    assert_eq!((outlet.gate_waits, outlet.undurable), (2, 1), "room for two, then none will come");
    outlet.flush();
    assert_eq!((outlet.out.left.len(), outlet.undurable), (3, UNDURABLE_MAX as u64 + 1));
}

#[test]
fn a_disk_that_fails_stops_the_shard_and_lets_nothing_leave() {
    let dir = tempfile::tempdir().unwrap();
    let mut shard = gated(dir.path());
    // What is in the way of the copy of the next segment.
    let next = shard_dir(&dir.path().join("durable"), 0).join("0000000001.segment");
    std::fs::create_dir(next).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut fed = 0;
    while shard.failure().is_none() {
        fed += 1;
        shard.record(add(fed).as_record());
        shard.end_batch();
        assert!(Instant::now() < deadline, "it never stops");
    }
    let end = shard.finish();
    assert_eq!(end.failure.unwrap().exit_code(), 74);
    let journal = end.journal.unwrap();
    let durable = journal.last_durable_seq.unwrap();
    assert!(durable < journal.last_seq && end.counters.actions_undurable > 0);
    let of_durable = actions(&expected(fed)[..durable as usize]);
    assert!(end.out.left.len() <= of_durable.len(), "{durable}");
    assert!(end.out.left.iter().map(|(action, _)| action).eq(&of_durable[..end.out.left.len()]));
    // In memory is all that was decided.
    let (entries, tail) = journalled(&dir.path().join("hot"));
    assert_eq!((entries.len() as u64, tail), (journal.last_seq, Tail::Closed));
}

#[test]
fn measured_records_give_stages_and_marks() {
    let mut collector = LatencyCollector::new(Duration::from_secs(1), Nanos(0));
    let out = Slow { room: usize::MAX, ..Slow::default() };
    let config = ShardConfig { marks: true, ..ShardConfig::default() };
    let mut shard = Shard::new(chain(), None, out, config);
    shard.measure(Clock::new(), collector.recorder(), true);
    for i in 1..=128 {
        shard.on_record(add(i).as_record());
    }
    shard.end_batch();
    shard.idle();
    let end = shard.finish();
    let records = end.out.taken.iter().map(|bytes| {
        let mut slot = corelane_feeds::record::Slot::default();
        slot.0.copy_from_slice(&bytes[..64]);
        slot
    });
    let (mut acts, mut marks, mut last) = (0, 0, Nanos(0));
    for slot in records {
        let header: &corelane_feeds::record::Header =
            zerocopy::FromBytes::ref_from_prefix(slot.as_bytes()).unwrap().0;
        if header.stream == Tick::STREAM {
            marks += 1;
            last = header.ts_event;
        } else {
            assert_eq!(header.ts_event, last, "a mark comes before its actions");
            acts += 1;
        }
    }
    assert_eq!((acts, marks), (42 + 14, 42 + 1));
    assert_eq!(last, Nanos(128 * 100));
    let table = collector.finish(Nanos(1)).unwrap();
    let wanted = 42 + 2; // with actions, and two of 128 by sampling: the first and the 65th
    for stage in [Stage::Decide, Stage::Journal, Stage::WireToDecided] {
        assert_eq!(table.row(stage).unwrap().count, wanted, "{}", stage.name());
    }
}

#[test]
fn a_ring_of_actions_is_read_back_as_actions() {
    let (out, mut egress) = ring::new("shard_egress", 64);
    let mut shard = Shard::new(chain(), None, out, ShardConfig::default());
    for i in 1..=9 {
        shard.on_record(add(i).as_record());
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut ids = Vec::new();
    while ids.len() < 4 {
        egress.drain(8, |record| {
            assert!(is_action(record));
            ids.push(ActionId::of(record).unwrap().to_string());
        });
        assert!(Instant::now() < deadline);
    }
    assert_eq!(
        ids,
        ["0-00000000-3-1-0", "0-00000000-6-1-0", "0-00000000-9-1-0", "0-00000000-9-1-1"]
    );
}
