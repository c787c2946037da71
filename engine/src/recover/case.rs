//! The cases of a start over what an earlier run left. Exactly one of them is.
//!
//! | journal | configuration | newest snapshot | case |
//! |---|---|---|---|
//! | none, or never begun | | | nothing: a fresh start |
//! | of another version of the layout | | | refused |
//! | a segment is missing | | | refused |
//! | damaged before its end, or another's segment | | | refused |
//! | whole, but its copy on disk says otherwise | | | refused |
//! | whole | cannot be read | | refused |
//! | whole | decides otherwise | | refused |
//! | whole, its beginning is gone | same or other rules | none fits, or is older | refused |
//! | whole | the same or other rules | does not fit (1) | gone on from elsewhere (2) |
//! | closed, open or torn at its end | the same | fits, or there is none | gone on with |
//! | closed, open or torn at its end | other rules | fits, or is none | the same, rules first |
//!
//! 1: damaged, newer than the journal, of another version, configuration or journal: a case each.
//! 2: an older snapshot that fits, or the journal's beginning.
//!
//! The journal is looked at from the snapshot on that is gone on from: what lies before it may be
//! damaged or gone.
//!
//! The journal is what lies in memory and, of segments that are not there, the copy on disk: after
//! a power cut all of it. The copy may be behind, which is no difference. Snapshots lie on disk if
//! there is a copy, and are never newer than that.
//!
//! Invariant: [`Case::of`] finds exactly one for any findings; it panics if the table does not.

use crate::journal::{Damage, JournalError};
use crate::snapshot::Unfit;

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

/// How the newest snapshot of a shard fits; the worst last.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Newest {
    /// There is none.
    None,
    /// It fits.
    Fits,
    /// The journal ends before it.
    Newer,
    /// Entries behind it are gone.
    Older,
    /// Another version of the program wrote it, or its rules cannot be read.
    OtherVersion,
    /// It is of another configuration.
    OtherConfiguration,
    /// It is of another journal.
    OtherJournal,
    /// Its bytes are not as they were written.
    Damaged,
}

impl Newest {
    pub(super) fn of(unfit: &Unfit) -> Self {
        match unfit {
            Unfit::Damaged(_) | Unfit::Io(_) => Self::Damaged,
            Unfit::Version(_) | Unfit::State(_) | Unfit::Rules(_) => Self::OtherVersion,
            Unfit::Configuration => Self::OtherConfiguration,
            Unfit::Journal => Self::OtherJournal,
            Unfit::Newer(_) => Self::Newer,
            Unfit::Older(_) => Self::Older,
        }
    }

    /// Whether it is in nobody's way.
    fn is_well(self) -> bool {
        matches!(self, Self::None | Self::Fits)
    }
}

/// What there is to begin from; the worst last.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum From {
    /// A snapshot.
    Snapshot,
    /// The journal's first entry.
    Beginning,
    /// Neither.
    Nowhere,
}

/// How the copy on disk compares with what lies in memory.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Copies {
    /// There is no copy, or only a copy, or what it has is in memory, too.
    Agree,
    /// It has other bytes.
    Differ,
}

/// What was found.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Findings {
    /// In the segments.
    pub written: Written,
    /// In the copy of them; of no matter unless they are whole.
    pub copies: Copies,
    /// In the configuration; of no matter unless the segments are whole.
    pub configured: Configured,
    /// Of the newest snapshot.
    pub newest: Newest,
    /// To begin from.
    pub from: From,
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
    /// No snapshot fits, and the journal does not begin with its first entry.
    NoBeginning,
    /// The newest snapshot is damaged; something else is begun from.
    SnapshotDamaged,
    /// The newest snapshot is of an entry that the journal does not reach.
    SnapshotNewer,
    /// The newest snapshot is of another version.
    SnapshotOtherVersion,
    /// The newest snapshot is of another configuration.
    SnapshotOtherConfiguration,
    /// The newest snapshot is of another journal.
    SnapshotOtherJournal,
    /// What lies in memory and what is on disk differ.
    CopiesDiffer,
}

type Matches = fn(&Findings) -> bool;

const TABLE: [(Case, Matches); 17] = [
    (Case::Nothing, |found| found.written == Written::Nothing),
    (Case::Closed, |found| is(found, Written::Closed)),
    (Case::Open, |found| is(found, Written::Open)),
    (Case::Torn, |found| is(found, Written::Torn)),
    (Case::OtherRules, |found| {
        decides(found) && found.configured == Configured::OtherRules && found.newest.is_well()
    }),
    (Case::OtherConfiguration, |found| is_whole(found, Configured::Other)),
    (Case::NoConfiguration, |found| is_whole(found, Configured::Unreadable)),
    (Case::Missing, |found| found.written == Written::Missing),
    (Case::Damaged, |found| found.written == Written::Damaged),
    (Case::OtherVersion, |found| found.written == Written::OtherVersion),
    (Case::NoBeginning, |found| is_known(found) && is_behind(found)),
    (Case::SnapshotDamaged, |found| despite(found, Newest::Damaged)),
    (Case::SnapshotNewer, |found| despite(found, Newest::Newer)),
    (Case::SnapshotOtherVersion, |found| despite(found, Newest::OtherVersion)),
    (Case::SnapshotOtherConfiguration, |found| despite(found, Newest::OtherConfiguration)),
    (Case::SnapshotOtherJournal, |found| despite(found, Newest::OtherJournal)),
    (Case::CopiesDiffer, |found| found.written.is_whole() && found.copies == Copies::Differ),
];

