//! What a bad network does to a line, made on purpose and repeatably: loss, duplicates, reordering.
//!
//! Invariant: the same seed and the same datagrams give the same faults; no datagram is held for
//! longer than `HELD_DATAGRAMS_MAX` later ones, and [`Line::drain`] releases what is left.

use serde::Serialize;

use crate::generate::rng::Rng;

/// Most datagrams that overtake one that is held back.
const HELD_DATAGRAMS_MAX: u32 = 4;

/// How often a datagram meets which fault.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Probability that a datagram is not sent.
    pub drop: f64,
    /// Probability that a datagram is sent twice.
    pub duplicate: f64,
    /// Probability that a datagram is overtaken by later ones.
    pub reorder: f64,
    /// Seed of the first line; the others follow from it.
    pub seed: u64,
}

/// What happened to a line's datagrams.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FaultCounts {
    /// Not sent.
    pub dropped: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Sent after later ones.
    pub reordered: u64,
}

/// One line's faults.
pub(crate) struct Line {
    rng: Rng,
    faults: Faults,
    held: Vec<Held>,
    pub(crate) counts: FaultCounts,
}

struct Held {
    datagrams_left: u32,
    messages: u32,
    bytes: Vec<u8>,
}

impl Line {
    pub(crate) fn new(faults: Faults, line: u64) -> Self {
        let rng = Rng::new(faults.seed.wrapping_add(line.wrapping_mul(0x9e37_79b9)));
        Self { rng, faults, held: Vec::new(), counts: FaultCounts::default() }
    }

    fn happens(&mut self, probability: f64) -> bool {
        let unit = (self.rng.bits() >> 11) as f64 / (1u64 << 53) as f64;
        unit < probability
    }

    /// Calls `send` for every datagram that goes out now.
    pub(crate) fn datagram(
        &mut self,
        bytes: &[u8],
        messages: u32,
        mut send: impl FnMut(&[u8], u32),
    ) {
        if self.faults == (Faults { seed: self.faults.seed, ..Faults::default() }) {
            send(bytes, messages);
            return;
        }
        let dropped = self.happens(self.faults.drop);
        let duplicated = self.happens(self.faults.duplicate);
        let reordered = self.happens(self.faults.reorder);
        if dropped {
            self.counts.dropped += 1;
        } else if reordered {
            self.counts.reordered += 1;
            let datagrams_left = self.rng.between(1, HELD_DATAGRAMS_MAX);
            self.held.push(Held { datagrams_left, messages, bytes: bytes.to_vec() });
            return;
        } else {
            send(bytes, messages);
            if duplicated {
                self.counts.duplicated += 1;
                send(bytes, messages);
            }
        }
        self.held.retain_mut(|held| {
            held.datagrams_left -= 1;
            if held.datagrams_left == 0 {
                send(&held.bytes, held.messages);
            }
            held.datagrams_left > 0
        });
    }

    /// Releases what is held.
    pub(crate) fn drain(&mut self, mut send: impl FnMut(&[u8], u32)) {
        for held in self.held.drain(..) {
            send(&held.bytes, held.messages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(faults: Faults, line: u64) -> (Vec<u8>, FaultCounts) {
        let mut sent = Vec::new();
        let mut line = Line::new(faults, line);
        for i in 0..200u8 {
            line.datagram(&[i], 1, |bytes, _| sent.push(bytes[0]));
        }
        line.drain(|bytes, _| sent.push(bytes[0]));
        (sent, line.counts)
    }

    #[test]
    fn without_faults_all_pass_in_order() {
        let (sent, counts) = play(Faults::default(), 0);
        assert!(sent.iter().copied().eq(0..200));
        assert_eq!(counts, FaultCounts::default());
    }

    #[test]
    fn faults_add_up_and_repeat() {
        let faults = Faults { drop: 0.1, duplicate: 0.1, reorder: 0.1, seed: 5 };
        let (sent, counts) = play(faults, 0);
        assert!(counts.dropped > 5 && counts.duplicated > 5 && counts.reordered > 5);
        assert_eq!(sent.len() as u64, 200 - counts.dropped + counts.duplicated);
        assert!(!sent.is_sorted());
        assert_eq!(play(faults, 0), (sent.clone(), counts));
        assert_ne!(play(faults, 1).0, sent, "another line has other faults");
    }
}
