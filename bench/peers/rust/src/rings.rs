//! Rings between two pinned threads, 64-byte records: there and back one at a time, and one way as
//! fast as they go.
//!
//! Invariant: both sides spin; every record that arrives is the one that was sent, in order.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::ensure;
use corelane::ring::{self, RecordConsumer, RecordProducer};
use corelane::sys::affinity;
use corelane_feeds::record::{Stamp, View};
use corelane_feeds::streams::itch::AddOrder;
use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;
use disruptor::{
    BusySpin, EventPoller, Producer, SingleConsumerBarrier, SingleProducer, SingleProducerBarrier,
    build_single_producer,
};

use crate::table::{measure, peer};
use crate::two_cpus;

const SLOTS: usize = 4_096;
const TRIPS: u64 = 100_000;
const RECORDS: u64 = 2_000_000;
const ROUNDS: usize = 9;

/// What is sent: a cache line, of which the first word counts.
type Line = [u64; 8];

/// A ring's ends.
trait Ring {
    type Tx: Tx + Send + 'static;
    type Rx: Rx + Send + 'static;
    fn new() -> (Self::Tx, Self::Rx);
}

trait Tx {
    /// Puts a line with this number; false if there is no room.
    fn put(&mut self, number: u64) -> bool;
}

trait Rx {
    /// Takes what is there, at least one if there is one; tells the numbers.
    fn take(&mut self, each: impl FnMut(u64)) -> bool;
}

struct Ours;

impl Ring for Ours {
    type Tx = RecordProducer;
    type Rx = RecordConsumer;
    fn new() -> (Self::Tx, Self::Rx) {
        ring::new("peer_peer", SLOTS)
    }
}

impl Tx for RecordProducer {
    #[inline]
    fn put(&mut self, number: u64) -> bool {
        let mut record = AddOrder::new(Stamp::default(), b'B');
        record.order_ref = number;
        self.push(record.as_record()).is_ok()
    }
}

impl Rx for RecordConsumer {
    #[inline]
    fn take(&mut self, mut each: impl FnMut(u64)) -> bool {
        self.drain(256, |record| each(record.fields[0])) > 0
    }
}

struct Rtrb;

impl Ring for Rtrb {
    type Tx = rtrb::Producer<Line>;
    type Rx = rtrb::Consumer<Line>;
    fn new() -> (Self::Tx, Self::Rx) {
        rtrb::RingBuffer::new(SLOTS)
    }
}

impl Tx for rtrb::Producer<Line> {
    #[inline]
    fn put(&mut self, number: u64) -> bool {
        self.push([number; 8]).is_ok()
    }
}

impl Rx for rtrb::Consumer<Line> {
    #[inline]
    fn take(&mut self, mut each: impl FnMut(u64)) -> bool {
        self.pop().is_ok_and(|line| {
            each(line[0]);
            true
        })
    }
}

struct Channel;

impl Ring for Channel {
    type Tx = crossbeam_channel::Sender<Line>;
    type Rx = crossbeam_channel::Receiver<Line>;
    fn new() -> (Self::Tx, Self::Rx) {
        crossbeam_channel::bounded(SLOTS)
    }
}

impl Tx for crossbeam_channel::Sender<Line> {
    #[inline]
    fn put(&mut self, number: u64) -> bool {
        self.try_send([number; 8]).is_ok()
    }
}

impl Rx for crossbeam_channel::Receiver<Line> {
    #[inline]
    fn take(&mut self, mut each: impl FnMut(u64)) -> bool {
        self.try_recv().is_ok_and(|line| {
            each(line[0]);
            true
        })
    }
}

struct Queue;

impl Ring for Queue {
    type Tx = Arc<ArrayQueue<Line>>;
    type Rx = Arc<ArrayQueue<Line>>;
    fn new() -> (Self::Tx, Self::Rx) {
        let queue = Arc::new(ArrayQueue::new(SLOTS));
        (Arc::clone(&queue), queue)
    }
}

impl Tx for Arc<ArrayQueue<Line>> {
    #[inline]
    fn put(&mut self, number: u64) -> bool {
        self.push([number; 8]).is_ok()
    }
}

impl Rx for Arc<ArrayQueue<Line>> {
    #[inline]
    fn take(&mut self, mut each: impl FnMut(u64)) -> bool {
        self.pop().is_some_and(|line| {
            each(line[0]);
            true
        })
    }
}

struct Disruptor;

impl Ring for Disruptor {
    type Tx = SingleProducer<Line, SingleConsumerBarrier>;
    type Rx = EventPoller<Line, SingleProducerBarrier>;
    fn new() -> (Self::Tx, Self::Rx) {
        let builder = build_single_producer(SLOTS, || [0; 8], BusySpin);
        let (poller, builder) = builder.new_event_poller();
        (builder.build(), poller)
    }
}

