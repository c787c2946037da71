//! Challengers: a rule that acts in place of another on a share of the keys.
//!
//! Invariant: of a rule and its challengers exactly one acts on a key, always the same one.

use super::{Mode, Options, Planner};
use crate::rules::ast::Name;
use crate::rules::expr::Typed;
use crate::rules::key::KeyProgram;
use crate::rules::program::Machine;
use crate::rules::resolve::Noted;
use crate::rules::windows::placeless;

/// Where the hash of a key lies: `0..WHOLE`.
const WHOLE: u64 = 1 << 32;

/// The keys on which a rule acts: those whose hash lies in a range.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Arm {
    pub(in crate::rules) against: Option<&'static str>,
    key: KeyProgram,
    low: u64,
    high: u64,
    typed: Vec<Typed>,
}

impl Arm {
    /// Words that [`Arm::acts_on`] needs for a key.
    pub(in crate::rules) fn key_words(&self) -> usize {
        self.key.words()
    }

    /// Whether the rule acts on a row's key.
    pub(in crate::rules) fn acts_on(
        &self,
        machine: &mut Machine,
        row: &[u8],
        key: &mut [u64],
    ) -> bool {
        self.key.fill(machine, row, key);
        let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
        for word in key {
            hash = (hash ^ *word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            hash ^= hash >> 31;
        }
        (self.low..self.high).contains(&(hash >> 32))
    }

    /// How much of all keys, in percent.
    pub(super) fn percent(&self) -> f64 {
        (self.high - self.low) as f64 * 100.0 / WHOLE as f64
    }
}

impl Planner<'_> {
    /// The arm of a challenger, taken from the rule that it stands against; none of another rule.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn arm(
        &mut self,
        rule: &Name,
        options: &Options,
        partition: &[Typed],
    ) -> Result<Option<Arm>, Noted> {
        let (against, share) = match (options.mode, &options.against, options.share) {
            (Mode::Challenger, Some(against), Some(share)) => (against, share),
            (Mode::Challenger, ..) => {
                let title = "a challenger needs `against` and `share`".to_owned();
                return Err(self.wrong(rule, title, "which rule, and how much of its keys?"));
            }
            (_, None, None) => return Ok(None),
            _ => {
                let title = "`against` and `share` are a challenger's".to_owned();
                return Err(self.wrong(rule, title, "write mode = 'challenger', too"));
            }
        };
        let name = against.text.to_ascii_lowercase();
        let Some(at) = self.set.rules.iter().position(|known| known.name == name) else {
            let title = format!("no rule `{name}` stands before this one");
            return Err(self.wrong(against, title, "not known"));
        };
        let typed: Vec<Typed> = partition.iter().map(placeless).collect();
        let key = KeyProgram::new(self.compile_all(partition)?);
        let of = &mut self.set.rules[at];
        let all =
            || Arm { against: None, key: key.clone(), low: 0, high: WHOLE, typed: typed.clone() };
        let champion = of.arm.get_or_insert_with(all);
        let (low, length) = (champion.low, (share * WHOLE as f64) as u64);
        let wrong = if champion.against.is_some() || of.mode != Mode::Live {
            Some("it is not a live rule itself")
        } else if typed.is_empty() || champion.typed != typed {
            Some("both need the same PARTITION BY: a share of which keys?")
        } else if low + length > WHOLE {
            Some("more than all of its keys are given away")
        } else {
            champion.low += length;
            None
        };
        match wrong {
            Some(why) => Err(self.wrong(against, format!("`{name}` cannot be challenged"), why)),
            None => {
                let against = Some(self.set.rules[at].name);
                Ok(Some(Arm { against, key, low, high: low + length, typed }))
            }
        }
    }
}