fn is(found: &Findings, written: Written) -> bool {
    let is_same = found.configured == Configured::Same;
    decides(found) && is_same && found.written == written && found.newest.is_well()
}

fn is_whole(found: &Findings, configured: Configured) -> bool {
    let agree = found.copies == Copies::Agree;
    found.written.is_whole() && agree && found.configured == configured
}

/// There is nothing to begin from. Where entries behind the newest snapshot are gone, so is the
/// beginning, and those behind any earlier one.
fn is_behind(found: &Findings) -> bool {
    found.from == From::Nowhere || found.newest == Newest::Older
}

/// The journal is whole and what decided is known.
fn is_known(found: &Findings) -> bool {
    is_whole(found, Configured::Same) || is_whole(found, Configured::OtherRules)
}

/// And there is something to begin from.
fn decides(found: &Findings) -> bool {
    is_known(found) && !is_behind(found)
}

fn despite(found: &Findings, newest: Newest) -> bool {
    decides(found) && found.newest == newest
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
            || self.is_despite()
    }

    /// Whether a run goes on although its newest snapshot does not fit.
    #[must_use]
    pub fn is_despite(self) -> bool {
        matches!(
            self,
            Self::SnapshotDamaged
                | Self::SnapshotNewer
                | Self::SnapshotOtherVersion
                | Self::SnapshotOtherConfiguration
                | Self::SnapshotOtherJournal
        )
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
            Self::NoBeginning => "no beginning",
            Self::SnapshotDamaged => "damaged snapshot",
            Self::SnapshotNewer => "newer snapshot",
            Self::SnapshotOtherVersion => "other version's snapshot",
            Self::SnapshotOtherConfiguration => "other configuration's snapshot",
            Self::SnapshotOtherJournal => "other journal's snapshot",
            Self::CopiesDiffer => "copies differ",
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
            Self::NoBeginning => "without its beginning, and no snapshot fits",
            Self::SnapshotDamaged => "whole, but its newest snapshot is damaged",
            Self::SnapshotNewer => "whole, but ends before its newest snapshot",
            Self::SnapshotOtherVersion => "whole, but its newest snapshot is another version's",
            Self::SnapshotOtherConfiguration => {
                "whole, but its newest snapshot is another configuration's"
            }
            Self::SnapshotOtherJournal => "whole, but its newest snapshot is another journal's",
            Self::CopiesDiffer => "whole, but its copy in `durable_dir` says otherwise",
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
                 [journal]; `corelane journal inspect` shows what lies before the damage, \
                 `corelane journal repair` gives up what lies behind it"
            }
            Self::CopiesDiffer => {
                "if the machine has not lost power, what is in memory is right: move that segment \
                 of the copy away, and it is written anew; to go on from the copy alone, move \
                 `dir` away"
            }
            Self::OtherVersion => {
                "use the version of the program that wrote it, or begin anew with \
                 `start = \"fresh\"` in [journal]"
            }
            Self::NoBeginning => {
                "put the missing segments, or a snapshot that fits, back from a copy, or begin \
                 anew with `start = \"fresh\"` in [journal], which keeps the earlier journal under \
                 another name"
            }
            Self::SnapshotNewer => {
                "the run goes on from an older snapshot or from the journal's beginning; the \
                 machine lost what the kernel had not written, so look what feeds and sinks have"
            }
            Self::SnapshotDamaged
            | Self::SnapshotOtherVersion
            | Self::SnapshotOtherConfiguration
            | Self::SnapshotOtherJournal => {
                "the run goes on from an older snapshot or from the journal's beginning; the \
                 snapshot can be removed"
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

    const NEWEST: [Newest; 8] = [
        Newest::None,
        Newest::Fits,
        Newest::Newer,
        Newest::Older,
        Newest::OtherVersion,
        Newest::OtherConfiguration,
        Newest::OtherJournal,
        Newest::Damaged,
    ];
    const FROM: [From; 3] = [From::Snapshot, From::Beginning, From::Nowhere];

    fn all() -> impl Iterator<Item = Findings> {
        let written = WRITTEN.into_iter().flat_map(|written| CONFIGURED.map(|c| (written, c)));
        let all = written.flat_map(|(w, c)| NEWEST.map(|newest| (w, c, newest)));
        let all = all.flat_map(|(w, c, newest)| FROM.map(|from| (w, c, newest, from)));
        let copies = [Copies::Agree, Copies::Differ];
        let all = all.flat_map(move |found| copies.map(|copies| (found, copies)));
        all.map(|((written, configured, newest, from), copies)| Findings {
            written,
            copies,
            configured,
            newest,
            from,
        })
    }

    #[test]
    fn nothing_is_gone_on_with_that_is_not_whole_or_known() {
        for found in all().filter(|found| Case::of(found).goes_on()) {
            assert!(found.copies == Copies::Agree, "{found:?}");
            assert!(found.written.is_whole() && found.from != From::Nowhere, "{found:?}");
            assert!(matches!(found.configured, Configured::Same | Configured::OtherRules));
        }
    }

    #[test]
    fn whatever_is_found_is_exactly_one_case() {
        let mut met = std::collections::HashSet::new();
        for found in all() {
            let case = Case::of(&found);
            assert!(!case.found().is_empty() && !case.advice().is_empty());
            met.insert(case);
        }
        assert_eq!(met.len(), TABLE.len(), "no case is without findings");
    }
}
