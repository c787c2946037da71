//! Two lines against an oracle that knows what each of them lost: what a line brought is delivered
//! exactly once and in order, what none brought is a gap, and the counters add up to it.

use std::collections::BTreeSet;

use corelane_feeds::feed::{Feed, FeedConfig, FeedCounters, Protocol, Transport};
use corelane_feeds::itch50::wire;
use corelane_feeds::moldudp64::Header;
use corelane_feeds::record::{FLAG_AFTER_GAP, Record, View};
use corelane_feeds::streams::itch::SystemEvent;
use corelane_feeds::streams::sys::Gap;
use corelane_feeds::units::Nanos;
use proptest::collection::vec;
use proptest::prelude::*;
use zerocopy::IntoBytes;

const S: &[u8; 10] = b"SESSION001";

fn packet(session: &[u8; 10], seq: u64, count: u16) -> Vec<u8> {
    let mut bytes = Header::new(*session, seq, count).as_bytes().to_vec();
    for n in 0..u64::from(count) {
        let head = wire::Head::new(b'S', 0, seq.wrapping_add(n));
        let message = wire::SystemEvent { head, event: b'O' };
        bytes.extend_from_slice(&(size_of_val(&message) as u16).to_be_bytes());
        bytes.extend_from_slice(message.as_bytes());
    }
    bytes
}

/// What came out: the messages' sequence numbers, and those that the gaps name.
struct Outcome {
    messages: Vec<u64>,
    missing: Vec<u64>,
    counters: FeedCounters,
}

fn run(hold_max: usize, packets: &[(u8, Vec<u8>)]) -> Outcome {
    let config = FeedConfig::new(0, Protocol::Itch50, Transport::MoldUdp64);
    let mut feed = Feed::new(&FeedConfig { lines: 2, hold_max, ..config });
    let (mut messages, mut missing, mut after_gap) = (Vec::new(), Vec::new(), false);
    let mut sink = |record: &Record| {
        if let Some(gap) = record.view::<Gap>() {
            missing.extend(gap.first.0..gap.first.0 + gap.count);
            after_gap = true;
        } else if record.header.stream == SystemEvent::SCHEMA.stream {
            let flagged = record.header.flags & FLAG_AFTER_GAP != 0;
            assert_eq!(flagged, std::mem::take(&mut after_gap), "at {:?}", record.header.seq);
            let stamped = record.header.seq.0 & ((1 << 48) - 1);
            assert_eq!(stamped, record.header.ts_event.0, "message under its number");
            messages.push(record.header.seq.0);
        }
    };
    for (line, payload) in packets {
        feed.datagram(*line, Nanos(1), payload, &mut sink);
    }
    feed.flush(Nanos(1), &mut sink);
    Outcome { messages, missing, counters: feed.counters() }
}

/// One line's packets: (first message, messages, whether it arrives).
fn line_of(sizes: &[(u16, bool)], total: u64) -> Vec<(u64, u16, bool)> {
    let mut seq = 1;
    let mut packets = Vec::new();
    for (size, arrives) in sizes.iter().cycle() {
        let left = total + 1 - seq;
        if left == 0 {
            return packets;
        }
        let count = u64::from(*size).min(left) as u16;
        packets.push((seq, count, *arrives));
        seq += u64::from(count);
    }
    packets
}

/// Merges two lines by coin tosses, each line in its own order.
fn interleave(lines: [Vec<(u64, u16, bool)>; 2], tosses: &[bool]) -> Vec<(u8, u64, u16)> {
    let mut iters = lines.map(|line| line.into_iter().filter(|packet| packet.2).peekable());
    let mut merged = Vec::new();
    for toss in tosses.iter().cycle() {
        let wanted = usize::from(*toss);
        let line = if iters[wanted].peek().is_some() { wanted } else { 1 - wanted };
        let Some((seq, count, _)) = iters[line].next() else { return merged };
        merged.push((line as u8, seq, count));
    }
    merged
}

fn sizes() -> impl Strategy<Value = Vec<(u16, bool)>> {
    vec((1..6u16, prop::bool::weighted(0.7)), 1..40)
}

