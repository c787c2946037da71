//! The values of navigations and aggregates, from the rows of a match.
//!
//! Invariant: a row that is not there gives NULL, an aggregate of no rows too, but for a count.

use zerocopy::IntoBytes;

use crate::rules::expr::power_of_ten;
use crate::rules::pattern::{Kind, Match, RowRef, Rows, VarSet};
use crate::rules::plan::{NavPlan, PatternPlan};
use crate::rules::program::{Machine, Program};
use crate::rules::resolve::{Fold, What};
use crate::rules::types::{Text, Type, Value};

/// How a result came to be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// A row completed the match.
    Match,
    /// A deadline passed without what it waited for.
    Absent,
    /// So it seems, but records were lost meanwhile.
    Unknown,
    /// WITHIN ended it before it was complete.
    Timeout,
    /// The row is in no match.
    Unmatched,
}

impl Outcome {
    pub(super) fn of(found: &Match<'_>) -> Self {
        match found.kind {
            Kind::TimedOut => Self::Timeout,
            Kind::Unmatched => Self::Unmatched,
            Kind::Match if found.unknown => Self::Unknown,
            Kind::Match if found.by_time => Self::Absent,
            Kind::Match => Self::Match,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
            Self::Timeout => "timeout",
            Self::Unmatched => "unmatched",
        }
    }
}

/// What a navigation looks at.
pub(super) struct View<'a> {
    /// The rows up to the one at hand.
    pub(super) rows: Rows<'a>,
    /// All rows of the match.
    pub(super) whole: Rows<'a>,
    pub(super) found: Option<(&'a Match<'a>, Outcome)>,
}

/// Copies a text behind the row, and gives its place.
fn put_text(text: &[u8], nav: &NavPlan, scratch: &mut [u8]) -> Value {
    let Type::Text(len) = nav.nav.ty else { return Value::NULL };
    let text = &text[..text.len().min(usize::from(len))];
    let Some(place) = scratch.get_mut(nav.text_at..nav.text_at + text.len()) else {
        return Value::NULL;
    };
    place.copy_from_slice(text);
    let text = Text { space: 0, len: text.len() as u8, offset: nav.text_at as u32 };
    Value { bits: text.to_bits(), known: true }
}

impl View<'_> {
    /// The value of a navigation; a text is put behind the row in `scratch`.
    #[inline]
    pub(super) fn value(
        &self,
        plan: &PatternPlan,
        nav: &NavPlan,
        machine: &mut Machine,
        scratch: &mut [u8],
    ) -> Value {
        match nav.nav.what {
            What::Row { of, from_first, n, step, is_final, classifier } => {
                let rows = if is_final { &self.whole } else { &self.rows };
                let Some(row) = find(rows, of, from_first, n, step) else { return Value::NULL };
                if classifier {
                    let name = row.var.and_then(|var| plan.var_names.get(usize::from(var)));
                    return name
                        .map_or(Value::NULL, |name| put_text(name.as_bytes(), nav, scratch));
                }
                let Some(program) = &nav.nav.value else { return Value::NULL };
                let bytes = row.words.as_bytes();
                let value = program.run(machine, bytes, &[]);
                match nav.nav.ty {
                    Type::Text(_) if value.known => {
                        put_text(program.text(value, bytes, machine.made()), nav, scratch)
                    }
                    _ => value,
                }
            }
            What::Fold { of, fold, is_final } => {
                let rows = if is_final { &self.whole } else { &self.rows };
                folded(rows, of, fold, nav, machine)
            }
            What::Key(part) => self.key_part(plan, part, nav, scratch),
            What::Number => match self.found {
                Some((found, _)) if found.kind == Kind::Match => Value::int(found.number as i64),
                _ => Value::NULL,
            },
            What::Outcome => match self.found {
                Some((_, outcome)) => put_text(outcome.name().as_bytes(), nav, scratch),
                None => Value::NULL,
            },
        }
    }

    fn key_part(
        &self,
        plan: &PatternPlan,
        part: usize,
        nav: &NavPlan,
        scratch: &mut [u8],
    ) -> Value {
        let (Some((found, _)), Some(place)) = (self.found, plan.key_parts.get(part)) else {
            return Value::NULL;
        };
        let nulls = found.key.last().copied().unwrap_or_default();
        let words = found.key.get(place.at..place.at + place.words);
        match (words, nav.nav.ty) {
            _ if nulls >> (part % 64) & 1 == 1 => Value::NULL,
            (Some(words), Type::Text(len)) => {
                let text = &words.as_bytes()[..usize::from(len).min(words.len() * 8)];
                let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
                put_text(&text[..end], nav, scratch)
            }
            (Some([word, ..]), _) => Value { bits: *word, known: true },
            _ => Value::NULL,
        }
    }
}

