//! Messages by type and length, as the wire had them.
//!
//! Invariant: looks at every message of the sequence once, known type or not.

use std::collections::BTreeMap;

use corelane_feeds::feed::Protocol;

/// The most lengths that are told apart for one type.
const LENGTHS_MAX: usize = 16;
/// Bytes of the first message that are kept.
const FIRST_BYTES_MAX: usize = 256;

#[derive(Clone, Debug, Default)]
struct Kind {
    count: u64,
    /// (length, messages).
    lengths: Vec<(usize, u64)>,
}

/// What was counted of a feed's messages.
#[derive(Clone, Debug)]
pub(super) struct Messages {
    /// Where in a message its time lies.
    time_at: usize,
    protocol: Protocol,
    kinds: Vec<Kind>,
    pub(super) first: Vec<u8>,
    pub(super) ts_first: Option<u64>,
    pub(super) ts_last: u64,
    pub(super) ts_backwards: u64,
}

impl Messages {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            time_at: if protocol == Protocol::Itch50 { 5 } else { 2 },
            protocol,
            kinds: vec![Kind::default(); 256],
            first: Vec::new(),
            ts_first: None,
            ts_last: 0,
            ts_backwards: 0,
        }
    }

    /// Counts a message.
    #[inline]
    pub(super) fn message(&mut self, bytes: &[u8]) {
        let Some(&kind) = bytes.first() else { return };
        let kind = &mut self.kinds[usize::from(kind)];
        kind.count += 1;
        match kind.lengths.iter().position(|(length, _)| *length == bytes.len()) {
            Some(at) => kind.lengths[at].1 += 1,
            None if kind.lengths.len() < LENGTHS_MAX => kind.lengths.push((bytes.len(), 1)),
            None => {}
        }
        if self.first.is_empty() {
            self.first.extend_from_slice(&bytes[..bytes.len().min(FIRST_BYTES_MAX)]);
        }
        if let Some(ns) = self.time(bytes) {
            self.ts_first.get_or_insert(ns);
            self.ts_backwards += u64::from(ns < self.ts_last);
            self.ts_last = ns;
        }
    }

    /// Nanoseconds since midnight (ITCH, 48 bits) or since the epoch (IEX).
    #[inline]
    fn time(&self, bytes: &[u8]) -> Option<u64> {
        let bytes = bytes.get(self.time_at..)?;
        if self.protocol == Protocol::Itch50 {
            let [a, b, c, d, e, f] = *bytes.first_chunk()?;
            return Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
        }
        Some(u64::from_le_bytes(*bytes.first_chunk()?))
    }

    /// Messages by type.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        self.seen().map(|(kind, seen)| (kind_name(kind), seen.count)).collect()
    }

    /// Messages by type and length.
    pub(super) fn lengths(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let lengths = |kind: &Kind| {
            kind.lengths.iter().map(|(length, count)| (length.to_string(), *count)).collect()
        };
        self.seen().map(|(kind, seen)| (kind_name(kind), lengths(seen))).collect()
    }

    fn seen(&self) -> impl Iterator<Item = (u8, &Kind)> {
        (0..=255).zip(&self.kinds).filter(|(_, kind)| kind.count > 0)
    }
}

/// A message type as text: venues use printable ASCII, a damaged message may have anything.
pub(super) fn kind_name(kind: u8) -> String {
    if kind.is_ascii_graphic() { char::from(kind).to_string() } else { format!("0x{kind:02x}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_lengths_and_times() {
        let mut messages = Messages::new(Protocol::Itch50);
        for ns in [5, 9, 7] {
            messages.message(&[b'S', 0, 0, 0, 0, 0, 0, 0, 0, 0, ns, b'O']);
        }
        messages.message(&[7, 1]);
        messages.message(b"");
        let counts: Vec<_> = messages.counts().into_iter().collect();
        assert_eq!(counts, [("0x07".into(), 1), ("S".into(), 3)]);
        assert_eq!(messages.lengths()["S"]["12"], 3);
        assert_eq!((messages.ts_first, messages.ts_last, messages.ts_backwards), (Some(5), 7, 1));
        for length in 2..200 {
            messages.message(&vec![b'?'; length]);
        }
        assert_eq!((messages.lengths()["?"].len(), messages.counts()["?"]), (LENGTHS_MAX, 198));
    }
}
