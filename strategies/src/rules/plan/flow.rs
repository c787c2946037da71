//! How time goes on in the streams that rules make.
//!
//! ```text
//! made of                              goes by
//! a record each, at once               the streams of feeds that it comes from in the end
//! joins, held rows, groups that close  what they say when a time has passed
//! several of these                     the least of all
//! anything else besides                the times of its own records
//! ```
//!
//! Invariant: a record that is not late for what it is made of is not late for what reads it.

use std::collections::HashMap;

use corelane_feeds::record::StreamId;

use super::{Emit, Kind, Output, Rule, RuleSet};
use crate::rules::catalog::LATE;
use crate::rules::time::{Flow, Flows};

/// A stream, another that is made of it at once, and the rule that does.
type PassedOn = Vec<(StreamId, StreamId, u16)>;
/// The rules that make each stream, with what they make of it.
type Makers<'a> = HashMap<StreamId, Vec<(&'a Rule, &'a Output)>>;

impl RuleSet {
    /// How time goes on in made streams.
    pub(in crate::rules) fn flows(&self) -> Flows {
        let mut makers = Makers::new();
        for rule in &self.rules {
            for output in rule.kind.outputs().iter().filter(|output| !output.is_action) {
                makers.entry(output.schema.stream).or_default().push((rule, output));
            }
        }
        let mut made: Vec<StreamId> = makers.keys().copied().collect();
        made.sort_unstable();
        let mut known: HashMap<StreamId, Flow> = HashMap::new();
        let mut passed_on = Vec::new();
        // What is made of others is known when those are.
        loop {
            let before = known.len();
            for stream in &made {
                if known.contains_key(stream) {
                    continue;
                }
                if let Some((flow, passed)) = self.flow(*stream, &makers, &known) {
                    known.insert(*stream, flow);
                    passed_on.extend(passed);
                }
            }
            if known.len() == before {
                break;
            }
        }
        let has_time = |stream: &&StreamId| {
            let mut outputs =
                makers[stream].iter().filter_map(|(_, output)| output.stream.as_ref());
            outputs.any(|stream| stream.declared.time.is_some())
        };
        let own_time = made.iter().filter(has_time).copied().collect();
        let mut flows: Vec<(StreamId, Flow)> = known.into_iter().collect();
        flows.sort_unstable_by_key(|(stream, _)| *stream);
        Flows { flows, passed_on, own_time }
    }

    /// How time goes on in a stream, if that is known of each of its makers; and what is said of
    /// others that has to be said of it.
    fn flow(
        &self,
        stream: StreamId,
        makers: &Makers<'_>,
        known: &HashMap<StreamId, Flow>,
    ) -> Option<(Flow, PassedOn)> {
        let (mut flow, mut passed_on) = (Flow::default(), Vec::new());
        for (rule, output) in &makers[&stream] {
            if let Some(source) = self.prompt_source(rule, output) {
                if !makers.contains_key(&source) {
                    // Late records are of no time that is known.
                    if source.0 & LATE != 0 {
                        return None;
                    }
                    flow.sources.push(source);
                    continue;
                }
                let of = known.get(&source)?;
                if of.said_by.is_empty() {
                    flow.sources.extend_from_slice(&of.sources);
                    continue;
                }
                passed_on.push((source, stream, rule.number));
            } else if !says_when_done(rule) || output.stream.as_ref()?.declared.time.is_some() {
                return None;
            }
            flow.said_by.push(rule.number);
        }
        flow.sources.sort_unstable();
        flow.sources.dedup();
        Some((flow, passed_on))
    }

    /// The stream of which a rule makes records one by one, at once and with the same time.
    fn prompt_source(&self, rule: &Rule, output: &Output) -> Option<StreamId> {
        if !matches!(rule.kind, Kind::Query(_) | Kind::Lookup(_)) {
            return None;
        }
        let [source] = rule.reads.as_slice() else { return None };
        let declared = &output.stream.as_ref()?.declared;
        let Some(time) = declared.time else { return Some(*source) };
        let field = declared.columns.get(time)?.field;
        let own = output.columns.iter().find(|column| column.field.offset == field.offset)?;
        let source_of = self.declared_streams().iter().find(|stream| stream.id() == *source)?;
        let source_time = source_of.as_stream();
        let times = ["ts_event"].into_iter().chain(source_time.time);
        let mut times = times.filter_map(|name| source_time.column(name));
        times.any(|column| own.program.is_column(column)).then_some(*source)
    }
}

/// Whether a rule says of what it makes that a time has passed.
fn says_when_done(rule: &Rule) -> bool {
    match &rule.kind {
        Kind::Join(_) | Kind::AsOf(_) | Kind::Hold(_) => true,
        Kind::Group(plan) => plan.emit == Emit::Close,
        _ => false,
    }
}
