//! Proves that nothing is allocated per record: a whole generated session goes from ITCH bytes
//! through decoder, ring, books and strategies, journal (over many segments) and action ring, on a
//! thread whose heap is sealed.
//!
//! A first pass of the same session lets books and strategies grow to what they need; the second
//! pass is the steady state.
#![allow(unsafe_code)] // A global allocator cannot be written without.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use corelane::clock::Clock;
use corelane::generate::session::{Config, generate};
use corelane::journal::{JournalConfig, JournalReader, JournalWriter, Tail, shard_dir};
use corelane::latency::LatencyCollector;
use corelane::ring::{self, RecordConsumer, RecordProducer};
use corelane::shard::{Shard, ShardConfig};
use corelane_feeds::declared::{ColumnSpec, Declared};
use corelane_feeds::feed::{Feed, FeedConfig, Protocol, Transport};
use corelane_feeds::record::{Record, StreamId};
use corelane_feeds::schema::SqlType;
use corelane_feeds::streams::itch::OrderExecuted;
use corelane_feeds::text::{Format, TextConfig, TextFeed};
use corelane_feeds::units::{Nanos, Qty32, Seq};
use corelane_strategies::action::Order;
use corelane_strategies::book::{L3Books, L3Options};
use corelane_strategies::chain::Chain;
use corelane_strategies::outbox::Outbox;
use corelane_strategies::registry::{Params, Registry};
use corelane_strategies::strategy::{StateError, Strategy};

/// Counts what a sealed thread asks of the heap.
struct Sealing;

thread_local! {
    static SEALED: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    if SEALED.get() {
        CALLS.set(CALLS.get() + 1);
    }
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory but two
// thread-local cells that need neither heap nor destructor.
unsafe impl GlobalAlloc for Sealing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system allocator's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count();
        // SAFETY: `at` came from `alloc` or `realloc` above, which are the system's.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: `at` came from `alloc` or `realloc` above, which are the system's.
        unsafe { System.realloc(at, layout, bytes) }
    }
}

#[global_allocator]
static HEAP: Sealing = Sealing;

/// Runs `work` and returns how often it used the heap.
fn sealed(work: impl FnOnce()) -> u64 {
    CALLS.set(0);
    SEALED.set(true);
    work();
    SEALED.set(false);
    CALLS.get()
}

/// Orders at every execution, so that actions flow whatever the other strategies decide.
struct Follower;

impl Strategy for Follower {
    fn name(&self) -> &'static str {
        "follower"
    }

    fn streams(&self) -> &[StreamId] {
        &[OrderExecuted::STREAM]
    }

    fn actions_max(&self) -> usize {
        1
    }

    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        let mut order = Order::new(record.header.stamp(), b'B');
        order.qty = Qty32(1);
        outbox.act(order);
    }

    fn save(&self, _out: &mut Vec<u8>) {}

    fn restore(&mut self, _bytes: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
}

/// Books, every built-in strategy with its defaults, and one that surely acts.
fn chain() -> Chain {
    let registry = Registry::builtin();
    let mut strategies: Vec<Box<dyn Strategy>> = vec![Box::new(Follower)];
    for factory in registry.factories() {
        strategies.push(registry.build(factory.name, &Params::default()).unwrap());
    }
    Chain::new(vec![Box::new(L3Books::new(L3Options::default()))], strategies)
}

/// The path of every message: wire bytes in, actions out.
struct Path {
    feed: Feed,
    producer: RecordProducer,
    feed_shard: RecordConsumer,
    shard: Shard<RecordProducer>,
    shard_egress: RecordConsumer,
    actions: u64,
}

impl Path {
    /// Feeds every message of a file in the venue's format as one session.
    fn session(&mut self, name: &[u8; 10], file: &[u8]) {
        let (mut rest, mut seq) = (file, 0);
        while let Some((length, behind)) = rest.split_first_chunk::<2>() {
            let (message, behind) = behind.split_at(u16::from_be_bytes(*length).into());
            rest = behind;
            seq += 1;
            let Self { feed, producer, .. } = self;
            let mut sink = |record: &Record| producer.push(record).expect("room in feed_shard");
            feed.message(name, Seq(seq), Nanos(seq), message, &mut sink);
            if seq % 64 == 0 {
                self.turn();
            }
        }
        self.turn();
    }

