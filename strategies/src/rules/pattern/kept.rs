//! Partial matches, told to people.
//!
//! Invariant: nothing here runs while a run decides.

use super::arena::{NO_VAR, NONE};
use super::engine::Patterns;

/// One way in which a partial match may still match, or already does.
pub(in crate::rules) struct OpenRun<'a> {
    /// It matches, and is told if no better one does.
    pub(in crate::rules) is_found: bool,
    /// Variable and words of the rows that it has bound, the earliest first.
    pub(in crate::rules) rows: Vec<(u8, &'a [u64])>,
}

/// Takes a partial match: its key, the row of that key at which it begins, its ways.
pub(in crate::rules) type EachAttempt<'a> = dyn FnMut(&[u64], u64, Vec<OpenRun<'_>>) + 'a;

impl Patterns {
    /// Every partial match, in the order in which they began; rows are counted from 0.
    pub(in crate::rules) fn each_attempt(&self, each: &mut EachAttempt<'_>) {
        let mut live: Vec<_> = self.runs.attempts.iter().filter(|a| a.number != 0).collect();
        live.sort_by_key(|attempt| attempt.number);
        for attempt in live {
            let mut runs = Vec::new();
            let mut at = attempt.threads;
            while let Some(thread) = self.runs.threads.get(at as usize) {
                runs.push(OpenRun { is_found: false, rows: self.bound(thread.link) });
                at = thread.next;
            }
            if attempt.is_found {
                runs.push(OpenRun { is_found: true, rows: self.bound(attempt.found) });
            }
            each(self.keys.words(attempt.key), attempt.seq, runs);
        }
    }

    /// The rows of a chain that are part of the match.
    fn bound(&self, mut link: u32) -> Vec<(u8, &[u64])> {
        let mut rows = Vec::new();
        while link != NONE
            && let Some(bound) = self.arena.links.get(link as usize)
            && bound.var != NO_VAR
        {
            rows.push((bound.var, self.arena.words(bound.row)));
            link = bound.parent;
        }
        rows.reverse();
        rows
    }
}
