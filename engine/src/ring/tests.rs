//! Rings against a bounded queue of the standard library, and between two threads.

use std::collections::VecDeque;

use corelane_feeds::record::{HEADER_BYTES, Header, RecordBuf, Stamp, StreamId};
use corelane_feeds::units::Seq;
use proptest::prelude::*;
use zerocopy::FromBytes;

use super::*;

/// A record of `bytes` bytes whose every word tells `seq`.
fn record_of(bytes: usize, seq: u64) -> RecordBuf {
    let stamp = Stamp { seq: Seq(seq), ..Stamp::default() };
    let mut words = vec![seq; bytes / 8];
    let header = Header::new(StreamId(0x0909), bytes, 7, stamp);
    words.as_mut_bytes()[..HEADER_BYTES].copy_from_slice(header.as_bytes());
    Record::ref_from_bytes(words.as_bytes()).unwrap().to_buf()
}

fn bytes_of(record: &Record) -> Vec<u8> {
    record.as_bytes().to_vec()
}

proptest! {
    #[test]
    fn a_ring_is_a_bounded_queue(
        slots in SLOTS_MIN..40,
        steps in prop::collection::vec((0usize..3, 4usize..=32, 0usize..6), 1..300),
    ) {
        let (mut producer, mut consumer) = new("test_oracle", slots);
        let mut oracle: VecDeque<Vec<u8>> = VecDeque::new();
        let taken = |oracle: &VecDeque<Vec<u8>>| -> usize {
            oracle.iter().map(|bytes| bytes.len().div_ceil(64)).sum()
        };
        let (mut refused, mut most) = (0, 0);
        for (seq, (kind, words, count)) in steps.into_iter().enumerate() {
            if kind == 2 {
                most = most.max(taken(&oracle));
                let mut got = Vec::new();
                let drained = consumer.drain(count, |record| got.push(bytes_of(record)));
                prop_assert_eq!(drained, got.len());
                prop_assert_eq!(drained, count.min(oracle.len()));
                for bytes in got {
                    prop_assert_eq!(Some(bytes), oracle.pop_front());
                }
            } else {
                let buf = record_of(words * 8, seq as u64);
                let record = buf.record().unwrap();
                let free = slots - taken(&oracle);
                match producer.push(record) {
                    Ok(()) => {
                        prop_assert!(free >= record.slots());
                        oracle.push_back(bytes_of(record));
                    }
                    Err(full) => {
                        prop_assert_eq!(full, Full { free, wanted: record.slots() });
                        prop_assert!(free < record.slots());
                        refused += 1;
                        producer.count_dropped(1);
                    }
                }
            }
            prop_assert_eq!(producer.stats().occupancy() as usize, taken(&oracle));
            prop_assert_eq!(producer.free(), slots - taken(&oracle));
            prop_assert_eq!(consumer.is_empty(), oracle.is_empty());
        }
        let stats = consumer.stats();
        prop_assert_eq!((stats.refused(), stats.dropped()), (refused, refused));
        prop_assert!(stats.occupancy_max() >= most as u64);
    }
}

#[test]
fn two_threads_lose_nothing_and_keep_the_order() {
    const RECORDS: u64 = 200_000;
    let (mut producer, mut consumer) = new("feed_shard", 61);
    let reader = std::thread::spawn(move || {
        let mut next = 0;
        while next < RECORDS {
            let drained = consumer.drain(16, |record| {
                assert_eq!(record.header.seq.0, next);
                assert!(record.fields.iter().all(|&word| word == next));
                next += 1;
            });
            if drained == 0 {
                std::thread::yield_now();
            }
        }
        consumer
    });
    for seq in 0..RECORDS {
        let buf = record_of(40 + 8 * (seq % 28) as usize, seq);
        while producer.push(buf.record().unwrap()).is_err() {
            std::thread::yield_now();
        }
    }
    let consumer = reader.join().unwrap();
    let stats = consumer.stats();
    assert_eq!((stats.pushed(), stats.drained(), stats.dropped()), (RECORDS, RECORDS, 0));
    assert_eq!(stats.occupancy(), 0);
}

#[test]
fn either_side_sees_that_the_other_is_gone() {
    let (mut producer, mut consumer) = new("feed_shard", 8);
    producer.push(record_of(64, 1).record().unwrap()).unwrap();
    assert!(!consumer.is_abandoned());
    drop(producer);
    assert!(consumer.is_abandoned());
    assert_eq!(consumer.drain(8, |_| {}), 1);
    let (producer, consumer) = new("shard_egress", 8);
    drop(consumer);
    assert!(producer.is_abandoned());
}
