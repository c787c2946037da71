//! Keys: what tells the rows of a rule apart, as words.
//!
//! Invariant: two rows have the same words if and only if they have the same key; NULL is a key of
//! its own, texts are without the blanks that fill them.

use super::program::{Machine, Program, WordColumn};
use super::types::{Text, Type, Value};

/// Words that a value takes in a key.
pub(super) const fn words(ty: Type) -> usize {
    match ty {
        Type::Text(n) => (n as usize).div_ceil(8),
        _ => 1,
    }
}

/// The parts of a key.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyProgram {
    parts: Vec<(Program, Type)>,
    /// The same, if each part is a column that is a word of the key as it stands.
    words: Option<Box<[WordColumn]>>,
}

impl KeyProgram {
    /// A key of these parts.
    pub(super) fn new(parts: Vec<(Program, Type)>) -> Self {
        let is_one = |ty: Type| words(ty) == 1;
        let columns = parts.iter().map(|(part, ty)| part.as_word().filter(|_| is_one(*ty)));
        let words = columns.collect();
        Self { parts, words }
    }

    /// The types of its parts.
    pub(super) fn types(&self) -> impl Iterator<Item = Type> {
        self.parts.iter().map(|(_, ty)| *ty)
    }

    /// How many parts it has.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Words of a key: those of its parts, and one that says which parts are NULL.
    pub(super) fn words(&self) -> usize {
        self.parts.iter().map(|(_, ty)| words(*ty)).sum::<usize>() + 1
    }

    /// The parts of a key whose words are at hand, as values of a row that holds these words.
    pub(super) fn values(&self, key: &[u64], out: &mut [Value]) {
        let nulls = key.last().copied().unwrap_or(0);
        let mut at = 0;
        for (i, ((_, ty), out)) in self.parts.iter().zip(out).enumerate() {
            let bits = match ty {
                Type::Text(len) => Text { space: 0, len: *len, offset: 8 * at as u32 }.to_bits(),
                _ => key.get(at).copied().unwrap_or(0),
            };
            *out =
                if nulls >> (i % 64) & 1 == 0 { Value { bits, known: true } } else { Value::NULL };
            at += words(*ty);
        }
    }

    /// Fills the words of a row's key; there are [`KeyProgram::words`] of them.
    #[inline]
    pub(super) fn fill(&self, machine: &mut Machine, row: &[u8], key: &mut [u64]) {
        if self.fill_words(row, key) {
            return;
        }
        let _ = self.fill_by(key, |program, ty, place| {
            let value = program.run(machine, row, &[]);
            put_words(program, value, ty, (row, machine.made()), place);
            Some(value.known)
        });
    }

    /// The same, before the row's turn and without a machine: only if all parts are columns.
    #[inline]
    pub(super) fn peek(&self, row: &[u8], key: &mut [u64]) -> Option<()> {
        if self.fill_words(row, key) {
            return Some(());
        }
        self.fill_by(key, |program, ty, place| {
            let value = program.column(row)?.unwrap_or(Value::NULL);
            put_words(program, value, ty, (row, &[]), place);
            Some(value.known)
        })
    }

    /// The short way, if there is one for this row.
    #[inline]
    fn fill_words(&self, row: &[u8], key: &mut [u64]) -> bool {
        let (Some(columns), Some((nulls, key))) = (&self.words, key.split_last_mut()) else {
            return false;
        };
        *nulls = 0;
        for (i, (column, place)) in (0..).zip(columns.iter().zip(key)) {
            let Some(value) = column.read(row) else { return false };
            *place = value.bits;
            *nulls |= u64::from(!value.known) << (i % 64);
        }
        true
    }

    /// Fills the words of every part by `put`, which says whether its value is known.
    #[inline]
    fn fill_by(
        &self,
        key: &mut [u64],
        mut put: impl FnMut(&Program, Type, &mut [u64]) -> Option<bool>,
    ) -> Option<()> {
        let (mut at, mut nulls) = (0, 0);
        for (i, (program, ty)) in self.parts.iter().enumerate() {
            let place = &mut key[at..at + words(*ty)];
            at += place.len();
            nulls |= u64::from(!put(program, *ty, place)?) << (i % 64);
        }
        key[at] = nulls;
        Some(())
    }
}

/// A value as words, of a row and what the machine made of it: texts without their padding, NULL as
/// zeros.
#[inline]
pub(super) fn put_words(
    program: &Program,
    value: Value,
    ty: Type,
    (row, made): (&[u8], &[u8]),
    place: &mut [u64],
) {
    place.fill(0);
    match (ty, place) {
        _ if !value.known => {}
        (Type::Text(_), place) => {
            let text = program.text(value, row, made);
            for (word, bytes) in place.iter_mut().zip(text.chunks(8)) {
                let mut whole = [0; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                *word = u64::from_le_bytes(whole);
            }
        }
        (_, [word, ..]) => *word = value.bits,
        (_, []) => {}
    }
}
