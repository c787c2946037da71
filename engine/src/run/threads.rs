//! The hot threads: reactors over sockets, one over a capture, shards.
//!
//! Invariant: a thread says that it is ready, or why not, exactly once; it ends when it is told to,
//! when its input is over, or when downstream cannot go on, and then hands back what it counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Context;
use corelane_feeds::capture::{LinkType, Packet, Payload, Skipped, decode};
use corelane_feeds::units::{Nanos, Seq};

use super::intake::{Downstream, FeedEnd, Intake};
use super::plan::Wiring;
use super::{ReplayCounters, Speed};
use crate::capture_file::{Capture, LineFile, MessageCapture, PacketCapture, Recording};
use crate::reactor::Sessions;
use crate::reactor::{Backend, Counters, Idle, OpenSocket, Reactor, Waiting};
use crate::report::SocketReport;
use crate::ring::RecordConsumer;
use crate::shard::{ActionOut, Shard, ShardEnd};
use crate::sys::affinity;

/// Polls between two moments for what can wait, on a thread that is never idle.
const BUSY_ROUNDS: u32 = 512;
/// Frames of a capture between two such moments.
const REPLAY_ROUNDS: u32 = 4_096;
/// Messages or lines of a file that are decided over together at full speed.
const PACKET_MESSAGES: usize = 16;
/// Records that a shard takes from one ring before the next one has its turn.
const DRAIN_MAX: usize = 256;
/// Sleep of a shard that parks: what a lone record waits at most.
const PARK: Duration = Duration::from_micros(50);
/// What a reactor that is told to stop still takes of what keeps arriving.
const DRAIN_NS: u64 = 200_000_000;
/// A replay that is ahead of its schedule by less than this spins.
const SPIN_NS: u64 = 100_000;
/// The longest that it sleeps at a time.
const NAP_NS_MAX: u64 = 10_000_000;

/// What every hot thread is told.
#[derive(Clone)]
pub(super) struct Orders {
    /// Kernel CPU id to run on.
    pub(super) core: Option<usize>,
    pub(super) waiting: Waiting,
    /// End soon.
    pub(super) stop: Arc<AtomicBool>,
    /// Told once: ready, or why not.
    pub(super) ready: Sender<Result<String, anyhow::Error>>,
    /// End when every feed's session is over.
    pub(super) until_end: bool,
    /// End after so much silence, once something was received; 0 never.
    pub(super) idle_exit_ns: u64,
}

impl Orders {
    fn pin(&self) -> anyhow::Result<()> {
        match self.core {
            Some(core) => affinity::pin(core).with_context(|| format!("pinning to CPU {core}")),
            None => Ok(()),
        }
    }

