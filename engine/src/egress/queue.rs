//! What a sink has not got rid of yet: a bounded ring of frames (encoded actions).
//!
//! ```text
//!   kept                │ pending
//!   frame frame frame   │ frame  frame ... frame
//!   sent, may be resent │ ^written
//! ```
//!
//! Invariants: all memory is taken at the start. A frame is pushed whole or refused. Sent frames
//! are kept only as long as nobody needs their place.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

/// The shortest frame there is: a header and the cause of an action.
pub(super) const FRAME_BYTES_MIN: usize = 40;

/// A bounded first-in-first-out queue of frames.
#[derive(Debug)]
pub(super) struct FrameQueue {
    bytes: Box<[u8]>,
    /// Lengths of all frames in the ring, kept ones first.
    frames: VecDeque<u32>,
    /// Where the oldest kept byte stands.
    start: usize,
    kept_frames: usize,
    kept_bytes: usize,
    pending_bytes: usize,
    /// Bytes of the first pending frame that are written already.
    written: usize,
    pending_max: usize,
    keep_max: usize,
    /// Sent frames are kept until they are released, and count as waiting.
    keeps_all: bool,
}

impl FrameQueue {
    /// A queue of at most `pending_max` bytes that wait, which keeps up to `keep_max` bytes of
    /// frames that were sent, so that they can be sent again.
    pub(super) fn new(pending_max: usize, keep_max: usize) -> Self {
        let capacity = pending_max + keep_max;
        Self {
            // A queue that keeps frames goes round the whole ring: writing anything but zeros to it
            // now spares the hot thread the page faults. One that keeps none starts over whenever
            // it is empty, and so never touches more than it needs.
            bytes: vec![u8::from(keep_max > 0); capacity].into_boxed_slice(),
            frames: VecDeque::with_capacity(capacity / FRAME_BYTES_MIN + 1),
            start: 0,
            kept_frames: 0,
            kept_bytes: 0,
            pending_bytes: 0,
            written: 0,
            pending_max,
            keep_max,
            keeps_all: false,
        }
    }

    /// A queue of at most `bytes_max` bytes, in which a frame stays until it is released.
    pub(super) fn until_released(bytes_max: usize) -> Self {
        Self { keep_max: bytes_max, keeps_all: true, ..Self::new(bytes_max, 0) }
    }

    /// The oldest `frames` frames, which were sent, are needed no more.
    pub(super) fn release(&mut self, frames: usize) {
        for _ in 0..frames.min(self.kept_frames) {
            self.forget_oldest();
        }
        if self.frames.is_empty() {
            self.start = 0;
        }
    }

    /// Frames that were sent and are kept.
    pub(super) fn kept_frames(&self) -> usize {
        self.kept_frames
    }

    /// Bytes of the first pending frame that are written already.
    pub(super) fn partial_bytes(&self) -> usize {
        self.written
    }

    /// Appends a frame; false, and nothing is changed, if it would be more than may wait.
    pub(super) fn push(&mut self, frame: &[u8]) -> bool {
        if frame.is_empty() || self.pending_bytes + frame.len() > self.pending_max {
            return false;
        }
        if self.keeps_all && self.kept_bytes + self.pending_bytes + frame.len() > self.pending_max {
            return false;
        }
        while self.kept_bytes + self.pending_bytes + frame.len() > self.bytes.len() {
            self.forget_oldest();
        }
        let end = (self.start + self.kept_bytes + self.pending_bytes) % self.bytes.len();
        let first = frame.len().min(self.bytes.len() - end);
        self.bytes[end..end + first].copy_from_slice(&frame[..first]);
        self.bytes[..frame.len() - first].copy_from_slice(&frame[first..]);
        self.frames.push_back(frame.len() as u32);
        self.pending_bytes += frame.len();
        true
    }

    /// Frames that wait, the one that is partly written included.
    pub(super) fn pending_frames(&self) -> usize {
        self.frames.len() - self.kept_frames
    }

    /// Bytes that wait.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending_bytes - self.written
    }

    /// Whether it is at most half full.
    pub(super) fn is_calm(&self) -> bool {
        let kept = if self.keeps_all { self.kept_bytes } else { 0 };
        self.pending_bytes + kept <= self.pending_max / 2
    }

    /// All bytes that wait, in two pieces where they run over the end of the ring.
    pub(super) fn pending(&self) -> (&[u8], &[u8]) {
        self.slices(self.kept_bytes + self.written, self.pending_bytes())
    }

    /// The first frame that waits, in two pieces where it runs over the end of the ring.
    pub(super) fn first(&self) -> Option<(&[u8], &[u8])> {
        let bytes = *self.frames.get(self.kept_frames)? as usize;
        Some(self.slices(self.kept_bytes, bytes))
    }

    /// `bytes` more bytes were written; returns how many frames that completed.
    pub(super) fn advance(&mut self, bytes: usize) -> usize {
        assert!(bytes <= self.pending_bytes(), "no more written than waited");
        self.written += bytes;
        let mut completed = 0;
        while let Some(&frame) = self.frames.get(self.kept_frames) {
            let frame = frame as usize;
            if self.written < frame {
                break;
            }
            self.written -= frame;
            self.pending_bytes -= frame;
            self.kept_bytes += frame;
            self.kept_frames += 1;
            completed += 1;
        }
        while self.kept_bytes > self.keep_max {
            self.forget_oldest();
        }
        if self.frames.is_empty() {
            self.start = 0;
        }
        completed
    }

    /// Everything still kept waits once more, from the start of its oldest frame; returns how many
    /// frames that adds. They may wait even where new ones would be refused.
    pub(super) fn rewind(&mut self) -> usize {
        let again = self.kept_frames;
        self.pending_bytes += self.kept_bytes;
        (self.kept_frames, self.kept_bytes, self.written) = (0, 0, 0);
        again
    }

    /// Forgets everything that waits; returns how many frames that were.
    pub(super) fn clear(&mut self) -> usize {
        let dropped = self.pending_frames();
        self.frames.clear();
        (self.start, self.kept_frames, self.kept_bytes) = (0, 0, 0);
        (self.pending_bytes, self.written) = (0, 0);
        dropped
    }

    fn forget_oldest(&mut self) {
        assert!(self.kept_frames > 0, "what waits fits");
        let bytes = self.frames.pop_front().map_or(0, |bytes| bytes as usize);
        self.start = (self.start + bytes) % self.bytes.len();
        self.kept_bytes -= bytes;
        self.kept_frames -= 1;
    }

    fn slices(&self, offset: usize, len: usize) -> (&[u8], &[u8]) {
        if len == 0 {
            return (&[], &[]);
        }
        let start = (self.start + offset) % self.bytes.len();
        let first = len.min(self.bytes.len() - start);
        (&self.bytes[start..start + first], &self.bytes[..len - first])
    }
}

