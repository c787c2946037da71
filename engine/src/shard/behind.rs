//! Feeds that go on before the place that a shard has come to, because another shard is behind:
//! what comes again is passed over.
//!
//! Invariant: no record is taken twice, and none of a message that the shard has not got is passed
//! over.

use corelane_feeds::record::Record;
use corelane_feeds::streams::sys;

/// The high byte of streams that the transports and the engine make: they are never passed over.
const SYS_FAMILY: u16 = 0;

/// What a shard has of a feed that goes on before that.
#[derive(Copy, Clone, Default, Debug)]
pub struct Has {
    /// The first message that it has not got; 0 once the feed has come there.
    pub next: u64,
    /// It has the end of the session.
    pub end: bool,
}

/// By number of the feed, what comes again.
#[derive(Debug)]
pub struct Behind {
    feeds: Box<[Has]>,
}

impl Behind {
    /// Of feeds by number; none if nothing comes again.
    #[must_use]
    pub fn new(feeds: Vec<Has>) -> Option<Self> {
        feeds.iter().any(|has| has.next > 0 || has.end).then(|| Self { feeds: feeds.into() })
    }

    /// Whether a record comes again.
    pub(super) fn has(&mut self, record: &Record) -> bool {
        let header = &record.header;
        let Some(has) = self.feeds.get_mut(usize::from(header.feed)) else { return false };
        if header.stream == sys::Session::STREAM {
            *has = Has::default();
        }
        if header.stream == sys::EndOfSession::STREAM {
            return std::mem::take(&mut has.end);
        }
        if has.next == 0 || header.stream.0 >> 8 == SYS_FAMILY {
            return false;
        }
        if header.seq.0 < has.next {
            return true;
        }
        has.next = 0;
        false
    }
}