impl Tx for SingleProducer<Line, SingleConsumerBarrier> {
    #[inline]
    fn put(&mut self, number: u64) -> bool {
        self.try_publish(|line| *line = [number; 8]).is_ok()
    }
}

impl Rx for EventPoller<Line, SingleProducerBarrier> {
    #[inline]
    fn take(&mut self, mut each: impl FnMut(u64)) -> bool {
        let Ok(mut lines) = self.poll() else { return false };
        (&mut lines).for_each(|line| each(line[0]));
        true
    }
}

/// Sends and receives `TRIPS` lines there and back; nanoseconds per trip.
fn there_and_back<R: Ring>() -> anyhow::Result<f64> {
    let (near, far) = two_cpus()?;
    let ((mut to, mut from_near), (mut back, mut from_far)) = (R::new(), R::new());
    let echo = thread::spawn(move || {
        affinity::pin(far)?;
        let mut done = 0;
        while done < TRIPS {
            let is_any = from_near.take(|number| {
                while !back.put(number) {
                    spin_loop();
                }
                done += 1;
            });
            if !is_any {
                spin_loop();
            }
        }
        anyhow::Ok(())
    });
    affinity::pin(near)?;
    let begin = Instant::now();
    for sent in 0..TRIPS {
        ensure!(to.put(sent), "no room in an empty ring");
        let mut got = None;
        while !from_far.take(|number| got = Some(number)) {
            spin_loop();
        }
        ensure!(got == Some(sent), "{got:?} came back for {sent}");
    }
    let ns = begin.elapsed().as_nanos() as f64 / TRIPS as f64;
    echo.join().map_err(|_| anyhow::anyhow!("the echo panicked"))??;
    Ok(ns)
}

/// Sends `RECORDS` lines as fast as they are taken; nanoseconds per line.
fn one_way<R: Ring>() -> anyhow::Result<f64> {
    let (near, far) = two_cpus()?;
    let (mut to, mut from) = R::new();
    let taker = thread::spawn(move || {
        affinity::pin(far)?;
        let mut next = 0;
        let mut is_in_order = true;
        while next < RECORDS {
            let is_any = from.take(|number| {
                is_in_order &= number == next;
                next += 1;
            });
            if !is_any {
                spin_loop();
            }
        }
        ensure!(is_in_order, "lines came out of order");
        anyhow::Ok(())
    });
    affinity::pin(near)?;
    let begin = Instant::now();
    for number in 0..RECORDS {
        while !to.put(number) {
            spin_loop();
        }
    }
    taker.join().map_err(|_| anyhow::anyhow!("the taker panicked"))??;
    Ok(begin.elapsed().as_nanos() as f64 / RECORDS as f64)
}

/// Two words on lines of their own: nothing can be faster.
fn bare() -> anyhow::Result<f64> {
    let (near, far) = two_cpus()?;
    let words = Arc::new([(); 2].map(|()| CachePadded::new(AtomicU64::new(0))));
    let theirs = Arc::clone(&words);
    let echo = thread::spawn(move || {
        affinity::pin(far)?;
        for number in 1..=TRIPS {
            while theirs[0].load(Ordering::Acquire) != number {
                spin_loop();
            }
            theirs[1].store(number, Ordering::Release);
        }
        anyhow::Ok(())
    });
    affinity::pin(near)?;
    let begin = Instant::now();
    for number in 1..=TRIPS {
        words[0].store(number, Ordering::Release);
        while words[1].load(Ordering::Acquire) != number {
            spin_loop();
        }
    }
    let ns = begin.elapsed().as_nanos() as f64 / TRIPS as f64;
    echo.join().map_err(|_| anyhow::anyhow!("the echo panicked"))??;
    Ok(ns)
}

pub(crate) fn run() -> anyhow::Result<()> {
    let peers = vec![
        peer("", "two words on cache lines of their own", bare),
        peer("", "Corelane: records of 64 bytes", there_and_back::<Ours>),
        peer("rtrb", "lines of 64 bytes", there_and_back::<Rtrb>),
        peer("disruptor", "single producer, event poller", there_and_back::<Disruptor>),
        peer("crossbeam-queue", "ArrayQueue", there_and_back::<Queue>),
        peer("crossbeam-channel", "bounded, try_send and try_recv", there_and_back::<Channel>),
    ];
    measure("there and back through two rings, wall time", "trip", ROUNDS, peers)?;
    let peers = vec![
        peer("", "Corelane: taken in batches of up to 256", one_way::<Ours>),
        peer("rtrb", "one by one", one_way::<Rtrb>),
        peer("disruptor", "taken in batches of what is there", one_way::<Disruptor>),
        peer("crossbeam-queue", "ArrayQueue", one_way::<Queue>),
        peer("crossbeam-channel", "bounded, try_send and try_recv", one_way::<Channel>),
    ];
    let title = format!("one way, rings of {SLOTS} slots, wall time");
    measure(&title, "record", ROUNDS, peers)
}
