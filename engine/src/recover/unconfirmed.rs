//! Actions that a sink may not be rid of: found in the journal by what the sinks noted, and sent
//! again under the same ids.
//!
//! ```text
//! actions of a shard   a b c d e f g h          in the journal, oldest first
//! sink one noted           ^ c                  gets d e f g h again
//! sink two noted               ^ e              gets f g h again
//!                          c d e f g h          what comes again, each sink passing over its own
//! ```
//!
//! Invariant: an action comes again to every sink that has not noted it or a later one. A note that
//! the journal does not bear out counts as none: rather twice under one id than never.

use std::io;

use anyhow::Context;
use corelane_feeds::record::{FLAG_SHADOW, Record, RecordBuf};
use corelane_strategies::action::ActionId;

use super::ShardFolders;
use crate::egress::Past;
use crate::egress::confirm::{self, Confirmed};
use crate::journal::{Behind, Kind, Place};

/// What the sinks of a shard noted, as far as it was met in the journal.
pub(super) struct Notes {
    sinks: Vec<Note>,
    origin: Origin,
    /// Actions met.
    actions: u64,
    last: Option<ActionId>,
}

struct Note {
    sink: String,
    confirmed: Option<Confirmed>,
    /// Where the sink began to write.
    began: Option<u64>,
    /// The earlier run had no such sink: what happened then is none of its business.
    is_new: bool,
    /// How many actions were met before the confirmed one.
    before: Option<u64>,
}

/// Where the first action that counts is.
#[derive(Default)]
struct Origin {
    /// Behind this place; otherwise at the journal's beginning.
    place: Option<Place>,
    /// The last action before that place.
    action: Option<RecordBuf>,
}

/// What is sent again.
#[derive(Default)]
pub struct Unconfirmed {
    /// What sinks make of it.
    pub past: Past,
    origin: Origin,
    /// Actions of the journal that come before.
    skipped: u64,
}

impl Notes {
    /// Reads what sinks noted in the folders of a shard.
    pub(super) fn read(folders: &ShardFolders, sinks: &[String]) -> anyhow::Result<Self> {
        let note = |sink: &String| {
            let path = folders.note(sink);
            let (noted, began) = (confirm::read(&path)?, confirm::began(&path)?);
            let (confirmed, is_new) = (noted.flatten(), noted.is_none());
            Ok(Note { sink: sink.to_owned(), confirmed, began, is_new, before: None })
        };
        let sinks = sinks.iter().map(note).collect::<io::Result<_>>();
        let sinks =
            sinks.with_context(|| format!("notes of sinks in {}", folders.hot.display()))?;
        Ok(Self { sinks, origin: Origin::default(), actions: 0, last: None })
    }

    /// What lies up to a place is not read; `last` is the last action of it that left.
    pub(super) fn begin_behind(&mut self, place: Place, last: Option<&Record>) {
        self.origin = Origin { place: Some(place), action: last.map(Record::to_buf) };
        if let Some(last) = last {
            self.pass(last);
        }
    }

    /// Whether what every sink noted was met.
    pub(super) fn are_met(&self) -> bool {
        self.sinks.iter().all(|note| note.is_new || note.before.is_some())
    }

    /// An action of the journal, in order.
    pub(super) fn pass(&mut self, action: &Record) {
        let Some(id) = sent_id(action) else { return };
        for note in &mut self.sinks {
            if note.confirmed.is_some_and(|confirmed| confirmed.id == id) {
                note.before = Some(self.actions);
            }
        }
        self.actions += 1;
        self.last = Some(id);
    }

    /// The journal is over.
    pub(super) fn finish(self) -> Unconfirmed {
        let Some(last) = self.last else {
            // A file may have some all the same: the journal lost them with the power.
            let began = self.sinks.into_iter().filter_map(|note| Some((note.sink, note.began?)));
            let past = Past { began: began.collect(), ..Past::default() };
            return Unconfirmed { past, ..Unconfirmed::default() };
        };
        let (origin, past) = (self.origin, Past::default());
        let mut unconfirmed = Unconfirmed { past, origin, skipped: self.actions - 1 };
        let mut is_due = false;
        for note in self.sinks {
            let (confirmed, before) = match (note.confirmed, note.before) {
                // Its file may have had another owner until now.
                _ if note.is_new => (Confirmed { id: last, bytes: u64::MAX }, self.actions - 1),
                (Some(confirmed), Some(before)) => (confirmed, before),
                // Before it confirmed any, or if the journal lost what it confirmed, all that it
                // wrote is behind where it began.
                _ => {
                    (unconfirmed.skipped, is_due) = (0, true);
                    let began = note.began.map(|began| (note.sink, began));
                    unconfirmed.past.began.extend(began);
                    continue;
                }
            };
            is_due |= confirmed.id != last;
            unconfirmed.skipped = unconfirmed.skipped.min(before);
            unconfirmed.past.confirmed.insert(note.sink, confirmed);
        }
        unconfirmed.past.again = if is_due { self.actions - unconfirmed.skipped } else { 0 };
        unconfirmed
    }
}