    fn told_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What a reactor hands back.
pub(super) struct ReactorEnd<D> {
    pub(super) downstream: D,
    pub(super) feeds: Vec<FeedEnd>,
    pub(super) received: Counters,
    pub(super) sockets: Vec<SocketReport>,
    pub(super) replay: Option<ReplayCounters>,
    /// Why it could not go on; what came before it was decided.
    pub(super) failure: Option<anyhow::Error>,
}

/// Receives from sockets and connections until told to stop.
pub(super) fn receive<D: Downstream>(
    orders: &Orders,
    wiring: Wiring,
    mut intake: Intake<D>,
) -> anyhow::Result<ReactorEnd<D>> {
    let opened = orders.pin().and_then(|()| Ok(Reactor::open(&wiring.spec)?));
    let mut reactor = match opened {
        Ok(reactor) => reactor,
        Err(error) => {
            let _ = orders.ready.send(Err(error));
            anyhow::bail!("a reactor could not start");
        }
    };
    let choice = reactor.choice().to_string();
    let _ = orders.ready.send(Ok(choice));
    let mut sessions = Sessions::new(wiring.clients);
    let mut idle = Idle::new(orders.waiting);
    let mut rounds = 0u32;
    let mut told = None;
    let failure = loop {
        let polled = sessions.poll(&mut reactor, &mut intake);
        let polled = polled.and_then(|done| match done == 0 && intake.downstream.is_busy() {
            // A parked thread would keep back what the disk has meanwhile.
            true => Ok((done, take_turn(&mut intake.downstream))),
            false => Ok((done, idle.after(done, &mut reactor)?)),
        });
        let (done, waited) = match polled {
            Ok(polled) => polled,
            Err(error) => break Some(anyhow::Error::from(error).context("receiving")),
        };
        rounds += 1;
        if !waited && rounds < BUSY_ROUNDS {
            continue;
        }
        rounds = 0;
        intake.idle(true);
        sessions.on_time(intake.clock.now(), &mut reactor, &mut intake);
        if done == 0 && ends(orders, &intake) || intake.downstream.has_failed() {
            break None;
        }
        if orders.told_to_stop() {
            // Under full load there is always more; what had arrived by now is taken soon.
            let now = intake.clock.now();
            if now.since(*told.get_or_insert(now)) >= DRAIN_NS {
                break None;
            }
        }
    };
    intake.flush();
    reactor.refresh_drops();
    let socket = |open: &OpenSocket| SocketReport {
        address: open.local.to_string(),
        rcvbuf_got: open.rcvbuf_got as u64,
        rcvbuf_asked: open.rcvbuf_asked as u64,
        kernel_drops: open.kernel_drops,
    };
    Ok(ReactorEnd {
        feeds: intake.counters(),
        received: *reactor.counters(),
        sockets: reactor.sockets().iter().map(socket).collect(),
        replay: None,
        downstream: intake.downstream,
        failure,
    })
}

/// Lets downstream go on while nothing comes in; the thread has not waited.
fn take_turn<D: Downstream>(downstream: &mut D) -> bool {
    downstream.idle();
    std::thread::yield_now();
    false
}

/// Whether a reactor that found nothing to receive is to end.
fn ends<D: Downstream>(orders: &Orders, intake: &Intake<D>) -> bool {
    let silent = intake.clock.now().since(intake.last_packet);
    let began = intake.last_packet.0 != 0;
    orders.told_to_stop()
        || orders.until_end && began && intake.has_ended()
        || orders.idle_exit_ns > 0 && began && silent >= orders.idle_exit_ns
}

/// A capture to replay.
pub(super) struct Opened {
    /// What to call it.
    pub(super) name: String,
    pub(super) recording: Recording,
    /// Whose lines they are, if it is a file of lines: the number of a feed.
    pub(super) lines_of: usize,
    pub(super) speed: Speed,
}

/// Reads a capture as if it were received. One that cannot be read on ends the run early, with all
/// that came before decided.
pub(super) fn replay<D: Downstream>(
    orders: &Orders,
    opened: Opened,
    routes: &[(SocketAddr, usize, u8)],
    intake: Intake<D>,
) -> anyhow::Result<ReactorEnd<D>> {
    if let Err(error) = orders.pin() {
        let _ = orders.ready.send(Err(error));
        anyhow::bail!("a reactor could not start");
    }
    let Opened { name, recording, lines_of, speed } = opened;
    let _ = orders.ready.send(Ok(name.clone()));
    let (pace, counters) = (Pace { speed, start: None }, ReplayCounters::default());
    let mut replay = Replay { orders, pace, counters, intake, rounds: 0 };
    let read = match recording {
        Recording::Capture(Capture::Packets(packets)) => replay.packets(packets, routes),
        Recording::Capture(Capture::Messages(messages)) => replay.messages(messages),
        Recording::Lines(lines) => replay.lines(lines, lines_of),
    };
    let failure = read.context(name).err();
    let Replay { counters, mut intake, .. } = replay;
    intake.flush();
    intake.idle(false);
    Ok(ReactorEnd {
        feeds: intake.counters(),
        received: Counters::default(),
        sockets: Vec::new(),
        replay: Some(counters),
        downstream: intake.downstream,
        failure,
    })
}

/// A capture on its way in.
struct Replay<'a, D> {
    orders: &'a Orders,
    pace: Pace,
    counters: ReplayCounters,
    intake: Intake<D>,
    /// Frames since the last moment for what can wait.
    rounds: u32,
}

impl<D: Downstream> Replay<'_, D> {
    fn packets(
        &mut self,
        mut packets: PacketCapture,
        routes: &[(SocketAddr, usize, u8)],
    ) -> anyhow::Result<()> {
        while let Some(frame) = packets.next_frame()? {
            if !self.goes_on(frame.ts) {
                return Ok(());
            }
            self.counters.frames += 1;
            if frame.is_truncated() {
                self.counters.truncated += 1;
                continue;
            }
            route(frame.link, frame.ts, frame.bytes, routes, &mut self.intake, &mut self.counters);
        }
        self.counters.cut_bytes = packets.cut_bytes() as u64;
        Ok(())
    }

    /// Reads the messages of a file. At full speed a few share a packet, as they do when they are
    /// received; each keeps its own time.
    fn messages(&mut self, mut messages: MessageCapture) -> anyhow::Result<()> {
        let packet = self.packet_max();
        let mut pending = 0;
        while let Some((seq, message)) = messages.next_message()? {
            let ts = message_time(message);
            if !self.goes_on(ts) {
                return Ok(());
            }
            self.counters.frames += 1;
            pending += 1;
            let (first, last) = (pending == 1, pending == packet);
            self.intake.file_message((first, last), Seq(seq), ts, message);
            pending %= packet;
        }
        self.counters.cut_bytes = messages.cut_bytes() as u64;
        for slot in 0..self.intake.feeds.len() {
            self.intake.end_of_file(slot);
        }
        Ok(())
    }

    /// How many messages or lines of a file share a packet.
    fn packet_max(&self) -> usize {
        if self.pace.speed == Speed::Max { PACKET_MESSAGES } else { 1 }
    }

    /// Reads the lines of the feed at `slot`, in packets as those of [`Self::messages`].
    fn lines(&mut self, mut file: LineFile, slot: usize) -> anyhow::Result<()> {
        let packet = self.packet_max();
        let mut pending = 0;
        loop {
            let piece = file.next_piece()?;
            if piece.is_empty() {
                break;
            }
            let mut rest = piece;
            while let Some(feed) = self.intake.feeds[slot].feed.text()
                && let Some(behind) = feed.read(rest)
            {
                rest = behind;
                let ts = feed.pending_time();
                if !self.goes_on(ts) {
                    return Ok(());
                }
                self.counters.frames += 1;
                pending += 1;
                self.intake.line(slot, pending == 1, pending == packet);
                pending %= packet;
            }
        }
        self.intake.end_of_file(slot);
        Ok(())
    }

    /// Waits until what was captured at `ts` is due; false if the run is to end before it.
    #[inline]
    fn goes_on(&mut self, ts: Nanos) -> bool {
        // A line that gave no record has no time.
        if let Speed::Times(times) = self.pace.speed
            && ts.0 > 0
            && !self.pace.wait(ts, times, &mut self.intake, self.orders)
        {
            return false;
        }
        self.rounds += 1;
        if self.rounds < REPLAY_ROUNDS {
            return true;
        }
        self.rounds = 0;
        self.intake.idle(false);
        !self.orders.told_to_stop() && !self.intake.downstream.has_failed()
    }
}

