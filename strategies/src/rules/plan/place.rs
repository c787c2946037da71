//! Which shard runs a rule for a record, when there are several.
//!
//! Feeds give every record to the shard that owns its instrument or key. A rule whose state is by
//! that key finds all of a key's rows there. A rule by another key is run where that key's rows are
//! brought together: reactors send a record to the shards that own its other keys, too. A rule
//! whose rows have no key in common runs on the first shard alone.
//!
//! ```text
//! key of the state           home     where the record goes besides its own shard
//! the stream's own, or none  Own      nowhere
//! another                    Key(i)   the shard that owns the other key
//! several, or derived rows   One      the first shard
//! ```
//!
//! Invariant: all rows that share state meet in one shard; what a rule derives is made where every
//! rule that keeps state of it runs.

use corelane_feeds::declared;
use corelane_feeds::record::{FLAG_EXCHANGED, Record, StreamId};
use corelane_feeds::schema::SqlType;
use zerocopy::IntoBytes;

use super::{Kind, Program, Rule, RuleSet};
use crate::rules::catalog::{Column, LATE, Stream};
use crate::rules::expr::{Node, Typed};
use crate::rules::key::KeyProgram;
use crate::rules::program::Machine;

/// The high byte of the streams that books publish, and of what is said of feeds.
const BOOKS: u16 = 0x03;
const SYSTEM: u16 = 0x00;
/// Keys by which records are sent on; rules by more run on one shard.
const EXCHANGES_MAX: usize = 60;
/// Bits of a [`Shares::homes`]: a rule's own shard, the first shard, always, and the exchanges.
const OWN: u64 = 1;
const ONE: u64 = 2;
pub(in crate::rules) const EVERYWHERE: u64 = 1 << 63;
const FIRST_EXCHANGE: u32 = 2;

/// What a rule keeps its state of a stream by.
#[derive(Clone, Debug)]
pub(in crate::rules) struct StateKey {
    pub(in crate::rules) stream: Stream,
    /// Without their places.
    pub(in crate::rules) parts: Vec<(Typed, Program)>,
}

/// Where a rule runs.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Home {
    /// Where its records are.
    Own,
    /// On the first shard.
    One,
    /// Where the records of an exchange meet.
    Key(usize),
}

/// The key of a stream's records.
type Keyed = (StreamId, Vec<(Typed, Program)>);

/// Records of some streams by keys of equal types.
#[derive(Clone, Debug)]
struct Exchange {
    streams: Vec<Keyed>,
}

impl PartialEq for Exchange {
    fn eq(&self, other: &Self) -> bool {
        let keys = |exchange: &Self| {
            let streams = exchange.streams.iter();
            streams.map(|(id, parts)| (*id, typed(parts).len())).collect::<Vec<_>>()
        };
        let mut streams = self.streams.iter().zip(&other.streams);
        keys(self) == keys(other) && streams.all(|(a, b)| typed(&a.1) == typed(&b.1))
    }
}

/// Where the rules of a set run.
#[derive(Clone, Debug)]
pub struct Placement {
    homes: Vec<Home>,
    exchanges: Vec<Exchange>,
    /// Streams that rules on the first shard read.
    one: Vec<StreamId>,
}

impl Placement {
    /// Whether records go to other shards than their own.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.homes.iter().any(|home| *home != Home::Own)
    }

    /// The streams that are sent on.
    fn sent(&self) -> impl Iterator<Item = StreamId> {
        let keyed = self.exchanges.iter().flat_map(|exchange| &exchange.streams);
        keyed.map(|(stream, _)| *stream).chain(self.one.iter().copied())
    }

    /// Whether another placement sends the same records to the same shards.
    #[must_use]
    pub fn sends_as(&self, other: &Self) -> bool {
        (&self.exchanges, &self.one) == (&other.exchanges, &other.one)
    }

    /// Where a rule runs, in words.
    pub(super) fn explain(&self, rule: usize, set: &RuleSet) -> String {
        let names = |streams: &[Keyed]| {
            let name = |id: &StreamId| set.catalog.by_id(*id).map_or("", |schema| schema.name);
            streams.iter().map(|(id, _)| name(id)).collect::<Vec<_>>().join(", ")
        };
        match self.homes.get(rule) {
            Some(Home::One) => "runs on the first shard: its rows have no key in common".to_owned(),
            Some(Home::Key(at)) => {
                let sent = self.exchanges.get(*at).map_or_else(String::new, |e| names(&e.streams));
                format!("runs on every shard; {sent}: sent to the shard that owns the rule's key")
            }
            _ => "runs on every shard".to_owned(),
        }
    }
}