    /// One turn of the shard's loop and one of egress.
    fn turn(&mut self) {
        while self.shard.drain(&mut self.feed_shard, 32) > 0 {}
        self.shard.idle();
        let drained = self.shard_egress.drain(usize::MAX, |record| {
            self.actions += u64::from(record.header.stream == Order::STREAM);
        });
        assert!(drained < self.shard_egress.stats().capacity() as usize);
    }
}

#[test]
fn a_session_passes_without_touching_the_heap() {
    let config = Config { messages: 200_000, symbols: 200, ..Config::default() };
    let (file, _) = generate(&config, Vec::new()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    // Segments far shorter than the default, so that many changes of segment are among the work.
    let journal = JournalConfig { segment_bytes: 1 << 20, ..JournalConfig::new(dir.path()) };
    let writer = JournalWriter::create(&journal).unwrap();
    let (producer, feed_shard) = ring::new("feed_shard", 1 << 10);
    let (out, shard_egress) = ring::new("shard_egress", 1 << 10);
    let mut collector = LatencyCollector::new(Duration::from_secs(1), Nanos(0));
    let mut shard = Shard::new(chain(), Some(writer), out, ShardConfig::default());
    shard.measure(Clock::new(), collector.recorder(), true);
    let feed = Feed::new(&FeedConfig::new(0, Protocol::Itch50, Transport::BinaryFile));
    let mut path = Path { feed, producer, feed_shard, shard, shard_egress, actions: 0 };

    path.session(b"WARMUP    ", &file);
    let (warm, counted) = (path.actions, path.shard.counters());
    assert!(warm > 1_000, "{warm} actions");
    assert!(counted.records > config.messages);

    // While nothing is created on this thread: a segment that is late is made by the writer, which
    // is counted, and is the one thing that may use the heap.
    let late = |path: &Path| {
        let counters = path.shard.journal_counters().unwrap();
        counters.rolls_inline
    };
    let before = late(&path);
    let calls = sealed(|| path.session(b"STEADY    ", &file));
    assert_eq!(path.actions, 2 * warm, "both passes decide the same");
    if late(&path) == before {
        assert_eq!(calls, 0, "the heap was used in the steady state");
    } else {
        println!("{} segments were late: {calls} calls", late(&path) - before);
        assert!(calls <= (late(&path) - before) * 16, "more than late segments explain");
    }

    let end = path.shard.finish();
    assert!(end.failure.is_none());
    assert!(end.journal.unwrap().segments > 20);
    let mut reader = JournalReader::open(&shard_dir(dir.path(), 0)).unwrap();
    let entries = reader.by_ref().inspect(|entry| assert!(entry.is_ok())).count() as u64;
    assert_eq!(entries, end.counters.records + end.counters.actions);
    assert_eq!(reader.tail(), Some(Tail::Closed));
}

/// Lines, well formed or not, in pieces that cut them, become records without the heap.
#[test]
fn lines_pass_without_touching_the_heap() {
    let columns = [
        ColumnSpec::new("account", SqlType::BigInt),
        ColumnSpec::new("amount", SqlType::Decimal(2)),
        ColumnSpec::new("country", SqlType::Char(2)),
        ColumnSpec::new("ts", SqlType::Timestamp),
    ];
    let mut stream = Declared::new(200, "payments", &columns).unwrap();
    (stream.key, stream.time) = (vec![0], Some(3));
    let json = concat!(
        r#"{"account":7,"amount":12.30,"country":"DE","ts":1700000000000000000,"x":{"y":[1]}}"#,
        "\n",
        r#"{"account":"8","amount":1.23e1,"country":"\u0041","ts":"2026-11-23T17:36:52Z"}"#,
        "\n{\"account\":true}\n[\n\n",
    );
    let csv = "account,ts,country\n7,1,DE\n7,1,\"D\"\"\"\n7,x,DE\n";
    for (format, text) in [(Format::Json, json), (Format::Csv, csv)] {
        let mut feed = TextFeed::new(&TextConfig::new(0, &stream, format));
        let mut records = 0u64;
        let calls = sealed(|| {
            for piece in text.as_bytes().chunks(50).cycle().take(10_000) {
                feed.bytes(Nanos(1), piece, &mut |_: &Record| records += 1);
            }
        });
        assert!(records > 1_000 && feed.counters().rejected > 1_000, "{records} records");
        assert_eq!(calls, 0, "{format}");
    }
}

#[test]
fn the_seal_notices() {
    assert_eq!(sealed(|| drop(std::hint::black_box(vec![1u8; 100]))), 2);
    assert_eq!(sealed(|| ()), 0);
}
