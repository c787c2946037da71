//! Feeds that go on before the place that a shard has come to, because another shard is behind: what
//! comes again is passed over.
//!
//! Invariant: no record is taken twice, and none of a message that the shard has not got is passed
//! over.

use corelane_feeds::record::Record;
use corelane_feeds::streams::sys;

/// The high byte of streams that the transports and the engine make: they are never passed over.
const SYS_FAMILY: u16 = 0;

/// By feed, the first message that the shard has not got; 0 once the feed has come there.
#[derive(Debug)]
pub struct Behind {
    next: Box<[u64]>,
}

impl Behind {
    /// Feeds by number, each with the first message that the shard has not got; none if no feed
    /// goes on before that.
    #[must_use]
    pub fn new(next: Vec<u64>) -> Option<Self> {
        next.iter().any(|next| *next > 0).then(|| Self { next: next.into() })
    }

    /// Whether a record comes again.
    pub(super) fn has(&mut self, record: &Record) -> bool {
        let header = &record.header;
        let Some(next) = self.next.get_mut(usize::from(header.feed)) else { return false };
        if header.stream == sys::Session::STREAM {
            *next = 0;
        }
        if *next == 0 || header.stream.0 >> 8 == SYS_FAMILY {
            return false;
        }
        if header.seq.0 < *next {
            return true;
        }
        *next = 0;
        false
    }
}
