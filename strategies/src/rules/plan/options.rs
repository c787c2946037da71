//! `WITH (...)` of a rule.

use super::{Budget, Emit, Mode, Planner};
use crate::diagnostics::nearest;
use crate::rules::ast::{Name, RuleOption};
use crate::rules::resolve::Noted;

/// Keys of a window, if a rule does not say.
const KEYS_MAX: usize = 100_000;

/// What the options of a rule say.
pub(super) struct Options {
    pub(super) mode: Mode,
    pub(super) keys_max: usize,
    /// Rows of a window of all its keys, or of a side of a join.
    pub(super) rows_max: Option<usize>,
    /// Partial matches of a key.
    pub(super) runs_max: Option<usize>,
    /// Partial matches that WITHIN ended are results too.
    pub(super) timeouts: bool,
    /// Whether every way to match is a result, or one for each beginning; by itself the pattern
    /// says.
    pub(super) all_matches: Option<bool>,
    pub(super) budget: Option<Budget>,
    /// The rule that a challenger stands against, and the share of keys that it acts on.
    pub(super) against: Option<Name>,
    pub(super) share: Option<f64>,
    pub(super) emit: Emit,
    /// How much longer than their streams' watermark windows stay open, nanoseconds.
    pub(super) lateness: u64,
    /// Panes of group windows.
    pub(super) windows_max: Option<usize>,
    /// What a query is called.
    pub(super) name: Option<Name>,
    /// An option that only queries of groups have, if there is one.
    of_groups: Option<Name>,
    /// `lateness`, if it is there.
    of_lateness: Option<Name>,
    /// How long rows are held.
    pub(super) delay: Option<u64>,
    /// Rows are held, or groups told, until times that are so far apart, and this far from 1970.
    pub(super) every: Option<u64>,
    pub(super) offset: u64,
    /// One of these, if it is there.
    pub(super) of_held: Option<Name>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Live,
            keys_max: KEYS_MAX,
            rows_max: None,
            runs_max: None,
            timeouts: false,
            all_matches: None,
            budget: None,
            against: None,
            share: None,
            emit: Emit::Close,
            lateness: 0,
            windows_max: None,
            name: None,
            of_groups: None,
            of_lateness: None,
            delay: None,
            every: None,
            offset: 0,
            of_held: None,
        }
    }
}

/// Every option, and what its values are.
const OPTIONS: [(&str, &str); 18] = [
    ("mode", "'live', 'shadow' and 'challenger' are"),
    ("against", "the name of a rule is"),
    ("share", "a number above 0 and at most 1 is"),
    ("budget", "a time as '5us' is: ns, us, ms, s, min and h are known"),
    ("over_budget", "'count' and 'suspend' are"),
    ("keys_max", "a whole number from 1 is"),
    ("rows_max", "a whole number from 1 is"),
    ("runs_max", "a whole number from 1 is"),
    ("timeouts", "'drop' and 'emit' are"),
    ("matches", "'one' and 'all' are"),
    ("windows_max", "a whole number from 1 is"),
    ("emit", "'close' and 'change' are"),
    ("lateness", "a time as '2s' is: ns, us, ms, s, min and h are known"),
    ("delay", "a time as '2s' is: ns, us, ms, s, min and h are known"),
    ("every", "a time as '2s' is: ns, us, ms, s, min and h are known"),
    ("offset", "a time as '2s' is: ns, us, ms, s, min and h are known"),
    ("name", "the name of a query is"),
    ("version", "a whole number from 1 is"),
];

/// Nanoseconds of a time with its unit.
fn read_time(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim() {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale).filter(|ns| *ns > 0)
}

