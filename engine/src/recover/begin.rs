//! What a shard's recovery begins from: the newest snapshot that fits, or the journal's beginning.
//!
//! ```text
//! newest snapshot ── whole? this journal's? this configuration's? this program's? ──> begins there
//!       │ no
//! one before, ... ── the same ──────────────────────────────────────────────────────> begins there
//!       │ none
//! the journal's first entry, if it is there
//! ```
//!
//! Invariant: nothing is written, and what lies before the beginning is not read.

use std::path::Path;

use super::ShardFolders;
use super::case::{From, Newest, Written};
use crate::journal::{self, JournalError, JournalReader, Tail};
use crate::snapshot::{Replica, ReplicaStart, Snapshot, Unfit};

/// See the [module](self).
pub(super) struct Beginning {
    /// The shard there; none if what decided is not known.
    pub(super) replica: Option<Replica>,
    pub(super) snapshot: Option<Snapshot>,
    /// The journal from there on; none if there is none.
    pub(super) entries: Option<Box<JournalReader>>,
    pub(super) newest: Newest,
    pub(super) from: From,
    /// What cannot be read from there, as far as it is known by now.
    pub(super) written: Written,
    /// What a message adds.
    pub(super) detail: Option<String>,
}

/// Looks for the beginning of a shard in its folders; `start` is what decided, if that is known.
pub(super) fn find(
    folders: &ShardFolders,
    start: Option<&ReplicaStart<'_>>,
) -> anyhow::Result<Beginning> {
    let snapshots = folders.all_snapshots()?;
    let mut beginning = Beginning {
        replica: None,
        snapshot: None,
        entries: None,
        newest: Newest::None,
        from: From::Nowhere,
        written: Written::Open,
        detail: None,
    };
    for (number, (_, path)) in snapshots.iter().enumerate() {
        let tried = try_snapshot(folders, path, start);
        let newest = match &tried {
            Ok(_) => Newest::Fits,
            Err(Tried::Unfit(unfit)) => Newest::of(unfit),
            // It is the journal that is damaged.
            Err(Tried::Journal(_)) => Newest::Fits,
        };
        if number == 0 {
            beginning.newest = newest;
        }
        match tried {
            Ok((snapshot, replica, entries)) => {
                beginning.from = From::Snapshot;
                (beginning.snapshot, beginning.replica) = (Some(snapshot), replica);
                beginning.entries = Some(entries);
                return Ok(beginning);
            }
            Err(Tried::Unfit(unfit)) => {
                let what = format!("{} is {unfit}", path.display());
                beginning.detail.get_or_insert(what);
            }
            Err(Tried::Journal(error)) => {
                beginning.from = From::Snapshot;
                beginning.fail(error)?;
                return Ok(beginning);
            }
        }
    }
    beginning.find_first(folders)?;
    if beginning.from == From::Beginning
        && let Some(start) = start
    {
        beginning.replica = Some(Replica::new(start, None)?);
    }
    Ok(beginning)
}

impl Beginning {
    /// Begins at the journal's first entry, if it is there.
    fn find_first(&mut self, folders: &ShardFolders) -> anyhow::Result<()> {
        self.from = From::Beginning;
        let reader = match folders.open() {
            Err(JournalError::NoJournal(_)) => None,
            Err(error) if error.is_not_found() => None,
            Err(error) => {
                // Of which segment does not matter: the first that is there cannot be read.
                let oldest = folders.oldest_segment()?;
                self.from = if oldest == 0 { From::Beginning } else { From::Nowhere };
                return self.fail(error);
            }
            Ok(reader) => Some(Box::new(reader)),
        };
        let Some(reader) = reader.filter(|reader| reader.segments() > 0) else {
            self.written = Written::Nothing;
            return Ok(());
        };
        if reader.header().is_some_and(|header| header.base_seq > 1) {
            self.from = From::Nowhere;
        }
        self.entries = Some(reader);
        Ok(())
    }

    /// Notes why the journal cannot be read on; an error if that is the system's fault.
    pub(super) fn fail(&mut self, error: JournalError) -> anyhow::Result<()> {
        let Some(written) = Written::of(&error) else { return Err(error.into()) };
        (self.written, self.detail) = (written, Some(error.to_string()));
        Ok(())
    }

    /// Notes how the journal ends, once it was read.
    pub(super) fn end(&mut self) {
        if let Some(entries) = &self.entries {
            self.written = match entries.tail() {
                Some(Tail::Closed) => Written::Closed,
                Some(Tail::Torn { .. }) => Written::Torn,
                Some(Tail::Open) | None => Written::Open,
            };
        }
    }

    /// Reads the journal to its end, deciding nothing.
    pub(super) fn verify(&mut self) -> anyhow::Result<()> {
        let Some(entries) = &mut self.entries else { return Ok(()) };
        loop {
            match entries.read() {
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.end();
                    return Ok(());
                }
                Err(error) => return self.fail(error),
            }
        }
    }
}

/// Why a snapshot is not begun from.
enum Tried {
    Unfit(Unfit),
    /// The place that it names is damaged.
    Journal(JournalError),
}

impl<E: Into<Unfit>> std::convert::From<E> for Tried {
    fn from(unfit: E) -> Self {
        Self::Unfit(unfit.into())
    }
}

type Fits = (Snapshot, Option<Replica>, Box<JournalReader>);

fn try_snapshot(
    folders: &ShardFolders,
    path: &Path,
    start: Option<&ReplicaStart<'_>>,
) -> Result<Fits, Tried> {
    let snapshot = Snapshot::read(path)?;
    let place = snapshot.header.place();
    let entries = match folders.open_behind(&place) {
        Ok(journal::Behind::Entries(entries)) => entries,
        Ok(journal::Behind::Short) => return Err(Unfit::Newer(place.seq).into()),
        Ok(journal::Behind::Gone) => return Err(Unfit::Older(place.seq).into()),
        Ok(journal::Behind::Other) => return Err(Unfit::Journal.into()),
        Err(error) => return Err(Tried::Journal(error)),
    };
    let Some(start) = start else { return Ok((snapshot, None, entries)) };
    let replica = Replica::new(start, Some(&snapshot));
    let mut replica = replica.map_err(|error| Unfit::Rules(format!("{error:#}")))?;
    replica.restore(&snapshot)?;
    Ok((snapshot, Some(replica), entries))
}
