//! Which key has the window that ends first: a binary heap that knows where each key lies in it.
//!
//! Invariant: entries are ordered by end and then by number, and no two have the same number, so
//! what comes first does not depend on the order of changes.

/// A key with its next end.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Entry {
    /// When a window of it ends; never after the true end.
    pub(super) end: i64,
    /// The key's number: keys that came later have greater ones.
    pub(super) number: u64,
    /// The key.
    pub(super) slot: u32,
}

pub(super) struct Heap {
    entries: Vec<Entry>,
    /// By slot, where its entry is.
    places: Vec<u32>,
}

impl Heap {
    pub(super) fn new(slots: usize) -> Self {
        Self { entries: Vec::with_capacity(slots), places: vec![0; slots] }
    }

    pub(super) fn top(&self) -> Option<Entry> {
        self.entries.first().copied()
    }

    pub(super) fn get(&self, slot: u32) -> Entry {
        self.entries[self.places[slot as usize] as usize]
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        self.up(self.entries.len() - 1);
    }

    /// A key has another next end.
    pub(super) fn set(&mut self, slot: u32, end: i64) {
        let at = self.places[slot as usize] as usize;
        let earlier = end < self.entries[at].end;
        self.entries[at].end = end;
        if earlier {
            self.up(at);
        } else {
            self.down(at);
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let at = self.places[slot as usize] as usize;
        self.entries.swap_remove(at);
        if at < self.entries.len() {
            self.up(at);
            self.down(at);
        }
    }

    fn up(&mut self, at: usize) {
        let mut at = at;
        let entry = self.entries[at];
        while at > 0 && entry < self.entries[(at - 1) / 2] {
            self.put(at, self.entries[(at - 1) / 2]);
            at = (at - 1) / 2;
        }
        self.put(at, entry);
    }

    fn down(&mut self, at: usize) {
        let mut at = at;
        let entry = self.entries[at];
        loop {
            let left = 2 * at + 1;
            let children = left..(left + 2).min(self.entries.len());
            let least = children.min_by_key(|child| self.entries[*child]);
            let Some(least) = least.filter(|least| self.entries[*least] < entry) else { break };
            self.put(at, self.entries[least]);
            at = least;
        }
        self.put(at, entry);
    }

    fn put(&mut self, at: usize, entry: Entry) {
        self.entries[at] = entry;
        self.places[entry.slot as usize] = at as u32;
    }

    /// Every entry, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.entries.iter().copied()
    }

    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.places.len() * 4
    }
}
