//! Writes ITCH 5.0 messages [Nasdaq TotalView-ITCH 5.0 specification] and counts what was written.
//!
//! Invariant: times never go backwards, and the counts are those of the bytes handed to the sink.

use super::market::{BID, Instrument};

/// Longest ITCH 5.0 message (`I`).
const MESSAGE_BYTES_MAX: usize = 50;
/// The participants that attributed orders name.
const PARTICIPANTS: [[u8; 4]; 6] = [*b"ALFA", *b"BRVO", *b"CHAR", *b"DLTA", *b"ECHO", *b"FOXT"];

/// Takes messages in order.
pub trait MessageSink {
    /// One message and its time, nanoseconds since midnight. Errors are kept for later: see the
    /// sink's own `finish`.
    fn message(&mut self, ns: u64, bytes: &[u8]);
}

/// Appends `u16` big-endian length and message: the venue's file format.
impl MessageSink for Vec<u8> {
    fn message(&mut self, _ns: u64, bytes: &[u8]) {
        self.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        self.extend_from_slice(bytes);
    }
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Messages.
    pub messages: u64,
    /// Messages by type, at the type's own byte.
    pub by_type: [u64; 256],
    /// Shares of displayed orders executed by `E` and `C`.
    pub executed_shares: u64,
    /// The same times the price, at 1e-4.
    pub executed_notional_e4: u64,
    /// Shares of `P` trades.
    pub noncross_trade_shares: u64,
    /// Shares of `Q` crosses.
    pub cross_shares: u64,
    /// Time of the first message, nanoseconds since midnight.
    pub first_ns: u64,
    /// Time of the last message.
    pub last_ns: u64,
}

/// A message in the making: fields appended in wire order.
struct Message {
    bytes: [u8; MESSAGE_BYTES_MAX],
    len: usize,
}

impl Message {
    #[inline(always)]
    fn put<const N: usize>(mut self, field: [u8; N]) -> Self {
        self.bytes[self.len..self.len + N].copy_from_slice(&field);
        self.len += N;
        self
    }

    #[inline(always)]
    fn u32(self, value: u32) -> Self {
        self.put(value.to_be_bytes())
    }

    #[inline(always)]
    fn u64(self, value: u64) -> Self {
        self.put(value.to_be_bytes())
    }
}

/// Encodes messages at the current time.
pub(crate) struct Emitter<S> {
    sink: S,
    now_ns: u64,
    pub(crate) counts: Counts,
}

impl<S: MessageSink> Emitter<S> {
    pub(crate) fn new(sink: S, start_ns: u64) -> Self {
        let counts = Counts {
            messages: 0,
            by_type: [0; 256],
            executed_shares: 0,
            executed_notional_e4: 0,
            noncross_trade_shares: 0,
            cross_shares: 0,
            first_ns: start_ns,
            last_ns: start_ns,
        };
        Self { sink, now_ns: start_ns, counts }
    }

    /// The sink and the counts.
    pub(crate) fn into_parts(self) -> (S, Counts) {
        (self.sink, self.counts)
    }

    /// The time of the next message, nanoseconds since midnight.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Moves the time forward; a time in the past leaves it.
    #[inline]
    pub(crate) fn set_now(&mut self, ns: u64) {
        self.now_ns = self.now_ns.max(ns);
    }

    #[inline(always)]
    fn begin(&self, kind: u8, locate: u16) -> Message {
        let ns = self.now_ns.to_be_bytes();
        Message { bytes: [0; MESSAGE_BYTES_MAX], len: 0 }
            .put([kind])
            .put(locate.to_be_bytes())
            .put([0, 0])
            .put([ns[2], ns[3], ns[4], ns[5], ns[6], ns[7]])
    }

    #[inline(always)]
    fn end(&mut self, message: &Message) {
        self.counts.messages += 1;
        self.counts.by_type[usize::from(message.bytes[0])] += 1;
        self.counts.last_ns = self.now_ns;
        self.sink.message(self.now_ns, &message.bytes[..message.len]);
    }

    pub(crate) fn system_event(&mut self, event: u8) {
        self.end(&self.begin(b'S', 0).put([event]));
    }

    pub(crate) fn directory(&mut self, i: &Instrument) {
        let market = *b"QGSNPZ".get(usize::from(i.locate % 6)).unwrap_or(&b'Q');
        let message = self.begin(b'R', i.locate).put(i.symbol).put([market, b'N']).u32(100);
        let message = message.put(*b"NC").put(*b"Z ").put(*b"PNN1N").u32(0).put(*b"N");
        self.end(&message);
    }

    pub(crate) fn trading_action(&mut self, i: &Instrument, state: u8, reason: [u8; 4]) {
        self.end(&self.begin(b'H', i.locate).put(i.symbol).put([state, b' ']).put(reason));
    }

    pub(crate) fn reg_sho(&mut self, i: &Instrument) {
        self.end(&self.begin(b'Y', i.locate).put(i.symbol).put(*b"0"));
    }

    pub(crate) fn participant(&mut self, i: &Instrument, which: usize) {
        let mpid = PARTICIPANTS[which % PARTICIPANTS.len()];
        self.end(&self.begin(b'L', i.locate).put(mpid).put(i.symbol).put(*b"YNA"));
    }