/// The time of an ITCH message as a file has it: nanoseconds since midnight.
fn message_time(message: &[u8]) -> Nanos {
    let Some([a, b, c, d, e, f]) = message.get(5..11).and_then(|t| t.first_chunk::<6>()) else {
        return Nanos(0);
    };
    Nanos(u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]))
}

/// Gives a frame's payload to the feed that its destination belongs to.
#[inline]
fn route<D: Downstream>(
    link: LinkType,
    ts: Nanos,
    bytes: &[u8],
    routes: &[(SocketAddr, usize, u8)],
    intake: &mut Intake<D>,
    replay: &mut ReplayCounters,
) {
    match decode(link, bytes) {
        Ok(Packet { destination, payload: Payload::Udp(payload), .. }) => {
            let found = routes.iter().find(|(address, _, _)| *address == destination);
            let place = match found {
                Some((_, slot, line)) => (*slot, *line),
                // One feed alone takes whatever the capture has, on whichever group it was.
                None if intake.feeds.len() == 1 => (0, 0),
                None => {
                    replay.unrouted += 1;
                    return;
                }
            };
            intake.packet(place, Some(ts), payload, false);
        }
        Ok(Packet { payload: Payload::Tcp { .. }, .. }) => replay.tcp += 1,
        Err(Skipped::Fragment) => replay.fragments += 1,
        Err(Skipped::Truncated) => replay.truncated += 1,
        Err(Skipped::UnknownLink | Skipped::NotIp | Skipped::OtherProtocol(_)) => {
            replay.other += 1;
        }
    }
}

/// Holds a replay to its schedule, anchored to a fixed start so that no drift adds up.
struct Pace {
    speed: Speed,
    /// Time of the capture and of this machine at the first frame.
    start: Option<(Nanos, Nanos)>,
}

impl Pace {
    /// Waits until `ts` is due; false if the run is to end before that.
    #[inline]
    fn wait<D: Downstream>(
        &mut self,
        ts: Nanos,
        times: f64,
        intake: &mut Intake<D>,
        orders: &Orders,
    ) -> bool {
        let now = intake.clock.now();
        let (first, begun) = *self.start.get_or_insert((ts, now));
        let due = begun.0.saturating_add((ts.since(first) as f64 / times) as u64);
        loop {
            let left = due.saturating_sub(intake.clock.now().0);
            if orders.told_to_stop() {
                return false;
            }
            if left == 0 {
                return true;
            }
            if left > SPIN_NS {
                intake.idle(false);
                // Short enough that a stop is noticed, and what sinks hold goes out.
                let nap = (left - SPIN_NS / 2).min(NAP_NS_MAX);
                std::thread::sleep(Duration::from_nanos(nap));
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

/// Decides over what its rings bring until every reactor is gone.
pub(super) fn decide<O: ActionOut>(
    orders: &Orders,
    mut feed_shard: Vec<RecordConsumer>,
    mut shard: Shard<O>,
) -> anyhow::Result<ShardEnd<O>> {
    if let Err(error) = orders.pin() {
        let _ = orders.ready.send(Err(error));
        anyhow::bail!("a shard could not start");
    }
    let _ = orders.ready.send(Ok(String::new()));
    let mut rounds = 0u32;
    loop {
        // Asked before draining: what was pushed before the end is then seen below.
        let gone = feed_shard.iter().all(RecordConsumer::is_abandoned);
        let taken: usize = feed_shard.iter_mut().map(|ring| shard.drain(ring, DRAIN_MAX)).sum();
        if taken == 0 && gone || shard.failure().is_some() {
            break;
        }
        rounds += 1;
        if rounds >= BUSY_ROUNDS || taken == 0 {
            rounds = 0;
            shard.idle();
        }
        if taken == 0 {
            match orders.waiting {
                Waiting::Spin => std::hint::spin_loop(),
                Waiting::Yield | Waiting::Auto => std::thread::yield_now(),
                Waiting::Park => std::thread::sleep(PARK),
            }
        }
    }
    Ok(shard.finish())
}