impl RuleSet {
    /// Where its rules run on several shards, with so many feeds of venues.
    #[must_use]
    pub fn placement(&self, venues: usize) -> Placement {
        Placing { set: self, venues, homes: Vec::new(), exchanges: Vec::new() }.run()
    }

    /// The rules that keep state: the name, whether it is by the key by which its records come to
    /// shards, and the streams that it comes from in the end.
    pub fn states(
        &self,
        placement: &Placement,
    ) -> impl Iterator<Item = (&'static str, bool, Vec<StreamId>)> {
        let placing = Placing { set: self, venues: 0, homes: Vec::new(), exchanges: Vec::new() };
        let rules = self.rules.iter().zip(placement.homes.clone());
        rules.filter(|(rule, _)| !rule.state.is_empty()).map(move |(rule, home)| {
            let mut streams = rule.reads.clone();
            let mut at = 0;
            while let Some(&stream) = streams.get(at) {
                at += 1;
                for maker in placing.makers(stream) {
                    let reads = self.rules.get(maker).map_or(&[][..], |rule| &rule.reads);
                    let new: Vec<StreamId> =
                        reads.iter().copied().filter(|id| !streams.contains(id)).collect();
                    streams.extend(new);
                }
            }
            streams.retain(|stream| stream.0 >> 8 != SYSTEM && !placing.is_made(*stream));
            (rule.name, home == Home::Own, streams)
        })
    }

    /// A rule that would need records on another shard than the one where books make them, and
    /// their stream.
    #[must_use]
    pub fn misplaced(&self, placement: &Placement) -> Option<(&'static str, &'static str)> {
        for (rule, home) in self.rules.iter().zip(&placement.homes) {
            let of_books = |id: &&StreamId| id.0 >> 8 == BOOKS;
            if let (true, Some(id)) = (*home != Home::Own, rule.reads.iter().find(of_books)) {
                return Some((rule.name, self.catalog.by_id(*id)?.name));
            }
        }
        None
    }
}

/// A part of a key by which records come to shards.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct OwnPart {
    /// Its place in the key.
    at: usize,
    sql: SqlType,
    /// Declared streams and venues spread their keys each in a way of its own.
    is_declared: bool,
}

struct Placing<'a> {
    set: &'a RuleSet,
    venues: usize,
    homes: Vec<Home>,
    exchanges: Vec<Exchange>,
}

