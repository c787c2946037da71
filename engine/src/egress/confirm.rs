//! How far a sink has got rid of the actions of a shard: kept beside the shard's journal, so that
//! after a crash the rest can be sent again.
//!
//! ```text
//! DIR/shard-000/confirmed-NAME    two slots of 64 bytes, written in turns, and one written once
//!
//! 0       8     16                     24     32      ...    56
//! | count | seq | session, rule, ordinal | feed | bytes | 0 ... | crc32c |
//! | 1     | 0   | 0                      | 0    | bytes | 0 ... | crc32c |   where the sink began
//! ```
//!
//! Invariant: what is noted survives the process. Of the two slots the newer whole one counts, so
//! that a death within a note leaves the one before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use corelane_feeds::units::Seq;
use corelane_strategies::action::ActionId;
use zerocopy::FromBytes;

use crate::sys::fault::{self, FileOp};
use crate::sys::segment_map::SegmentMap;

/// Words of a slot.
const SLOT_WORDS: usize = 8;
const SLOTS: usize = 2;
/// Length of the file: a page.
const FILE_BYTES: usize = 4096;

/// How the names of notes begin.
pub const FILE_PREFIX: &str = "confirmed-";

/// The last action that a sink is rid of: its receiver has it, as far as the sink can know.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Confirmed {
    /// Names the action.
    pub id: ActionId,
    /// A place in what the sink has written before which all is noted: in a file, 0 for others.
    pub bytes: u64,
}

/// Where it is kept for a sink and the folder of a shard.
#[must_use]
pub fn path(shard_dir: &Path, sink: &str) -> PathBuf {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    shard_dir.join(format!("{FILE_PREFIX}{}", sink.chars().map(safe).collect::<String>()))
}

/// The slots of a note as they are: a copy of them is a note, too.
///
/// # Errors
/// If the file cannot be read.
pub fn read_slots(path: &Path) -> io::Result<Vec<u8>> {
    let mut slots = fs::read(path)?;
    slots.truncate((SLOTS + 1) * SLOT_WORDS * 8);
    Ok(slots)
}

/// Where the sink began to write, in whose note no action may be yet: all before that is noted, or
/// none of ours. `None` if there is no such note.
///
/// # Errors
/// If the file cannot be read.
pub fn began(path: &Path) -> io::Result<Option<u64>> {
    let Some(slots) = whole_slots(path)? else { return Ok(None) };
    Ok(slots.get(SLOTS).copied().flatten().map(|(_, began)| began.bytes))
}

/// What an earlier run noted. The outer `None` if it had no such sink.
///
/// # Errors
/// If the file cannot be read.
pub fn read(path: &Path) -> io::Result<Option<Option<Confirmed>>> {
    let Some(slots) = whole_slots(path)? else { return Ok(None) };
    let newest = slots.into_iter().take(SLOTS).flatten().max_by_key(|(count, _)| *count);
    Ok(Some(newest.map(|(_, confirmed)| confirmed)))
}

/// What a slot says, if it is whole: its count, and the note.
type Slot = Option<(u64, Confirmed)>;

/// Every slot; `None` if there is no file.
fn whole_slots(path: &Path) -> io::Result<Option<Vec<Slot>>> {
    let bytes = match read_slots(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let slots = bytes.chunks_exact(SLOT_WORDS * 8);
    let words = |slot| <[u64; SLOT_WORDS]>::read_from_bytes(slot).ok();
    Ok(Some(slots.map(|slot| from_words(&words(slot)?)).collect()))
}

fn checksum(words: &[u64; SLOT_WORDS]) -> u64 {
    u64::from(crate::sys::crc::Crc32c::detect().words(0, &words[..SLOT_WORDS - 1]))
}

fn from_words(words: &[u64; SLOT_WORDS]) -> Slot {
    let [count, seq, cause, feed, bytes, .., crc] = *words;
    if count == 0 || crc != checksum(words) {
        return None;
    }
    let id = ActionId {
        feed: feed as u8,
        session: cause as u32,
        seq: Seq(seq),
        rule: (cause >> 32) as u16,
        ordinal: (cause >> 48) as u16,
    };
    Some((count, Confirmed { id, bytes }))
}

/// The note of one sink and shard.
pub struct Confirmations {
    map: SegmentMap,
    count: u64,
}

impl Confirmations {
    /// Makes the note anew, with what is known from before, of a sink that begins at byte `began`
    /// of what it writes.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(path: &Path, known: Option<Confirmed>, began: u64) -> io::Result<Self> {
        let new = path.with_file_name("confirmed.new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut confirmations = Self { map: SegmentMap::create(&new, FILE_BYTES)?, count: 0 };
        let mut words = [1, 0, 0, 0, began, 0, 0, 0];
        words[SLOT_WORDS - 1] = checksum(&words);
        confirmations.map.put(SLOTS * SLOT_WORDS * 8, &words);
        if let Some(known) = known {
            confirmations.note(&known);
        }
        fault::before(FileOp::Rename, path)?;
        fs::rename(&new, path)?;
        Ok(confirmations)
    }

    /// Notes the last action that the sink is rid of. No system call.
    #[inline]
    pub fn note(&mut self, confirmed: &Confirmed) {
        let Confirmed { id, bytes } = *confirmed;
        self.count += 1;
        let cause = u64::from(id.session) | u64::from(id.rule) << 32 | u64::from(id.ordinal) << 48;
        let mut words = [self.count, id.seq.0, cause, u64::from(id.feed), bytes, 0, 0, 0];
        words[SLOT_WORDS - 1] = checksum(&words);
        let slot = (self.count as usize % SLOTS) * SLOT_WORDS * 8;
        self.map.put(slot, &words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_note_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path(), "to the/desk");
        assert!(path.ends_with("confirmed-to_the_desk"));
        assert_eq!(read(&path).unwrap(), None);
        assert_eq!(began(&path).unwrap(), None);
        let mut confirmations = Confirmations::create(&path, None, 77).unwrap();
        assert_eq!(read(&path).unwrap(), Some(None));
        assert_eq!(began(&path).unwrap(), Some(77));
        let note = |n: u64| Confirmed {
            id: ActionId { feed: 3, session: 0x9000_0001, seq: Seq(n), rule: 7, ordinal: 65_535 },
            bytes: n * 10,
        };
        for n in 1..=9 {
            confirmations.note(&note(n));
            assert_eq!(read(&path).unwrap(), Some(Some(note(n))));
        }
        drop(confirmations);
        let mut bytes = fs::read(&path).unwrap();
        bytes[64 + 9] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path).unwrap(), Some(Some(note(8))), "the newest is torn");
        Confirmations::create(&path, Some(note(8)), 77).unwrap();
        assert_eq!(read(&path).unwrap(), Some(Some(note(8))));
    }
}
