//! Watermarks: of feeds, of derived streams, of silence and of times that cannot be.

use corelane_feeds::record::{FLAG_DERIVED, Header, StreamId};
use corelane_feeds::streams::sys::Tick;
use corelane_feeds::units::Nanos;

use super::Flows;
use super::{JUMP_MAX, Time};
use crate::state::StateReader;

const A: StreamId = StreamId(0x0110);
const B: StreamId = StreamId(0x0111);
const VIEW: StreamId = StreamId(0x8003);

fn header(stream: StreamId, feed: u8, ts: u64) -> Header {
    Header { stream, feed, ts_event: Nanos(ts), ..Header::default() }
}

fn time() -> Time {
    let streams = vec![(A, 10), (B, 0), (A, 10), (VIEW, 5), (Tick::STREAM, 0)];
    Time::new(streams, &[VIEW], &Flows::default())
}

fn marks(time: &Time) -> [u64; 3] {
    [A, B, VIEW].map(|stream| time.of(&time.places(&[stream, Tick::STREAM])).0)
}

#[test]
fn a_stream_is_as_far_as_the_slowest_of_its_feeds() {
    let mut time = time();
    time.observe(&header(A, 0, 100));
    assert_eq!(marks(&time), [90, 0, 0]);
    time.observe(&header(A, 0, 95));
    time.observe(&header(B, 1, 500));
    assert_eq!((marks(&time), time.of(&time.places(&[A, B])).0), ([90, 500, 0], 90));
    // Any record of a feed says how far all of it is.
    time.observe(&header(B, 0, 300));
    assert_eq!(marks(&time), [290, 500, 0], "what was reached is not taken back");
    time.observe(&header(B, 0, 700));
    time.observe(&header(A, 1, 600));
    assert_eq!(marks(&time), [690, 600, 0]);
}

#[test]
fn ticks_move_who_is_silent() {
    let mut time = time();
    time.observe(&header(A, 0, 100));
    time.observe(&header(A, 1, 50));
    time.observe(&header(Tick::STREAM, 0, 1_000));
    assert_eq!(marks(&time), [90, 1_000, 0], "feed 1 is not silent, as far as is known");
    time.observe(&header(Tick::STREAM, 1, 900));
    assert_eq!(marks(&time), [890, 1_000, 0]);
}

#[test]
fn derived_streams_go_by_their_own_time() {
    let mut time = time();
    let derived = |stream, ts| Header { flags: FLAG_DERIVED, ..header(stream, 0, ts) };
    time.observe(&header(A, 0, 1_000));
    time.observe(&derived(VIEW, 200));
    assert_eq!(marks(&time), [990, 0, 195]);
    let punctuation = Header { instrument: VIEW.0, ..derived(Tick::STREAM, 400) };
    time.observe(&punctuation);
    assert_eq!(marks(&time), [990, 0, 400]);
    time.observe(&derived(A, 5_000));
    assert_eq!(marks(&time), [4_990, 0, 400], "a book's record has its feed's time");
}

#[test]
fn one_record_from_the_future_moves_nothing() {
    let mut time = time();
    time.observe(&header(B, 0, 100));
    time.observe(&header(B, 0, 101 + JUMP_MAX));
    assert_eq!((marks(&time)[1], time.clamped), (100, 1));
    time.observe(&header(B, 0, 110));
    time.observe(&header(B, 0, u64::MAX));
    assert_eq!((marks(&time)[1], time.clamped), (110, 2));
    time.observe(&header(B, 0, 5 * JUMP_MAX));
    assert_eq!((marks(&time)[1], time.clamped), (5 * JUMP_MAX, 3), "two agree: the lesser");
    time.observe(&header(B, 0, 6 * JUMP_MAX));
    assert_eq!(marks(&time)[1], 6 * JUMP_MAX);
}

#[test]
fn what_is_restored_goes_on() {
    let mut first = time();
    for (stream, feed, ts) in [(A, 0, 100), (B, 3, 70), (A, 3, 90), (A, 0, 200 + JUMP_MAX)] {
        first.observe(&header(stream, feed, ts));
    }
    let mut bytes = Vec::new();
    first.save(&mut bytes);
    let mut again = time();
    let mut reader = StateReader::new(&bytes);
    again.restore(&mut reader).unwrap();
    reader.finish().unwrap();
    for time in [&mut first, &mut again] {
        time.observe(&header(A, 0, 300 + JUMP_MAX));
        time.observe(&header(A, 3, 95));
    }
    assert_eq!((marks(&first), first.clamped), (marks(&again), again.clamped));
    for cut in 0..bytes.len() {
        assert!(time().restore(&mut StateReader::new(&bytes[..cut])).is_err());
    }
}