impl Placing<'_> {
    fn run(mut self) -> Placement {
        for rule in &self.set.rules {
            let home = self.home(rule);
            self.homes.push(home);
        }
        while self.gather() {}
        let mut one = Vec::new();
        for (rule, home) in self.set.rules.iter().zip(&self.homes) {
            let base = rule.reads.iter().filter(|id| id.0 >> 8 != SYSTEM && !self.is_made(**id));
            if *home == Home::One {
                one.extend(base);
            }
        }
        one.sort_unstable();
        one.dedup();
        Placement { homes: self.homes, exchanges: self.exchanges, one }
    }

    /// The rules that make a stream's records.
    fn makers(&self, stream: StreamId) -> impl Iterator<Item = usize> {
        let is_late = stream.0 & LATE != 0;
        let makes = move |rule: &Rule| {
            if is_late {
                // What comes too late for a window of groups or a join.
                let of = StreamId(stream.0 & !LATE);
                let tells = matches!(
                    rule.kind,
                    Kind::Group(_) | Kind::Join(_) | Kind::AsOf(_) | Kind::Hold(_)
                );
                return tells && rule.reads.contains(&of);
            }
            let mut made = rule.kind.outputs().iter().filter(|output| !output.is_action);
            made.any(|output| output.schema.stream == stream)
        };
        let rules = self.set.rules.iter().enumerate();
        rules.filter(move |(_, rule)| makes(rule)).map(|(at, _)| at)
    }

    fn is_made(&self, stream: StreamId) -> bool {
        self.makers(stream).next().is_some()
    }

    /// Where a rule could run by itself.
    fn home(&mut self, rule: &Rule) -> Home {
        if rule.state.is_empty() || self.is_own(rule) {
            return Home::Own;
        }
        if rule.state.iter().any(|key| self.is_made(key.stream.schema.stream)) {
            return Home::One;
        }
        let Some(streams) = common(rule) else { return Home::One };
        let exchange = Exchange { streams };
        if let Some(at) = self.exchanges.iter().position(|known| *known == exchange) {
            return Home::Key(at);
        }
        if self.exchanges.len() == EXCHANGES_MAX {
            return Home::One;
        }
        self.exchanges.push(exchange);
        Home::Key(self.exchanges.len() - 1)
    }

    /// Whether the rows of every state have the key by which their streams come to shards.
    fn is_own(&self, rule: &Rule) -> bool {
        let mut first: Option<Vec<OwnPart>> = None;
        rule.state.iter().all(|key| {
            let Some(places) = self.own_places(key) else { return false };
            !compares(rule) || *first.get_or_insert_with(|| places.clone()) == places
        })
    }

    /// Which parts of a key are those by which the stream's records come to shards.
    fn own_places(&self, key: &StateKey) -> Option<Vec<OwnPart>> {
        let stream = key.stream.schema.stream;
        let is_declared = declared::is_declared(stream);
        let place = |column: Column| {
            let at = key.parts.iter().position(|(typed, _)| typed.node == Node::Column(column))?;
            Some(OwnPart { at, sql: column.sql, is_declared })
        };
        if stream.0 & LATE != 0 {
            return None;
        }
        let mut declared = self.set.catalog.streams().iter();
        let Some(declared) = declared.find(|known| known.id() == stream) else {
            let named = |name| key.stream.column(name).and_then(place);
            let own = ["instrument", "symbol", "order_ref"].into_iter().find_map(named)?;
            // Venues number instruments and orders each for itself.
            let is_one = self.venues < 2 || named("feed").is_some();
            return is_one.then(|| vec![own]);
        };
        if self.is_made(stream) {
            return self.made_places(key, place);
        }
        let columns = declared.declared.key.iter().filter_map(|&at| {
            let name = declared.declared.columns.get(at)?.field.name;
            key.stream.column(name)
        });
        let places: Option<Vec<_>> = columns.map(place).collect();
        places.filter(|places| !places.is_empty())
    }

    /// The same of a stream that rules make: its rows are where the rows are that they were made
    /// from.
    fn made_places(
        &self,
        key: &StateKey,
        place: impl Fn(Column) -> Option<OwnPart>,
    ) -> Option<Vec<OwnPart>> {
        let stream = key.stream.schema.stream;
        let mut all: Option<Vec<OwnPart>> = None;
        for maker in self.makers(stream) {
            let rule = self.set.rules.get(maker)?;
            let [source] = rule.reads.as_slice() else { return None };
            let mut declared = self.set.catalog.streams().iter();
            let declared = declared.find(|known| known.id() == *source)?;
            if self.is_made(*source) || declared.declared.key.is_empty() {
                return None;
            }
            let mut places = Vec::new();
            for &at in &declared.declared.key {
                let name = declared.declared.columns.get(at)?.field.name;
                let column = declared.as_stream().column(name)?;
                let outputs = rule.kind.outputs().iter().filter(|o| o.schema.stream == stream);
                let mut columns = outputs.flat_map(|output| &output.columns);
                let kept = columns.find(|made| made.program.is_column(column))?;
                places.push(place(key.stream.column(kept.field.name)?)?);
            }
            if *all.get_or_insert_with(|| places.clone()) != places {
                return None;
            }
        }
        all
    }

    /// Brings rules to the first shard whose rows others there need; whether there were any.
    fn gather(&mut self) -> bool {
        let mut moved = false;
        for at in 0..self.homes.len() {
            let Some(rule) = self.set.rules.get(at) else { continue };
            let mut makers: Vec<usize> =
                rule.reads.iter().flat_map(|stream| self.makers(*stream)).collect();
            makers.retain(|&maker| maker != at);
            if makers.is_empty() || rule.state.is_empty() && self.homes[at] != Home::One {
                continue;
            }
            let is_one = self.homes[at] == Home::One;
            if !is_one && makers.iter().all(|&maker| self.homes[maker] == Home::Own) {
                continue;
            }
            for rule in makers.into_iter().chain([at]) {
                moved |= self.homes[rule] != Home::One;
                self.homes[rule] = Home::One;
            }
        }
        moved
    }
}

/// The parts that all keys of each stream have; `None` if there are none, or two streams have
/// others. Keys that are compared part by part are to be the same ones.
fn common(rule: &Rule) -> Option<Vec<Keyed>> {
    let mut streams: Vec<Keyed> = Vec::new();
    for key in &rule.state {
        let id = key.stream.schema.stream;
        match streams.iter_mut().find(|(known, _)| *known == id) {
            Some((_, parts)) if compares(rule) => {
                if typed(parts) != typed(&key.parts) {
                    return None;
                }
            }
            Some((_, parts)) => {
                parts.retain(|(part, _)| key.parts.iter().any(|(other, _)| other == part));
            }
            None => streams.push((id, key.parts.clone())),
        }
    }
    let types = |(_, parts): &Keyed| parts.iter().map(|(part, _)| part.ty).collect::<Vec<_>>();
    let first = types(streams.first()?);
    let is_alike = streams.iter().all(|stream| types(stream) == first);
    (is_alike && !first.is_empty()).then_some(streams)
}

