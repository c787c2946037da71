//! A rule set that takes the place of another while records go on.
//!
//! Invariant: a rule keeps its number for as long as a run lasts, and no number is given twice.

use corelane_feeds::record::StreamId;
use corelane_feeds::schema::Schema;

use super::RuleSet;

/// The high byte of the streams that books publish.
const BOOKS: u16 = 0x03;

/// Why a rule set cannot take the place of another without a restart.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CannotFollow {
    /// An action or a stream is new, changed or gone, and others hold on to what it was.
    #[error("`{name}` was declared, changed or dropped: that needs a restart")]
    Declared {
        /// Which.
        name: String,
    },
    /// A rule reads what no book publishes in this run.
    #[error("no rule read `{name}` when the run began, so no book makes it: that needs a restart")]
    Stream {
        /// Which.
        name: &'static str,
    },
    /// Numbers of rules have 16 bits.
    #[error("the rules were changed so often that their numbers are used up: restart")]
    Numbers,
}

impl RuleSet {
    /// Takes over the numbers of an earlier set, so that rules of the same name keep theirs.
    ///
    /// # Errors
    /// If a run that began with the earlier set cannot go on with this one.
    pub fn follow(&mut self, earlier: &RuleSet) -> Result<(), CannotFollow> {
        let declared = |set: &RuleSet| -> Vec<&'static Schema> {
            // Views are made and read within.
            let streams = set.declared_streams().iter().filter(|stream| !stream.is_view);
            let streams = streams.map(|stream| stream.declared.schema);
            set.declared().iter().copied().chain(streams).collect()
        };
        let (new, old) = (declared(self), declared(earlier));
        let longest = new.len().max(old.len());
        for at in 0..longest {
            if new.get(at) != old.get(at) {
                let name = new.get(at).or(old.get(at)).map_or("", |schema| schema.name);
                return Err(CannotFollow::Declared { name: name.to_owned() });
            }
        }
        // What feeds read by besides: keys, event time, lateness, units.
        let mut streams = self.declared_streams().iter().zip(earlier.declared_streams());
        if let Some((stream, _)) = streams.find(|(new, old)| new != old) {
            let name = stream.declared.schema.name.to_owned();
            return Err(CannotFollow::Declared { name });
        }
        let read = earlier.streams();
        let is_made = |id: &StreamId| id.0 >> 8 != BOOKS || read.contains(id);
        if let Some(id) = self.streams().into_iter().find(|id| !is_made(id)) {
            let name = self.catalog.by_id(id).map_or("", |schema| schema.name);
            return Err(CannotFollow::Stream { name });
        }
        let mut numbers = earlier.numbers.clone();
        for rule in &mut self.rules {
            let known = numbers.iter().position(|name| *name == rule.name);
            let number = known.unwrap_or_else(|| {
                numbers.push(rule.name);
                numbers.len() - 1
            });
            rule.number = u16::try_from(number).map_err(|_| CannotFollow::Numbers)?;
        }
        self.numbers = numbers;
        Ok(())
    }

    /// Takes the numbers that rules of these names have had, as [`RuleSet::follow`] would have made
    /// them: the names by number.
    ///
    /// # Errors
    /// If one of its rules is not among them.
    pub fn number_by(&mut self, names: &[String]) -> Result<(), CannotFollow> {
        for rule in &mut self.rules {
            let number = names.iter().position(|name| name == rule.name);
            let number = number.and_then(|number| u16::try_from(number).ok());
            rule.number = number.ok_or(CannotFollow::Numbers)?;
        }
        let known = self.rules.iter().map(|rule| rule.name).collect::<Vec<_>>();
        let name = |name: &String| -> &'static str {
            let own = known.iter().find(|own| **own == name.as_str());
            // Rules that are gone: a few, once per start.
            own.copied().unwrap_or_else(|| Box::leak(name.clone().into_boxed_str()))
        };
        self.numbers = names.iter().map(name).collect();
        Ok(())
    }

    /// Names the text of all rules and tables: the same for the same ones.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        // FNV-1a.
        let texts = self.rules.iter().flat_map(|rule| rule.text.bytes().chain([b';']));
        let rules = texts.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let tables = self.catalog.tables().iter();
        tables.fold(rules, |hash, table| (hash ^ table.hash()).wrapping_mul(0x0100_0000_01b3))
    }
}
