//! The messages of a measurement, and how an answer says which one it answers.
//!
//! Orders are added and deleted in turn, so that books stay small. A ping's number is its event
//! time, which an action repeats: [`number_of`] finds it in an answer of either side.
//!
//! Invariant: a ping is one message, in one datagram or one packet of a stream.

use corelane::mold::Packer;
use corelane_feeds::itch50::wire;
use corelane_feeds::record::{Record, StreamId};
use corelane_feeds::soupbintcp::write_packet;
use corelane_feeds::streams::itch::{AddOrder, OrderDelete};
use corelane_feeds::units::Qty32;
use corelane_strategies::action::Order;
use corelane_strategies::outbox::Outbox;
use corelane_strategies::registry::{Factory, Registry};
use corelane_strategies::strategy::{StateError, Strategy};
use zerocopy::IntoBytes;

/// Bytes of the binary `action.order` that is the answer.
pub(super) const ANSWER_BYTES: usize = 64;
/// Where an answer has the event time: in a record's header.
const TS_EVENT: std::ops::Range<usize> = 16..24;
/// Event time of the first ping, nanoseconds since midnight.
const FIRST_NS: u64 = 34_200_000_000_000;
/// Bytes of MoldUDP64 before a datagram's first message.
pub(super) const MOLD_BYTES: usize = 22;
/// Bytes of SoupBinTCP before a message.
pub(super) const SOUP_BYTES: usize = 3;
/// Where a message has its time, in 6 bytes.
const MESSAGE_NS: std::ops::Range<usize> = 5..11;
/// The session's name.
pub(super) const SESSION: [u8; 10] = *b"PING000001";

/// The number of the ping that an answer is for.
pub(super) fn number_of(answer: &[u8]) -> Option<u64> {
    let ns = u64::from_le_bytes(answer.get(TS_EVENT)?.try_into().ok()?);
    ns.checked_sub(FIRST_NS)
}

/// Fills in an answer to a message as the engine would, as far as [`number_of`] looks.
pub(super) fn answer(message: &[u8], answer: &mut [u8; ANSWER_BYTES]) {
    let Some(time) = message.get(MESSAGE_NS) else { return };
    let mut ns = [0; 8];
    ns[2..].copy_from_slice(time);
    answer[TS_EVENT].copy_from_slice(&u64::from_be_bytes(ns).to_le_bytes());
}

/// Makes the messages, group by group.
pub(super) struct Pings {
    packers: Vec<Packer>,
    sent: Vec<u64>,
    packet: Vec<u8>,
}

impl Pings {
    pub(super) fn new(groups: usize) -> Self {
        let packer = |_| Packer::new(SESSION, 1_400, 0);
        let packers = (0..groups).map(packer).collect();
        Self { packers, sent: vec![0; groups], packet: Vec::with_capacity(128) }
    }

    /// The next message of a group, numbered, given to `each`.
    fn message<R>(&mut self, group: usize, number: u64, each: impl FnOnce(&[u8]) -> R) -> R {
        let sent = self.sent[group];
        self.sent[group] += 1;
        let order_ref = (sent / 2 + 1).into();
        let ns = FIRST_NS + number;
        if sent.is_multiple_of(2) {
            let head = wire::Head::new(b'A', 7, ns);
            let (side, shares, stock, price) = (b'B', 100.into(), *b"PING    ", 1_000_000.into());
            each(wire::AddOrder { head, order_ref, side, shares, stock, price }.as_bytes())
        } else {
            each(wire::OrderDelete { head: wire::Head::new(b'D', 7, ns), order_ref }.as_bytes())
        }
    }

    /// The next datagram of a group.
    pub(super) fn datagram(&mut self, group: usize, number: u64) -> &[u8] {
        let mut packet = std::mem::take(&mut self.packet);
        packet.clear();
        self.message(group, number, |message| packet.extend_from_slice(message));
        self.packers[group].push(&packet);
        self.packet = packet;
        self.packers[group].flush().map_or(&[], |datagram| datagram.bytes)
    }

    /// Appends the next packet of the stream.
    pub(super) fn stream(&mut self, number: u64, out: &mut Vec<u8>) {
        self.message(0, number, |message| write_packet(out, b'S', message));
    }
}

/// Orders for every order that is added or deleted; stalls once, if it is told to.
struct Echo {
    /// Records until the stall; 0 if there is none, or none any more.
    stall_after: u64,
    stall_ns: u64,
}

impl Strategy for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn streams(&self) -> &[StreamId] {
        &[AddOrder::STREAM, OrderDelete::STREAM]
    }

    fn actions_max(&self) -> usize {
        1
    }

    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        if self.stall_after > 0 {
            self.stall_after -= 1;
            if self.stall_after == 0 {
                std::thread::sleep(std::time::Duration::from_nanos(self.stall_ns));
            }
        }
        let mut order = Order::new(record.header.stamp(), b'B');
        order.qty = Qty32(100);
        outbox.act(order);
    }

    fn save(&self, _out: &mut Vec<u8>) {}

    fn restore(&mut self, _bytes: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
}

/// A registry that has the strategy `echo` alone.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.add(Factory {
        name: "echo",
        doc: "An order for every order.",
        params: STALL,
        build: |params| {
            let stall_after = params.int("stall_after", 0)?;
            let stall_ns = params.duration_ns("stall", 0)?;
            Ok(Box::new(Echo { stall_after, stall_ns }))
        },
    });
    registry
}

use corelane_strategies::registry::ParamDoc;

/// How a stall is asked for, which shows whether a measurement sees it.
const STALL: &[ParamDoc] = &[
    ParamDoc { name: "stall_after", default: "0", doc: "Stall at this record; 0 never." },
    ParamDoc { name: "stall", default: "0ns", doc: "For how long." },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_known_by_its_answer() {
        let mut pings = Pings::new(2);
        let mut reply = [0; ANSWER_BYTES];
        for number in [0, 1, 77_000] {
            let datagram = pings.datagram(1, number);
            answer(&datagram[MOLD_BYTES..], &mut reply);
            assert_eq!(number_of(&reply), Some(number));
            let mut packet = Vec::new();
            pings.stream(number, &mut packet);
            answer(&packet[SOUP_BYTES..], &mut reply);
            assert_eq!(number_of(&reply), Some(number));
        }
        assert_eq!(number_of(&reply[..20]), None);
        assert_eq!(number_of(&[0; ANSWER_BYTES]), None);
    }
}
