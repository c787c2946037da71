//! The whole path of a message, up to a stage: what `corelane-bench replay` times.
//!
//! Invariant: every run begins with a fresh shard and a fresh journal.

use corelane::shard::Shard;
use tempfile::TempDir;

use super::Work;
use crate::session::Session;
use crate::stages::{Fold, Framing, Stage, Swallow, end_packet, feed, shard};

/// Messages of a run.
pub(super) const MESSAGES: usize = 20_000;

struct Path {
    session: Session,
    stage: Stage,
    /// The shard, and the folder below which it writes its journal.
    open: Option<(Shard<Swallow>, TempDir)>,
}

pub(super) fn work(stage: Stage) -> Box<dyn Work> {
    let session = Session::generate(MESSAGES as u64).expect("enough messages");
    Box::new(Path { session, stage, open: None })
}

impl Work for Path {
    fn reset(&mut self) {
        if self.stage == Stage::Decode {
            return;
        }
        self.open = None;
        let dir = tempfile::tempdir_in("/dev/shm").expect("a memory file system");
        self.open = Some((shard(self.stage, dir.path()).expect("a journal"), dir));
    }

    fn run(&mut self) -> u64 {
        let Some((shard, _)) = &mut self.open else {
            let mut fold = Fold::default();
            feed(&self.session, Framing::Mold, &mut fold, |_, _| {});
            return fold.0;
        };
        feed(&self.session, Framing::Mold, shard, end_packet);
        shard.counters().records + (shard.counters().actions << 32)
    }
}