/// Writes what one call takes of two pieces of bytes; the second is mostly empty.
pub(super) fn write_pieces(to: &mut impl Write, first: &[u8], second: &[u8]) -> io::Result<usize> {
    if second.is_empty() {
        to.write(first)
    } else {
        to.write_vectored(&[IoSlice::new(first), IoSlice::new(second)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined((a, b): (&[u8], &[u8])) -> Vec<u8> {
        [a, b].concat()
    }

    #[test]
    fn refuses_what_is_too_much_and_takes_it_after_room_was_made() {
        let mut queue = FrameQueue::new(10, 0);
        assert!(queue.push(b"123456") && !queue.push(b"12345") && queue.push(b"7890"));
        assert_eq!(queue.advance(7), 1);
        assert_eq!((queue.pending_bytes(), queue.pending_frames()), (3, 1));
        assert!(queue.push(b"abcdef"));
        assert_eq!(joined(queue.pending()), b"890abcdef");
        assert_eq!(joined(queue.first().unwrap()), b"7890");
        assert_eq!(queue.rewind(), 0);
        assert_eq!(joined(queue.pending()), b"7890abcdef", "a torn frame is sent from its start");
        assert_eq!(queue.clear(), 2);
        assert!(queue.push(b"0123456789") && !queue.push(b""));
    }

    #[test]
    fn keeps_what_was_sent_last() {
        let mut queue = FrameQueue::new(8, 8);
        for frame in [b"aaaa", b"bbbb", b"cccc", b"dddd"] {
            assert!(queue.push(frame));
            assert_eq!(queue.advance(4), 1);
        }
        assert_eq!(queue.rewind(), 2);
        assert_eq!(joined(queue.pending()), b"ccccdddd");
        assert!(!queue.push(b"e"), "resent frames count as waiting");
    }

    #[test]
    fn keeps_all_until_it_is_released() {
        let mut queue = FrameQueue::until_released(12);
        assert!(queue.push(b"aaaa") && queue.push(b"bbbb"));
        assert_eq!(queue.advance(6), 1);
        assert!(queue.push(b"cccc") && !queue.push(b"d"), "what was sent still takes room");
        assert_eq!(queue.rewind(), 1);
        assert_eq!(joined(queue.pending()), b"aaaabbbbcccc");
        queue.advance(12);
        queue.release(2);
        assert!(queue.push(b"dddd") && queue.push(b"eeee") && !queue.push(b"f"));
        assert_eq!(joined(queue.pending()), b"ddddeeee");
        queue.release(9);
        assert_eq!((queue.kept_frames(), queue.pending_frames()), (0, 2));
    }

    proptest! {
        /// Against the obvious model: frames in vectors.
        #[test]
        fn behaves_as_two_lists(steps in prop::collection::vec((0u8..4, 1usize..20), 1..300)) {
            let mut queue = FrameQueue::new(50, 30);
            let (mut kept, mut waiting): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (vec![], vec![]);
            let mut written = 0;
            for (n, (step, size)) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => {
                        let frame = vec![n as u8; size];
                        let bytes: usize = waiting.iter().map(Vec::len).sum();
                        prop_assert_eq!(queue.push(&frame), bytes + size <= 50);
                        if bytes + size <= 50 {
                            waiting.push(frame);
                        }
                    }
                    2 => {
                        let size = size.min(queue.pending_bytes());
                        written += size;
                        let mut completed = 0;
                        while waiting.first().is_some_and(|frame| frame.len() <= written) {
                            written -= waiting[0].len();
                            kept.push(waiting.remove(0));
                            completed += 1;
                        }
                        prop_assert_eq!(queue.advance(size), completed);
                    }
                    _ if size > 17 => {
                        prop_assert_eq!(queue.rewind(), kept.len());
                        kept.append(&mut waiting);
                        waiting = std::mem::take(&mut kept);
                        written = 0;
                    }
                    _ => {}
                }
                let total = |kept: &[Vec<u8>]| kept.iter().map(Vec::len).sum::<usize>();
                while total(&kept) > 30 {
                    kept.remove(0);
                }
                while total(&kept) + total(&waiting) > 80 {
                    kept.remove(0);
                }
                let model = waiting.concat()[written..].to_vec();
                prop_assert_eq!(joined(queue.pending()), model);
                prop_assert_eq!(queue.pending_frames(), waiting.len());
            }
        }
    }
}