    /// Market-wide circuit breaker levels, at 1e-8.
    pub(crate) fn breaker_levels(&mut self, levels: [u64; 3]) {
        self.end(&self.begin(b'V', 0).u64(levels[0]).u64(levels[1]).u64(levels[2]));
    }

    /// A new listing's quotation release.
    pub(crate) fn ipo_quotation(&mut self, i: &Instrument, seconds: u32) {
        let message = self.begin(b'K', i.locate).put(i.symbol).u32(seconds).put(*b"A");
        self.end(&message.u32(i.middle()));
    }

    /// The price collar of an auction after a volatility pause.
    pub(crate) fn auction_collar(&mut self, i: &Instrument) {
        let middle = i.middle();
        let message = self.begin(b'J', i.locate).put(i.symbol).u32(middle);
        self.end(&message.u32(middle + middle / 20).u32(middle - middle / 20).u32(0));
    }

    pub(crate) fn operational_halt(&mut self, i: &Instrument, action: u8) {
        self.end(&self.begin(b'h', i.locate).put(i.symbol).put([b'Q', action]));
    }

    /// A direct listing's price discovery range.
    pub(crate) fn direct_listing(&mut self, i: &Instrument) {
        let middle = i.middle();
        let message = self.begin(b'O', i.locate).put(i.symbol).put(*b"Y");
        let message = message.u32(middle / 2).u32(middle * 2).u32(middle).u64(self.now_ns);
        self.end(&message.u32(middle - middle / 10).u32(middle + middle / 10));
    }

    #[inline]
    pub(crate) fn add(
        &mut self,
        i: &Instrument,
        reference: u64,
        side: usize,
        qty: u32,
        price: u32,
        attributed: bool,
    ) {
        let kind = if attributed { b'F' } else { b'A' };
        let letter = if side == BID { b'B' } else { b'S' };
        let message = self.begin(kind, i.locate).u64(reference).put([letter]);
        let message = message.u32(qty).put(i.symbol).u32(price);
        if attributed {
            let which = reference as usize % PARTICIPANTS.len();
            self.end(&message.put(PARTICIPANTS[which]));
        } else {
            self.end(&message);
        }
    }

    /// `price` is the order's: the message itself does not carry it.
    #[inline]
    pub(crate) fn execute(
        &mut self,
        i: &Instrument,
        reference: u64,
        qty: u32,
        id: u64,
        price: u32,
    ) {
        self.counts.executed_shares += u64::from(qty);
        self.counts.executed_notional_e4 += u64::from(qty) * u64::from(price);
        self.end(&self.begin(b'E', i.locate).u64(reference).u32(qty).u64(id));
    }

    pub(crate) fn execute_price(
        &mut self,
        i: &Instrument,
        reference: u64,
        qty: u32,
        id: u64,
        price: u32,
    ) {
        self.counts.executed_shares += u64::from(qty);
        self.counts.executed_notional_e4 += u64::from(qty) * u64::from(price);
        let message = self.begin(b'C', i.locate).u64(reference).u32(qty).u64(id);
        self.end(&message.put(*b"Y").u32(price));
    }

    #[inline]
    pub(crate) fn cancel(&mut self, i: &Instrument, reference: u64, qty: u32) {
        self.end(&self.begin(b'X', i.locate).u64(reference).u32(qty));
    }

    #[inline]
    pub(crate) fn delete(&mut self, i: &Instrument, reference: u64) {
        self.end(&self.begin(b'D', i.locate).u64(reference));
    }

    #[inline]
    pub(crate) fn replace(&mut self, i: &Instrument, old: u64, new: u64, qty: u32, price: u32) {
        self.end(&self.begin(b'U', i.locate).u64(old).u64(new).u32(qty).u32(price));
    }

    pub(crate) fn trade(&mut self, i: &Instrument, qty: u32, price: u32, id: u64) {
        self.counts.noncross_trade_shares += u64::from(qty);
        let message = self.begin(b'P', i.locate).u64(0).put(*b"B").u32(qty);
        self.end(&message.put(i.symbol).u32(price).u64(id));
    }

    pub(crate) fn cross(&mut self, i: &Instrument, qty: u64, price: u32, id: u64, kind: u8) {
        self.counts.cross_shares += qty;
        let message = self.begin(b'Q', i.locate).u64(qty).put(i.symbol);
        self.end(&message.u32(price).u64(id).put([kind]));
    }

    pub(crate) fn broken_trade(&mut self, i: &Instrument, id: u64) {
        self.end(&self.begin(b'B', i.locate).u64(id));
    }

    pub(crate) fn imbalance(
        &mut self,
        i: &Instrument,
        paired: u64,
        missing: u64,
        direction: u8,
        price: u32,
        kind: u8,
    ) {
        let message = self.begin(b'I', i.locate).u64(paired).u64(missing).put([direction]);
        let message = message.put(i.symbol).u32(price).u32(price).u32(price);
        self.end(&message.put([kind, b'L']));
    }

    pub(crate) fn retail_interest(&mut self, i: &Instrument, side: u8) {
        self.end(&self.begin(b'N', i.locate).put(i.symbol).put([side]));
    }
}