impl Unconfirmed {
    /// Gives every action that comes again to `send`, out of the journal of a shard.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn send_again(
        &self,
        folders: &ShardFolders,
        mut send: impl FnMut(&Record),
    ) -> anyhow::Result<()> {
        let dir = folders.hot.as_path();
        if self.past.again == 0 {
            return Ok(());
        }
        let mut left = self.past.again;
        let mut skipped = 0;
        let mut send = |action: &Record| {
            if skipped < self.skipped {
                skipped += 1;
            } else if left > 0 {
                left -= 1;
                send(action);
            }
            left > 0
        };
        if let Some(action) = self.origin.action.as_ref().and_then(RecordBuf::record) {
            send(action);
        }
        let mut entries = match &self.origin.place {
            None => Box::new(folders.open()?),
            Some(place) => match folders.open_behind(place)? {
                Behind::Entries(entries) => entries,
                _ => anyhow::bail!("journal {} is not what it was", dir.display()),
            },
        };
        let context = || format!("journal {}", dir.display());
        while let Some(entry) = entries.read().with_context(context)? {
            let is_sent = entry.kind == Kind::Action && sent_id(entry.record).is_some();
            if is_sent && !send(entry.record) {
                break;
            }
        }
        Ok(())
    }
}

/// The id of an action that leaves; none of one that was decided in shadow.
fn sent_id(action: &Record) -> Option<ActionId> {
    if action.header.flags & FLAG_SHADOW != 0 { None } else { ActionId::of(action) }
}

#[cfg(test)]
mod tests {
    use corelane_feeds::record::{Stamp, View};
    use corelane_feeds::units::Seq;
    use corelane_strategies::action::Order;

    use super::*;
    use crate::egress::confirm::Confirmations;

    /// The note of a sink, or that it has none yet.
    enum Then {
        New,
        Nothing,
        Upto(u64),
    }

    fn action(seq: u64) -> Order {
        Order::new(Stamp { seq: Seq(seq), ..Stamp::default() }, b'B')
    }

    fn found(then: &[Then], actions: u64) -> (u64, u64, Vec<Option<u64>>) {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..then.len()).map(|n| format!("sink{n}")).collect();
        for (name, then) in names.iter().zip(then) {
            let known = match then {
                Then::New => continue,
                Then::Nothing => None,
                Then::Upto(seq) => {
                    let id = ActionId::of(action(*seq).as_record()).unwrap();
                    Some(Confirmed { id, bytes: 0 })
                }
            };
            Confirmations::create(&confirm::path(dir.path(), name), known, 0).unwrap();
        }
        let folders = ShardFolders { hot: dir.path().to_owned(), durable: None };
        let mut notes = Notes::read(&folders, &names).unwrap();
        (1..=actions).for_each(|seq| notes.pass(action(seq).as_record()));
        let found = notes.finish();
        let known = names.iter().map(|name| Some(found.past.confirmed.get(name)?.id.seq.0));
        (found.skipped, found.past.again, known.collect())
    }

    #[test]
    fn what_the_slowest_sink_has_not_comes_again() {
        use Then::{New, Nothing, Upto};
        assert_eq!(found(&[Upto(3), Upto(5)], 8), (2, 6, vec![Some(3), Some(5)]));
        assert_eq!(found(&[Upto(8), Upto(8)], 8).1, 0);
        assert_eq!(found(&[Upto(8), New], 8), (7, 0, vec![Some(8), Some(8)]));
        assert_eq!(found(&[Nothing, Upto(8)], 8), (0, 8, vec![None, Some(8)]));
        assert_eq!(found(&[Upto(9)], 8), (0, 8, vec![None]), "not in the journal");
        assert_eq!(found(&[Nothing, New], 0), (0, 0, vec![None, None]));
        assert_eq!(found(&[], 8).1, 0);
    }

    /// A file is then read from there on, and gets nothing twice.
    #[test]
    fn a_note_of_what_the_journal_lost_still_says_where_its_sink_began() {
        let dir = tempfile::tempdir().unwrap();
        let known = Confirmed { id: ActionId::of(action(9).as_record()).unwrap(), bytes: 990 };
        Confirmations::create(&confirm::path(dir.path(), "file"), Some(known), 77).unwrap();
        let folders = ShardFolders { hot: dir.path().to_owned(), durable: None };
        for left in [0, 8] {
            let mut notes = Notes::read(&folders, &["file".to_owned()]).unwrap();
            (1..=left).for_each(|seq| notes.pass(action(seq).as_record()));
            let past = notes.finish().past;
            assert_eq!((past.confirmed.len(), past.began.get("file")), (0, Some(&77)));
        }
    }
}
