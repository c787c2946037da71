//! State per instrument of every feed, as plain bytes: one flat table per feed, taken when the
//! feed's first session begins and kept for the next ones.
//!
//! Tables come zeroed from the system, so an instrument that is never seen costs address space and
//! no memory. Saving copies the bytes of the instruments that were seen, so a restored table is the
//! saved one bit by bit.
//!
//! Invariant: an all-zero value is the state of an instrument that was never seen, and state of one
//! instrument is never read for another, so any number of shards decides the same.
//!
//! ```
//! use corelane_strategies::keyed::PerInstrument;
//! let mut counts = PerInstrument::<u64>::default();
//! counts.begin(0);
//! *counts.get(0, 7).unwrap() += 1;
//! assert!(counts.get(1, 7).is_none(), "feed 1 has not begun");
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::memory::Memory;
use crate::state::StateReader;
use crate::strategy::StateError;

/// Instruments that a feed can name.
const INSTRUMENTS: usize = u16::MAX as usize + 1;

struct Table<T> {
    states: Vec<T>,
    /// One more than the highest instrument seen.
    seen: usize,
}

/// A `T` for every instrument of every feed.
pub struct PerInstrument<T> {
    feeds: Vec<Option<Table<T>>>,
}

impl<T> Default for PerInstrument<T> {
    fn default() -> Self {
        Self { feeds: Vec::new() }
    }
}

impl<T: FromBytes + IntoBytes + Immutable> PerInstrument<T> {
    /// A session of `feed` begins: every instrument of it is as never seen.
    ///
    /// # Panics
    /// If the system has no memory left.
    #[cold]
    pub fn begin(&mut self, feed: u8) {
        let feed = usize::from(feed);
        if self.feeds.len() <= feed {
            self.feeds.resize_with(feed + 1, || None);
        }
        if let Some(table) = &mut self.feeds[feed] {
            // Kept, so that a session which begins on a hot thread does not touch the heap.
            table.states[..table.seen].as_mut_bytes().fill(0);
            table.seen = 0;
            return;
        }
        let states = T::new_vec_zeroed(INSTRUMENTS).expect("memory for a table of instruments");
        self.feeds[feed] = Some(Table { states, seen: 0 });
    }

    /// The state of an instrument; `None` if no session of the feed has begun.
    #[inline]
    pub fn get(&mut self, feed: u8, instrument: u16) -> Option<&mut T> {
        let table = self.feeds.get_mut(usize::from(feed))?.as_mut()?;
        let at = usize::from(instrument);
        table.seen = table.seen.max(at + 1);
        table.states.get_mut(at)
    }

    /// Makes the table of a feed, if it has none yet.
    pub fn open(&mut self, feed: u8) {
        if !matches!(self.feeds.get(usize::from(feed)), Some(Some(_))) {
            self.begin(feed);
        }
    }

    /// Takes the memory for a feed that is about to begin, all of it resident; what is known of it
    /// stays.
    pub fn reserve(&mut self, feed: u8, memory: Memory) {
        self.open(feed);
        if let Some(Some(table)) = self.feeds.get(usize::from(feed)) {
            memory.reserve(&table.states);
        }
    }

    /// Every state that differs from never seen, with feed and instrument.
    pub fn each(&self, mut each: impl FnMut(u8, u16, &T)) {
        for (feed, table) in self.feeds.iter().enumerate() {
            let Some(table) = table else { continue };
            for (instrument, state) in table.states[..table.seen].iter().enumerate() {
                if state.as_bytes().iter().any(|&byte| byte != 0) {
                    each(feed as u8, instrument as u16, state);
                }
            }
        }
    }

    /// Appends every state that differs from never seen.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.feeds.len() as u64).to_le_bytes());
        for table in &self.feeds {
            out.push(u8::from(table.is_some()));
            let Some(table) = table else { continue };
            let used: Vec<(usize, &[u8])> = (table.states[..table.seen].iter().enumerate())
                .map(|(i, state)| (i, state.as_bytes()))
                .filter(|(_, bytes)| bytes.iter().any(|&byte| byte != 0))
                .collect();
            out.extend_from_slice(&(used.len() as u64).to_le_bytes());
            for (instrument, bytes) in used {
                out.extend_from_slice(&(instrument as u16).to_le_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }

    /// The tables that [`PerInstrument::save`] wrote.
    ///
    /// # Errors
    /// If the bytes are no such tables.
    pub fn restore(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        let mut restored = Self::default();
        let feeds = state.u64()?;
        for feed in 0..feeds {
            let feed = u8::try_from(feed).map_err(|_| state.damaged())?;
            match state.u8()? {
                0 => restored.feeds.push(None),
                1 => {
                    restored.begin(feed);
                    restored.restore_table(feed, state)?;
                }
                _ => return Err(state.damaged()),
            }
        }
        Ok(restored)
    }

    fn restore_table(&mut self, feed: u8, state: &mut StateReader<'_>) -> Result<(), StateError> {
        for _ in 0..state.u64()? {
            let instrument = state.u16()?;
            let value = T::read_from_bytes(state.bytes(size_of::<T>())?);
            let (Some(place), Ok(value)) = (self.get(feed, instrument), value) else {
                return Err(state.damaged());
            };
            *place = value;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_table_is_the_saved_one() {
        let mut table = PerInstrument::<[u32; 3]>::default();
        table.begin(2);
        *table.get(2, 0).unwrap() = [1, 2, 3];
        *table.get(2, 65_535).unwrap() = [4, 5, 6];
        let mut bytes = Vec::new();
        table.save(&mut bytes);
        let mut reader = StateReader::new(&bytes);
        let mut restored = PerInstrument::<[u32; 3]>::restore(&mut reader).unwrap();
        reader.finish().unwrap();
        assert_eq!(restored.get(2, 65_535), Some(&mut [4, 5, 6]));
        assert_eq!(restored.get(2, 1), Some(&mut [0; 3]));
        assert_eq!(restored.get(0, 1), None);
        for cut in 0..bytes.len() {
            let mut reader = StateReader::new(&bytes[..cut]);
            assert!(PerInstrument::<[u32; 3]>::restore(&mut reader).is_err());
        }
    }

    #[test]
    fn a_session_forgets_the_one_before() {
        let mut table = PerInstrument::<u64>::default();
        table.begin(0);
        *table.get(0, 3).unwrap() = 9;
        table.begin(0);
        assert_eq!(table.get(0, 3), Some(&mut 0));
    }
}