/// Whether the keys of its states stand for one another, part by part.
fn compares(rule: &Rule) -> bool {
    matches!(rule.kind, Kind::Join(_) | Kind::AsOf(_) | Kind::Pattern(_))
}

/// What the parts of a key mean.
fn typed(parts: &[(Typed, Program)]) -> Vec<&Typed> {
    parts.iter().map(|(typed, _)| typed).collect()
}

/// Where the rows of a placement's streams go: what reactors send by, and shards run by.
#[derive(Clone, Debug)]
pub struct Shares {
    shards: usize,
    streams: Vec<Sent>,
    homes: Vec<Home>,
    machine: Machine,
    key: Vec<u64>,
}

/// What is sent on of a stream.
#[derive(Clone, Debug)]
struct Sent {
    id: StreamId,
    to_one: bool,
    keys: Vec<(usize, KeyProgram)>,
}

impl Shares {
    /// For so many shards; `None` if no record goes to another shard than its own.
    #[must_use]
    pub fn new(placement: &Placement, shards: usize) -> Option<Self> {
        if shards < 2 || !placement.is_needed() {
            return None;
        }
        let mut ids: Vec<StreamId> = placement.sent().collect();
        ids.sort_unstable();
        ids.dedup();
        let mut words = 0;
        let mut sent = |id: StreamId| {
            let mut keys = Vec::new();
            for (at, exchange) in placement.exchanges.iter().enumerate() {
                for (_, parts) in exchange.streams.iter().filter(|(stream, _)| *stream == id) {
                    let parts = parts.iter().map(|(typed, program)| (program.clone(), typed.ty));
                    let key = KeyProgram::new(parts.collect());
                    words = words.max(key.words());
                    keys.push((at, key));
                }
            }
            Sent { id, to_one: placement.one.contains(&id), keys }
        };
        let streams = ids.into_iter().map(&mut sent).collect();
        let homes = placement.homes.clone();
        Some(Self { shards, streams, homes, machine: Machine::default(), key: vec![0; words] })
    }

    /// The shards, a bit each, that need a record besides the one that owns its instrument.
    #[inline]
    pub fn shards(&mut self, record: &Record) -> u64 {
        let mut shards = 0;
        self.each(record, |_, shard| shards |= 1 << shard);
        shards
    }

    /// The homes, a bit each, that a shard is for a record.
    #[inline]
    pub(in crate::rules) fn homes(&mut self, record: &Record, shard: usize) -> u64 {
        let header = &record.header;
        let is_sent = header.flags & FLAG_EXCHANGED != 0;
        // What concerns no instrument goes to every shard: the first one decides.
        let is_own = !is_sent && (header.instrument != 0 || shard == 0);
        let mut homes = EVERYWHERE | if is_own { OWN } else { 0 };
        if header.stream.0 >> 8 == SYSTEM {
            return homes | if shard == 0 { ONE } else { 0 };
        }
        self.each(record, |home, to| homes |= if to == shard { home } else { 0 });
        homes
    }

    /// The home of a rule.
    pub(in crate::rules) fn home_of(&self, rule: usize) -> u64 {
        match self.homes.get(rule) {
            Some(Home::One) => ONE,
            Some(Home::Key(at)) => 1 << (*at as u32 + FIRST_EXCHANGE),
            _ => OWN,
        }
    }

    /// Every home to which a record is sent, with its shard.
    #[inline]
    fn each(&mut self, record: &Record, mut each: impl FnMut(u64, usize)) {
        let Self { shards, streams, machine, key, .. } = self;
        let id = record.header.stream;
        let Some(sent) = streams.iter().find(|sent| sent.id == id) else { return };
        if sent.to_one {
            each(ONE, 0);
        }
        for (at, program) in &sent.keys {
            let Some(key) = key.get_mut(..program.words()) else { continue };
            program.fill(machine, record.as_bytes(), key);
            each(1 << (*at as u32 + FIRST_EXCHANGE), owner(key, *shards));
        }
    }
}

/// The shard that owns a key.
#[inline]
fn owner(key: &[u64], shards: usize) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: &u64| {
        let hash = (hash ^ word).wrapping_mul(ODD);
        hash ^ (hash >> 32)
    };
    let hash = key.iter().fold(0, mix).wrapping_mul(ODD);
    ((u128::from(hash) * shards as u128) >> 64) as usize
}