#[inline]
fn find<'a>(
    rows: &Rows<'a>,
    of: VarSet,
    from_first: bool,
    n: usize,
    step: i64,
) -> Option<RowRef<'a>> {
    let row = if from_first { rows.first(of, n) } else { rows.last(of, n) }?;
    match step {
        0 => Some(row),
        1.. => rows.next(row, step as usize),
        _ => rows.prev(row, step.unsigned_abs() as usize),
    }
}

/// An aggregate over rows of a match.
fn folded(rows: &Rows<'_>, of: VarSet, fold: Fold, nav: &NavPlan, machine: &mut Machine) -> Value {
    let Some(program) = &nav.nav.value else { return Value::int(rows.count(of) as i64) };
    let value = if nav.arg == Type::Double {
        of_doubles(rows, of, fold, program, machine)
    } else {
        of_ints(rows, of, fold, program, nav, machine)
    };
    value.unwrap_or_else(|| {
        machine.undefined += 1;
        Value::NULL
    })
}

fn of_doubles(
    rows: &Rows<'_>,
    of: VarSet,
    fold: Fold,
    program: &Program,
    machine: &mut Machine,
) -> Option<Value> {
    let (mut count, mut sum) = (0_u32, 0.0);
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for row in rows.backwards(of) {
        if let Some(value) = program.run(machine, row.words.as_bytes(), &[]).as_double() {
            count += 1;
            sum += value;
            (least, most) = (least.min(value), most.max(value));
        }
    }
    let result = match fold {
        Fold::Count => return Some(Value::int(i64::from(count))),
        _ if count == 0 => return Some(Value::NULL),
        Fold::Sum => sum,
        Fold::Avg => sum / f64::from(count),
        Fold::Min => least,
        Fold::Max => most,
    };
    Some(Value::double(result)).filter(|value| value.known)
}

fn of_ints(
    rows: &Rows<'_>,
    of: VarSet,
    fold: Fold,
    program: &Program,
    nav: &NavPlan,
    machine: &mut Machine,
) -> Option<Value> {
    let (mut count, mut sum, mut least, mut most) = (0_i64, 0_i128, i64::MAX, i64::MIN);
    for row in rows.backwards(of) {
        let value = program.run(machine, row.words.as_bytes(), &[]);
        if value.known && fold == Fold::Count {
            count += 1;
        } else if let Some(value) = value.as_int() {
            count += 1;
            sum += i128::from(value);
            (least, most) = (least.min(value), most.max(value));
        }
    }
    Some(Value::int(match fold {
        Fold::Count => count,
        _ if count == 0 => return Some(Value::NULL),
        Fold::Sum => i64::try_from(sum).ok()?,
        Fold::Min => least,
        Fold::Max => most,
        Fold::Avg => match (nav.arg, nav.nav.ty) {
            (Type::Decimal(from), Type::Decimal(to)) => {
                let scaled = sum.checked_mul(i128::from(power_of_ten(to - from)))?;
                let (count, half) = (i128::from(count), i128::from(count) / 2);
                let rounded = if scaled < 0 { scaled - half } else { scaled + half };
                i64::try_from(rounded / count).ok()?
            }
            _ => return Some(Value::double(sum as f64 / count as f64)),
        },
    }))
}
