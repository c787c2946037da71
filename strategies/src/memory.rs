//! What a stage may ask of the machine about its memory: to load a line ahead of its use, to back a
//! table with large pages. Requests without a meaning for the result; the engine carries them out.
//!
//! Invariant: nothing a stage decides depends on it.
//!
//! ```
//! use corelane_strategies::memory::Memory;
//! let table = vec![0u64; 1024];
//! Memory::NONE.reserve(&table);
//! Memory::NONE.load(&table[7]);
//! ```

use std::ptr;

/// The machine's answers to such requests.
#[derive(Copy, Clone)]
pub struct Memory {
    load: fn(*const u8),
    load_all: fn(*const u8, usize),
    reserve: fn(*const u8, usize),
}

impl Memory {
    /// A machine that does nothing of the sort.
    pub const NONE: Self = Self { load: |_| (), load_all: |_, _| (), reserve: |_, _| () };

    /// `load` brings the cache line of an address nearer, `load_all` those of that many bytes from
    /// it, `reserve` makes them resident, in large pages if it can. None may change what is stored
    /// there.
    #[must_use]
    pub const fn new(
        load: fn(*const u8),
        load_all: fn(*const u8, usize),
        reserve: fn(*const u8, usize),
    ) -> Self {
        Self { load, load_all, reserve }
    }

    /// `place` is about to be used: asks for the cache line that it begins in.
    #[inline]
    pub fn load<T>(&self, place: &T) {
        (self.load)(ptr::from_ref(place).cast());
    }

    /// `place` is about to be used, no matter which part of it: asks for all of its cache lines.
    #[inline]
    pub fn load_all<T>(&self, place: &T) {
        (self.load_all)(ptr::from_ref(place).cast(), size_of::<T>());
    }

    /// All of `table` is going to be used, in no order.
    pub fn reserve<T>(&self, table: &[T]) {
        (self.reserve)(table.as_ptr().cast(), size_of_val(table));
    }
}
