//! What the headers of packets say, line by line, before any arbitration: packets that go back,
//! stream offsets that do not go on, times of sending.
//!
//! Invariant: a packet is judged by the packets of its own line alone.

use corelane_feeds::feed::Transport;
use corelane_feeds::units::Nanos;
use corelane_feeds::{iextp, moldudp64};

/// The most protocols by header that are told apart in one feed.
const PROTOCOLS_MAX: usize = 64;

/// A packet's header.
#[derive(Copy, Clone, Debug)]
pub(super) struct Head {
    /// The session on the wire, whatever the transport takes for it.
    pub(super) session: u128,
    pub(super) seq: u64,
    pub(super) count: u64,
    pub(super) iex: Option<IexHead>,
}

/// What only IEX-TP has.
#[derive(Copy, Clone, Debug)]
pub(super) struct IexHead {
    protocol: (u8, u16, u32),
    offset: i64,
    payload_bytes: u16,
    send_ns: u64,
}

impl Head {
    pub(super) fn is_iex_market_data(&self) -> bool {
        let known = [iextp::PROTOCOL_DEEP, iextp::PROTOCOL_TOPS];
        self.iex.is_some_and(|iex| known.contains(&iex.protocol.1))
    }

    /// IEX-TP protocol and channel.
    pub(super) fn channel_key(&self) -> u64 {
        self.iex.map_or(0, |iex| u64::from(iex.protocol.1) << 32 | u64::from(iex.protocol.2))
    }
}

/// The header of a datagram; `None` if it has none.
#[inline]
pub(super) fn head(transport: Transport, payload: &[u8]) -> Option<Head> {
    if transport == Transport::IexTp {
        let iextp::Segment { header, seq, .. } = iextp::Segment::parse(payload).ok()?;
        let (channel, session) = (header.channel.get(), header.session.get());
        let iex = IexHead {
            protocol: (header.version, header.protocol.get(), channel),
            offset: header.stream_offset.get(),
            payload_bytes: header.payload_bytes.get(),
            send_ns: header.send_time.get(),
        };
        let session = u128::from(channel) << 32 | u128::from(session);
        return Some(Head { session, seq, count: header.count.get().into(), iex: Some(iex) });
    }
    let packet = moldudp64::Packet::parse(payload).ok()?;
    let session = packet.session.iter().fold(0, |word, byte| word << 8 | u128::from(*byte));
    Some(Head { session, seq: packet.seq, count: packet.count.into(), iex: None })
}

#[derive(Copy, Clone, Debug)]
struct Line {
    session: u128,
    next: u64,
    next_offset: i64,
}

/// The lines of a feed.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    lines: Vec<Option<Line>>,
    /// Packets by version, protocol and channel of IEX-TP.
    pub(super) protocols: Vec<((u8, u16, u32), u64)>,
    pub(super) messages_in_packet_max: u64,
    pub(super) below_expected: u64,
    pub(super) offset_breaks: u64,
    pub(super) send_first: Option<Nanos>,
    pub(super) send_last: Nanos,
}

impl Lines {
    /// Makes room for so many lines.
    pub(super) fn open(&mut self, count: usize) {
        self.lines.resize(count, None);
    }

    /// Notes a packet; `restarts` if a session began with it.
    #[inline]
    pub(super) fn packet(&mut self, line: u8, head: &Head, restarts: bool) {
        self.messages_in_packet_max = self.messages_in_packet_max.max(head.count);
        let line = &mut self.lines[usize::from(line)];
        let end = head.seq.saturating_add(head.count);
        let mut next = end;
        if let Some(line) = line.filter(|line| line.session == head.session && !restarts) {
            self.below_expected += u64::from(head.seq < line.next);
            let goes_on = head.iex.is_none_or(|iex| iex.offset == line.next_offset);
            self.offset_breaks += u64::from(!goes_on);
            next = line.next.max(end);
        }
        let next_offset =
            head.iex.map_or(0, |iex| iex.offset.saturating_add(i64::from(iex.payload_bytes)));
        *line = Some(Line { session: head.session, next, next_offset });
        if let Some(iex) = &head.iex {
            self.send_first.get_or_insert(Nanos(iex.send_ns));
            self.send_last = Nanos(iex.send_ns);
            self.count_protocol(iex.protocol);
        }
    }

    fn count_protocol(&mut self, protocol: (u8, u16, u32)) {
        let known = self.protocols.iter().position(|(known, _)| *known == protocol);
        match known {
            Some(at) => self.protocols[at].1 += 1,
            None if self.protocols.len() < PROTOCOLS_MAX => self.protocols.push((protocol, 1)),
            None => {}
        }
    }
}
