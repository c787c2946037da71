//! Rows that partial matches hold, and the chains that say which row is which variable.
//!
//! ```text
//! thread 1 ──> C ──> B ──┐
//! thread 2 ──> B ────────┴──> B ──> A ──> (rows before the match, for PREV)
//!              │
//!              └──> row
//! ```
//!
//! A link names its row, its variable and the link before it. Links and rows are counted
//! references in two slabs.
//!
//! Invariant: `depth` grows by one along a chain; a link is free exactly when nothing refers to it.

/// No link, row or place.
pub(super) const NONE: u32 = u32::MAX;
/// The variable of a row that is not part of the match.
pub(super) const NO_VAR: u8 = u8::MAX;

#[derive(Copy, Clone, Debug)]
pub(super) struct Link {
    /// The link before it; of a free link the next free one.
    pub(super) parent: u32,
    pub(super) row: u32,
    pub(super) refs: u32,
    /// Links before it.
    pub(super) depth: u32,
    /// The first link of the chain that has a variable.
    pub(super) head: u32,
    pub(super) var: u8,
    pub(super) excluded: bool,
    /// The match that ends here is reported: one more than the token it was reported with, or 0.
    pub(super) told: u32,
}

#[derive(Copy, Clone, Debug)]
pub(super) struct Row {
    pub(super) ts: u64,
    /// Its number among the rows of its key, from 0.
    pub(super) seq: u64,
    /// Of a free row, the next free one.
    pub(super) refs: u32,
    pub(super) used: bool,
}

#[derive(Debug)]
pub(super) struct Arena {
    row_words: usize,
    pub(super) rows: Vec<Row>,
    words: Vec<u64>,
    pub(super) links: Vec<Link>,
    rows_max: usize,
    links_max: usize,
    free_row: u32,
    free_link: u32,
    rows_live: usize,
    links_live: usize,
}

impl Arena {
    pub(super) fn new(row_words: usize, rows_max: usize, links_max: usize) -> Self {
        Self {
            row_words,
            rows: Vec::with_capacity(rows_max),
            words: Vec::with_capacity(rows_max * row_words),
            links: Vec::with_capacity(links_max),
            rows_max,
            links_max,
            free_row: NONE,
            free_link: NONE,
            rows_live: 0,
            links_live: 0,
        }
    }

    pub(super) fn bytes_max(row_words: usize, rows_max: usize, links_max: usize) -> usize {
        rows_max * (size_of::<Row>() + row_words * size_of::<u64>()) + links_max * size_of::<Link>()
    }

    pub(super) fn has_room(&self, rows: usize, links: usize) -> bool {
        self.rows_live + rows <= self.rows_max && self.links_live + links <= self.links_max
    }

    pub(super) fn words(&self, row: u32) -> &[u64] {
        let at = row as usize * self.row_words;
        &self.words[at..at + self.row_words]
    }

    /// Copies a row, missing words as 0; the caller holds it once.
    pub(super) fn add_row(&mut self, ts: u64, seq: u64, words: &[u64]) -> u32 {
        self.rows_live += 1;
        let row = Row { ts, seq, refs: 1, used: true };
        let at = if self.free_row == NONE {
            self.rows.push(row);
            self.words.resize(self.rows.len() * self.row_words, 0);
            self.rows.len() - 1
        } else {
            let at = self.free_row as usize;
            self.free_row = self.rows[at].refs;
            self.rows[at] = row;
            at
        };
        let place = &mut self.words[at * self.row_words..(at + 1) * self.row_words];
        let given = words.len().min(self.row_words);
        place[..given].copy_from_slice(&words[..given]);
        place[given..].fill(0);
        at as u32
    }

    pub(super) fn release_row(&mut self, at: u32) {
        let row = &mut self.rows[at as usize];
        row.refs -= 1;
        if row.refs == 0 {
            (row.refs, row.used) = (self.free_row, false);
            self.free_row = at;
            self.rows_live -= 1;
        }
    }

    /// A link after `parent`; the caller holds it once, it holds its row and parent.
    pub(super) fn add_link(&mut self, parent: u32, row: u32, var: u8, excluded: bool) -> u32 {
        self.links_live += 1;
        self.hold_row(row);
        let at = if self.free_link == NONE { self.links.len() as u32 } else { self.free_link };
        let mut link = Link { parent, row, refs: 1, depth: 0, head: NONE, var, excluded, told: 0 };
        if let Some(before) = self.links.get_mut(parent as usize) {
            before.refs += 1;
            (link.depth, link.head) = (before.depth + 1, before.head);
        }
        if link.head == NONE && var != NO_VAR {
            link.head = at;
        }
        match self.links.get_mut(at as usize) {
            Some(place) => {
                self.free_link = place.parent;
                *place = link;
            }
            None => self.links.push(link),
        }
        at
    }

    #[inline]
    pub(super) fn hold(&mut self, at: u32) {
        if let Some(link) = self.links.get_mut(at as usize) {
            link.refs += 1;
        }
    }

    /// Gives up a link, and what only it refers to.
    pub(super) fn release(&mut self, mut at: u32) {
        while let Some(link) = self.links.get_mut(at as usize) {
            link.refs -= 1;
            if link.refs > 0 {
                return;
            }
            let (row, parent) = (link.row, link.parent);
            link.parent = self.free_link;
            self.free_link = at;
            self.links_live -= 1;
            self.release_row(row);
            at = parent;
        }
    }

    /// Whether a chain has a row of a match, not only rows before it.
    #[inline]
    pub(super) fn is_bound(&self, at: u32) -> bool {
        self.links.get(at as usize).is_some_and(|link| link.var != NO_VAR)
    }

    pub(super) fn hold_row(&mut self, at: u32) {
        self.rows[at as usize].refs += 1;
    }

    /// Rows and links at most.
    pub(super) fn bounds(&self) -> (usize, usize) {
        (self.rows_max, self.links_max)
    }

    /// Links and rows in use.
    pub(super) fn live(&self) -> (usize, usize) {
        (self.links_live, self.rows_live)
    }
}
