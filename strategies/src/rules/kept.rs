//! What rules keep, told to people: watermarks, windows of keys, rows of joins, rows that are held,
//! partial matches, group windows.
//!
//! Invariant: nothing here runs while a run decides.

use super::engine::Rules;
use super::grouped::Grouped;
use super::hold::Hold;
use super::join::Rows;
use super::key::{KeyProgram, words};
use super::matcher::Matcher;
use super::operator::Operator;
use super::plan::{RuleSet, function_name, shown, text_of};
use super::pool::Pool;
use super::types::{Type, Value};
use super::window::Aggregate;
use crate::kept::Kept;

impl KeyProgram {
    /// A key whose words are at hand, as text: its parts with a slash between.
    fn text(&self, key: &[u64]) -> String {
        let nulls = key.last().copied().unwrap_or(0);
        let mut at = 0;
        let parts = self.types().enumerate().map(|(part, ty)| {
            let own = key.get(at..at + words(ty)).unwrap_or_default();
            at += words(ty);
            match ty {
                _ if nulls >> (part % 64) & 1 == 1 => "NULL".to_owned(),
                Type::Text(_) => text_of(own),
                ty => {
                    let bits = own.first().copied().unwrap_or(0);
                    shown(ty, Value { bits, known: true })
                }
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// Tells of everything that the rules keep; `set` is what they were made of.
pub(super) fn tell(rules: &Rules, set: &RuleSet, each: &mut dyn FnMut(Kept)) {
    let (time, pool) = rules.shared_state();
    for (stream, watermark) in time.watermarks() {
        let name = set.stream_name(stream);
        each(Kept::new("watermark", "rules").of_key(name).value("ts", watermark.0));
    }
    tell_windows(pool, set, each);
    for (name, is_suspended, operator) in rules.operators() {
        if is_suspended {
            each(Kept::new("rule", name).value("suspended", true));
        }
        match operator {
            Operator::Query(_) | Operator::Lookup(_) => {}
            Operator::Join(join) => tell_sides(join.kept(), name, each),
            Operator::AsOf(join) => tell_sides(join.kept(), name, each),
            Operator::Hold(hold) => tell_held(hold, name, each),
            Operator::Pattern(matcher) => tell_partial(matcher, name, each),
            Operator::Group(group) => tell_groups(group, name, each),
        }
    }
}

fn tell_windows(pool: &Pool, set: &RuleSet, each: &mut dyn FnMut(Kept)) {
    for (number, (plan, state)) in pool.windows().enumerate() {
        let (owner, frame, labels) = set.window_facts(number);
        let types: Vec<Type> = plan.aggregates.iter().map(Aggregate::result_type).collect();
        state.each_key(&mut |key, newest, rows, values| {
            let kept = Kept::new("window", owner.clone()).of_key(plan.key.text(key));
            let kept = kept.value("frame", &frame).value("newest", newest).value("rows", rows);
            let named = labels.iter().zip(types.iter().zip(values));
            each(named.fold(kept, |kept, (label, (ty, value))| {
                kept.value(label.clone(), shown(*ty, *value))
            }));
        });
    }
}

fn tell_sides(
    (sides, keys): ([&Rows; 2], &[KeyProgram; 2]),
    rule: &str,
    each: &mut dyn FnMut(Kept),
) {
    for (what, (rows, key)) in ["left row", "right row"].into_iter().zip(sides.iter().zip(keys)) {
        for at in rows.all() {
            let kept = Kept::new(what, rule).of_key(key.text(rows.key(at)));
            let kept = kept.value("ts", rows.ts(at)).value("met another", rows.is_matched(at));
            each(kept.row("row", rows.record(at)));
        }
    }
}

fn tell_held(hold: &Hold, rule: &str, each: &mut dyn FnMut(Kept)) {
    for (until, record) in hold.kept() {
        each(Kept::new("held row", rule).value("until", until).row("row", record));
    }
}

fn tell_partial(matcher: &Matcher, rule: &str, each: &mut dyn FnMut(Kept)) {
    let (plan, patterns) = matcher.kept();
    patterns.each_attempt(&mut |key, begins, runs| {
        let key = plan.keys.first().map(|program| program.text(key)).unwrap_or_default();
        let kept = Kept::new("partial match", rule).of_key(key);
        let mut kept = kept.value("begins at row", begins).value("ways", runs.len());
        for (way, run) in (1..).zip(&runs) {
            let of = match (run.is_found, runs.len()) {
                (true, _) => "found: ".to_owned(),
                (false, 1) => String::new(),
                (false, _) => format!("way {way}: "),
            };
            for (var, words) in &run.rows {
                let name = plan.var_names.get(usize::from(*var)).map_or("-", String::as_str);
                kept = kept.row(format!("{of}{name}"), words);
            }
        }
        each(kept);
    });
}

fn tell_groups(group: &Grouped, rule: &str, each: &mut dyn FnMut(Kept)) {
    let (plan, groups) = group.kept();
    let aggregates = &plan.spec.rows.aggregates;
    groups.each_pane(&mut |key, start, last, rows, values| {
        let kept = Kept::new("group window", rule).of_key(plan.key.text(key));
        let kept = kept.value("from", start).value("last row", last).value("rows", rows);
        each(aggregates.iter().zip(values).fold(kept, |kept, (aggregate, value)| {
            let text = shown(aggregate.result_type(), *value);
            kept.value(function_name(aggregate.function), text)
        }));
    });
}
