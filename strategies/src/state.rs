//! Reads back what a stage saved.
//!
//! Invariant: bytes that are no saved state are an error with their offset, never a panic.

use crate::strategy::StateError;

/// Appends words to a state, little-endian.
pub(crate) fn put_words(out: &mut Vec<u8>, words: impl IntoIterator<Item = u64>) {
    words.into_iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
}

/// A cursor over a saved state, little-endian.
#[derive(Clone, Debug)]
pub struct StateReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> StateReader<'a> {
    /// A reader from the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let array = rest.first_chunk::<N>().ok_or(StateError::Truncated { offset: self.at })?;
        self.at += N;
        Ok(*array)
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], StateError> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.get(..count));
        let bytes = bytes.ok_or(StateError::Truncated { offset: self.at })?;
        self.at += count;
        Ok(bytes)
    }

    /// The next byte.
    ///
    /// # Errors
    /// If there is none.
    pub fn u8(&mut self) -> Result<u8, StateError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next two bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn u16(&mut self) -> Result<u16, StateError> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn u32(&mut self) -> Result<u32, StateError> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn u64(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next words, each of which can be counted on from.
    ///
    /// # Errors
    /// If there are fewer.
    pub(crate) fn words<const N: usize>(&mut self) -> Result<[u64; N], StateError> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.u64()?.min(u64::MAX >> 1);
        }
        Ok(words)
    }

    /// The error for a value, just read, that no saved state has.
    #[must_use]
    pub fn damaged(&self) -> StateError {
        StateError::Damaged { offset: self.at }
    }

    /// Says that everything was read.
    ///
    /// # Errors
    /// If bytes are left.
    pub fn finish(&self) -> Result<(), StateError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.damaged()) }
    }
}
