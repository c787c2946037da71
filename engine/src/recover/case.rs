//! The cases of a start over what an earlier run left. Exactly one of them is.
//!
//! | journal | configuration | case |
//! |---|---|---|
//! | none, or never begun | | nothing: a fresh start |
//! | of another version of the layout | | refused |
//! | a segment is missing | | refused |
//! | damaged before its end, or another's segment | | refused |
//! | whole | cannot be read | refused |
//! | whole | decides otherwise | refused |
//! | closed, open or torn at its end | the same | gone on with |
//! | closed, open or torn at its end | other rules | gone on with, the rules changing first |
//!
//! Invariant: [`Case::of`] finds exactly one for any findings; it panics if the table does not.

use crate::journal::{Damage, JournalError};

/// What lies in the segments, the worst last.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Written {
    /// No segment, or none that was begun.
    Nothing,
    /// Closed in order.
    Closed,
    /// Not closed, and ends behind a whole entry.
    Open,
    /// Ends in bytes that are no entry.
    Torn,
    /// A segment that others follow is not there.
    Missing,
    /// Bytes before the end are not as they were written.
    Damaged,
    /// The layout is another version's.
    OtherVersion,
}

impl Written {
    /// What an error of reading says; `None` if it is the system's.
    pub(super) fn of(error: &JournalError) -> Option<Self> {
        match error {
            JournalError::Damaged { why: Damage::Version(_), .. } => Some(Self::OtherVersion),
            JournalError::Damaged { .. } => Some(Self::Damaged),
            JournalError::Missing { .. } => Some(Self::Missing),
            _ => None,
        }
    }

    /// Whether every entry is there.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Closed | Self::Open | Self::Torn)
    }
}

/// How the configuration compares with the one that decided.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Configured {
    /// It decides the same.
    Same,
    /// Only its rules are others.
    OtherRules,
    /// It has other feeds, strategies or shards.
    Other,
    /// What decided then is not there, or not understood.
    Unreadable,
}

/// What was found.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Findings {
    /// In the segments.
    pub written: Written,
    /// In the configuration; of no matter unless the segments are whole.
    pub configured: Configured,
}

/// What it comes to.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Case {
    /// There is nothing to go on from.
    Nothing,
    /// Closed in order.
    Closed,
    /// The writer died between two entries.
    Open,
    /// The writer, or the machine, died within an entry.
    Torn,
    /// One of the three above, and the rules changed since.
    OtherRules,
    /// The configuration decides otherwise.
    OtherConfiguration,
    /// The configuration that decided cannot be read.
    NoConfiguration,
    /// A segment is missing.
    Missing,
    /// Damage before the end.
    Damaged,
    /// Another version's layout.
    OtherVersion,
}

type Matches = fn(&Findings) -> bool;

const TABLE: [(Case, Matches); 10] = [
    (Case::Nothing, |found| found.written == Written::Nothing),
    (Case::Closed, |found| is(found, Written::Closed, Configured::Same)),
    (Case::Open, |found| is(found, Written::Open, Configured::Same)),
    (Case::Torn, |found| is(found, Written::Torn, Configured::Same)),
    (Case::OtherRules, |found| is_whole(found, Configured::OtherRules)),
    (Case::OtherConfiguration, |found| is_whole(found, Configured::Other)),
    (Case::NoConfiguration, |found| is_whole(found, Configured::Unreadable)),
    (Case::Missing, |found| found.written == Written::Missing),
    (Case::Damaged, |found| found.written == Written::Damaged),
    (Case::OtherVersion, |found| found.written == Written::OtherVersion),
];

fn is(found: &Findings, written: Written, configured: Configured) -> bool {
    *found == Findings { written, configured }
}

fn is_whole(found: &Findings, configured: Configured) -> bool {
    found.written.is_whole() && found.configured == configured
}

impl Case {
    /// The case of what was found.
    ///
    /// # Panics
    /// If the table has none or several: that is a fault in it.
    #[must_use]
    pub fn of(found: &Findings) -> Self {
        let mut all = TABLE.iter().filter(|(_, matches)| matches(found));
        let (case, _) = all.next().expect("every finding is a case");
        assert!(all.next().is_none(), "{found:?} is one case");
        *case
    }

    /// Whether a run goes on from there.
    #[must_use]
    pub fn goes_on(self) -> bool {
        matches!(self, Self::Closed | Self::Open | Self::Torn | Self::OtherRules)
    }

    /// Whether it is the configuration that is in the way.
    #[must_use]
    pub fn is_configuration(self) -> bool {
        matches!(self, Self::OtherConfiguration | Self::NoConfiguration)
    }

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Torn => "torn",
            Self::OtherRules => "other rules",
            Self::OtherConfiguration => "other configuration",
            Self::NoConfiguration => "no configuration",
            Self::Missing => "missing segment",
            Self::Damaged => "damaged",
            Self::OtherVersion => "other version",
        }
    }

    /// What was found, behind "the journal is".
    #[must_use]
    pub fn found(self) -> &'static str {
        match self {
            Self::Nothing => "empty",
            Self::Closed => "whole and closed",
            Self::Open => "whole, and was not closed",
            Self::Torn => "torn at its end: its writer died within an entry",
            Self::OtherRules => "of other rules",
            Self::OtherConfiguration => "of another configuration",
            Self::NoConfiguration => "whole, but what decided cannot be read",
            Self::Missing => "not whole: a segment is missing",
            Self::Damaged => "damaged before its end",
            Self::OtherVersion => "of a layout that this program does not know",
        }
    }

    /// What to do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Nothing => "nothing is to be done",
            Self::Closed | Self::Open | Self::Torn => "the run goes on from its last entry",
            Self::OtherRules => "the run goes on from its last entry, the rules changing first",
            Self::OtherConfiguration => {
                "run the earlier configuration, or begin anew: another `dir` in [journal], or \
                 `start = \"fresh\"`, which keeps the earlier journal under another name"
            }
            Self::NoConfiguration => {
                "put config.toml and the rules*.toml of that run back, or begin anew with \
                 `start = \"fresh\"` in [journal]"
            }
            Self::Missing => {
                "put the segment back from a copy, or begin anew with `start = \"fresh\"` in \
                 [journal], which keeps the earlier journal under another name"
            }
            Self::Damaged => {
                "put the segment back from a copy, or begin anew with `start = \"fresh\"` in \
                 [journal]; `corelane journal inspect` shows what lies before the damage"
            }
            Self::OtherVersion => {
                "use the version of the program that wrote it, or begin anew with \
                 `start = \"fresh\"` in [journal]"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: [Written; 7] = [
        Written::Nothing,
        Written::Closed,
        Written::Open,
        Written::Torn,
        Written::Missing,
        Written::Damaged,
        Written::OtherVersion,
    ];
    const CONFIGURED: [Configured; 4] =
        [Configured::Same, Configured::OtherRules, Configured::Other, Configured::Unreadable];

    #[test]
    fn whatever_is_found_is_exactly_one_case() {
        let mut met = std::collections::HashSet::new();
        for written in WRITTEN {
            for configured in CONFIGURED {
                let case = Case::of(&Findings { written, configured });
                assert!(!case.found().is_empty() && !case.advice().is_empty());
                met.insert(case);
            }
        }
        assert_eq!(met.len(), TABLE.len(), "no case is without findings");
    }
}