proptest! {
    #[test]
    fn with_room_to_hold_only_what_both_lines_lost_is_lost(
        a in sizes(), b in sizes(), tosses in vec(any::<bool>(), 1..60), total in 1..120u64,
    ) {
        let merged = interleave([line_of(&a, total), line_of(&b, total)], &tosses);
        prop_assume!(!merged.is_empty());
        let packets: Vec<_> =
            merged.iter().map(|(line, seq, count)| (*line, packet(S, *seq, *count))).collect();
        let outcome = run(packets.len(), &packets);

        // A feed opens with the first message that any line brings.
        let start = merged.iter().map(|(_, seq, _)| *seq).min().expect("a packet");
        let arrived = merged.iter().flat_map(|(_, seq, count)| *seq..*seq + u64::from(*count));
        let brought: BTreeSet<u64> = arrived.clone().collect();
        let last = *brought.last().expect("a packet has a message");
        let lost: Vec<u64> = (start..last).filter(|seq| !brought.contains(seq)).collect();
        prop_assert_eq!(&outcome.messages, &brought.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(&outcome.missing, &lost);
        prop_assert_eq!(outcome.counters.messages_missing, lost.len() as u64);
        prop_assert_eq!(outcome.counters.duplicates, (arrived.count() - brought.len()) as u64);
        prop_assert_eq!((outcome.counters.hold_overflows, outcome.counters.late), (0, 0));
        prop_assert_eq!((outcome.counters.restarts, outcome.counters.stale), (0, 0));
    }

    #[test]
    fn with_little_room_messages_stay_in_order_and_every_loss_is_told(
        a in sizes(), b in sizes(), tosses in vec(any::<bool>(), 1..60), total in 1..120u64,
        hold_max in 0..3usize,
    ) {
        let merged = interleave([line_of(&a, total), line_of(&b, total)], &tosses);
        prop_assume!(!merged.is_empty());
        let packets: Vec<_> =
            merged.iter().map(|(line, seq, count)| (*line, packet(S, *seq, *count))).collect();
        let outcome = run(hold_max, &packets);

        let mut told: Vec<u64> = outcome.messages.clone();
        told.extend(&outcome.missing);
        told.sort_unstable();
        let start = *told.first().expect("a message");
        let last = merged.iter().map(|(_, seq, count)| seq + u64::from(*count)).max();
        prop_assert!(start <= merged[0].1, "what came first is told");
        prop_assert_eq!(told, (start..last.expect("a packet")).collect::<Vec<_>>());
        prop_assert!(outcome.messages.is_sorted());
        let arrived: u64 = merged.iter().map(|(_, _, count)| u64::from(*count)).sum();
        let delivered = outcome.messages.len() as u64;
        let FeedCounters { duplicates, late, .. } = outcome.counters;
        prop_assert_eq!(duplicates + late, arrived - delivered);
        let brought = merged.iter().flat_map(|(_, seq, count)| *seq..*seq + u64::from(*count));
        let distinct = brought.collect::<BTreeSet<_>>().len() as u64;
        // A late message may be late twice, but none that was never delivered is a duplicate.
        prop_assert!(duplicates + distinct <= arrived, "{duplicates} of {arrived}");
        prop_assert!(late >= distinct - delivered);
    }
}

/// The line that went past a hole last was once judged after what was held, so that its own
/// packet, lower than the held ones, was given up with the hole although it was at hand.
#[test]
fn a_message_at_hand_is_never_part_of_a_gap() {
    let packets =
        [(0, packet(S, 1, 1)), (1, packet(S, 1, 1)), (0, packet(S, 5, 1)), (1, packet(S, 4, 1))];
    let outcome = run(8, &packets);
    assert_eq!((outcome.messages, outcome.missing), (vec![1, 4, 5], vec![2, 3]));
}

/// Giving up one hole once gave up every hole behind it, although a line was about to fill them.
#[test]
fn one_hole_given_up_leaves_the_next_one_open() {
    let packets = [
        (0, packet(S, 1, 1)),
        (1, packet(S, 1, 1)),
        (0, packet(S, 5, 1)),
        (0, packet(S, 9, 1)),
        (1, packet(S, 4, 1)),
        (1, packet(S, 5, 4)),
        (1, packet(S, 9, 1)),
    ];
    let outcome = run(8, &packets);
    assert_eq!((outcome.messages, outcome.missing), (vec![1, 4, 5, 6, 7, 8, 9], vec![2, 3]));
}

/// Packets held when another session began were once dropped without a word.
#[test]
fn what_is_held_goes_out_before_the_next_session() {
    let next = packet(b"SESSION002", 1, 1);
    let outcome = run(8, &[(0, packet(S, 1, 1)), (0, packet(S, 3, 1)), (0, next)]);
    assert_eq!((outcome.messages, outcome.missing), (vec![1, 3, 1], vec![2]));
}

/// A sequence number at the end of 64 bits once overflowed: a packet anyone can send.
#[test]
fn sequence_numbers_at_the_end_are_refused_or_delivered() {
    let outcome = run(8, &[(0, packet(S, u64::MAX, 1)), (0, packet(S, u64::MAX - 1, 1))]);
    assert_eq!(outcome.messages, [u64::MAX - 1]);
    assert_eq!(outcome.counters.bad_framing, 1);
}

/// A message of an unknown type behind a gap once took the mark with it.
#[test]
fn the_mark_of_a_gap_waits_for_a_record() {
    let mut unknown = Header::new(*S, 4, 1).as_bytes().to_vec();
    unknown.extend_from_slice(&[0, 1, b'!']);
    let outcome = run(0, &[(0, packet(S, 1, 1)), (0, unknown), (0, packet(S, 5, 1))]);
    assert_eq!((outcome.messages, outcome.counters.unknown_types), (vec![1, 5], 1));
}