impl Options {
    /// Takes one option over; `None` if it has no such value.
    fn read(&mut self, name: &str, value: &Name) -> Option<()> {
        let text = value.text.as_str();
        let number = || text.parse().ok().filter(|n| (1..=1 << 28).contains(n));
        match name {
            "mode" => {
                let all = [Mode::Live, Mode::Shadow, Mode::Challenger];
                self.mode = all.into_iter().find(|mode| mode.name() == text)?;
            }
            "against" => self.against = Some(value.clone()),
            "share" => self.share = Some(text.parse().ok().filter(|s| *s > 0.0 && *s <= 1.0)?),
            "budget" => {
                let suspends = self.budget.is_some_and(|budget| budget.suspends);
                self.budget = Some(Budget { ns: read_time(text)?, suspends });
            }
            "over_budget" => {
                let suspends = ["count", "suspend"].iter().position(|known| *known == text)? == 1;
                let ns = self.budget.map_or(u64::MAX, |budget| budget.ns);
                self.budget = Some(Budget { ns, suspends });
            }
            "emit" => {
                let all = [("close", Emit::Close), ("change", Emit::Change)];
                self.emit = all.into_iter().find(|(name, _)| *name == text)?.1;
            }
            "lateness" => {
                let none = matches!(text, "0" | "0s").then_some(0);
                self.lateness = none.or_else(|| read_time(text)).filter(|ns| *ns < 1 << 58)?;
            }
            "delay" => self.delay = Some(read_time(text).filter(|ns| *ns < 1 << 58)?),
            "every" => self.every = Some(read_time(text).filter(|ns| *ns < 1 << 58)?),
            "offset" => {
                let none = matches!(text, "0" | "0s").then_some(0);
                self.offset = none.or_else(|| read_time(text)).filter(|ns| *ns < 1 << 58)?;
            }
            "windows_max" => self.windows_max = Some(number()?),
            "name" => self.name = Some(value.clone()),
            "keys_max" => self.keys_max = number()?,
            "rows_max" => self.rows_max = Some(number()?),
            "runs_max" => self.runs_max = Some(number()?),
            "timeouts" => {
                self.timeouts = ["drop", "emit"].iter().position(|known| *known == text)? == 1;
            }
            "matches" => {
                let all = ["one", "all"].iter().position(|known| *known == text)?;
                self.all_matches = Some(all == 1);
            }
            _ => drop(text.parse::<u32>().ok().filter(|n| *n > 0)?),
        }
        Some(())
    }
}

impl Planner<'_> {
    /// Reads the options of a rule.
    ///
    /// # Errors
    /// If a mistake was noted.
    pub(super) fn options(&mut self, options: &[RuleOption]) -> Result<Options, Noted> {
        let mut read = Options::default();
        for RuleOption { key, value } in options {
            let name = key.text.to_ascii_lowercase();
            let Some((_, values)) = OPTIONS.iter().find(|(known, _)| *known == name) else {
                let noted = self.wrong(key, format!("unknown option `{name}`"), "not known");
                let known = OPTIONS.map(|(known, _)| known);
                self.diagnostics.help(match nearest(&name, known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("known options: {}", known.join(", ")),
                });
                return Err(noted);
            };
            match name.as_str() {
                "emit" | "windows_max" => read.of_groups = Some(key.clone()),
                "lateness" => read.of_lateness = Some(key.clone()),
                "delay" | "every" | "offset" => read.of_held = Some(key.clone()),
                _ => {}
            }
            if read.read(&name, value).is_none() {
                let title = format!("`{}` is no value of `{name}`", value.text);
                return Err(self.wrong(value, title, values));
            }
        }
        Ok(read)
    }

    /// Notes a mistake if there are options that only queries that wait for times have.
    ///
    /// # Errors
    /// If there are.
    pub(super) fn no_groups(&mut self, options: &Options) -> Result<(), Noted> {
        self.no_group_windows(options)?;
        self.none_held(options)?;
        let Some(key) = &options.of_lateness else { return Ok(()) };
        let title = format!("`{}` goes with GROUP BY and joins", key.text);
        Err(self.wrong(key, title, "nothing waits for a time here"))
    }

    /// Notes a mistake if there are options that only queries of groups have.
    ///
    /// # Errors
    /// If there are.
    pub(super) fn no_group_windows(&mut self, options: &Options) -> Result<(), Noted> {
        let Some(key) = &options.of_groups else { return Ok(()) };
        let title = format!("`{}` goes with GROUP BY", key.text);
        Err(self.wrong(key, title, "there are no groups here"))
    }
}
