//! Decoding, one ITCH message type at a time.
//!
//! Invariant: messages have the length of their type and differ from each other in every number.

use corelane_feeds::itch50::{Itch50, wire};
use corelane_feeds::record::Stamp;
use corelane_feeds::units::{Nanos, Seq};

use super::Work;
use crate::stages::Fold;

/// Messages of a run.
pub(super) const MESSAGES: usize = 10_000;
/// Bytes of any message before what is its own: type, locate, tracking number, time.
const HEAD_BYTES: usize = 11;

struct Decode {
    messages: Vec<u8>,
    length: usize,
}

pub(super) fn decode(kind: u8) -> Box<dyn Work> {
    let length = wire::length_of(kind).expect("a type of ITCH 5.0");
    let mut messages = vec![b' '; MESSAGES * length];
    for (i, message) in messages.chunks_exact_mut(length).enumerate() {
        message[0] = kind;
        message[1..3].copy_from_slice(&(i as u16).to_be_bytes());
        message[5..HEAD_BYTES].copy_from_slice(&(i as u64 * 1_000).to_be_bytes()[2..]);
        let own = &mut message[HEAD_BYTES..];
        let number = (i as u64).to_be_bytes();
        let shared = own.len().min(number.len());
        own[..shared].copy_from_slice(&number[8 - shared..]);
    }
    Box::new(Decode { messages, length })
}

impl Work for Decode {
    fn run(&mut self) -> u64 {
        let (mut fold, mut decoder) = (Fold::default(), Itch50::new(Nanos(0)));
        for (message, seq) in self.messages.chunks_exact(self.length).zip(1..) {
            decoder.message(message, Stamp { seq: Seq(seq), ..Stamp::default() }, &mut fold);
        }
        fold.0
    }
}
