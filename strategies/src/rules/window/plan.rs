//! From a [`Spec`] to what is kept per key and how results are read from it.
//!
//! Aggregates share what they keep: `sum(x)`, `avg(x)` and `count(x)` one count and one sum.
//!
//! Invariant: state words are given out once, the hottest first; all zero is the state of no rows.

use super::fixed::{SQUARE, SUM};
use super::registers;
use super::spec::{Aggregate, Frame, Function, Spec};
use crate::functions::Aggregator;
use crate::rules::types::Type;

/// Something that is kept per key and can take a row in and, if the frame is bounded, out.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(in crate::rules) enum Kind {
    /// Known values: 1 word.
    Known,
    /// Sum of whole numbers, 128 bits: 2 words.
    Sum,
    /// Sum in fixed point, and how many values were too large: 5 words.
    Wide,
    /// Sum of squares in fixed point: 6 words.
    Square,
    /// What a correlation with another argument needs: rows where both are known, those of them
    /// with a value too large, sums of x, y, x^2, y^2, x y.
    Pair(usize, Type),
    /// Occurrences of each value, in the table of this number: 1 word.
    Distinct(usize),
    /// Occurrences of each bucket, in the sketch of this number: the root of the tree, 1 word.
    Buckets(usize),
    /// Estimate of different values.
    Registers,
    /// Greatest or least value of an unbounded frame: 1 word, an order, beside `Known`.
    Best(bool),
    /// The first value of an unbounded frame: 2 words, `[1 | known << 1] [value]`.
    First,
    /// What an aggregate that Rust brought keeps, with its second argument.
    Custom(Aggregator, Option<usize>),
    /// The value of the first row of a group in order of time, or of the last: 3 words,
    /// `[1 | known << 1] [ts] [value]`.
    Edge(bool),
}

impl Kind {
    /// Words that it takes.
    pub(in crate::rules) fn words(self) -> usize {
        match self {
            Self::Known | Self::Distinct(_) | Self::Buckets(_) | Self::Best(_) => 1,
            Self::Sum | Self::First => 2,
            Self::Edge(_) => 3,
            Self::Wide => SUM + 1,
            Self::Square => SQUARE,
            Self::Pair(..) => 2 + 2 * SUM + 3 * SQUARE,
            Self::Registers => registers::WORDS,
            Self::Custom(function, _) => function.get().words(),
        }
    }
}

/// A [`Kind`] over an argument, and its words.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(in crate::rules) struct Sum {
    pub(in crate::rules) kind: Kind,
    pub(in crate::rules) arg: usize,
    pub(in crate::rules) ty: Type,
    pub(in crate::rules) at: usize,
}

/// A monotone queue for the least or greatest of a bounded frame: 1 word `[front|back]`, and a link
/// word per row.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(in crate::rules) struct Extreme {
    pub(in crate::rules) greatest: bool,
    pub(in crate::rules) arg: usize,
    pub(in crate::rules) ty: Type,
    pub(in crate::rules) at: usize,
}

/// A moving average: 2 words, weighted sum and weight.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(in crate::rules) struct Moving {
    pub(in crate::rules) arg: usize,
    pub(in crate::rules) ty: Type,
    pub(in crate::rules) half_life: f64,
    pub(in crate::rules) at: usize,
}

/// How a result is read.
#[derive(Copy, Clone, Debug)]
pub(in crate::rules) struct Reading {
    pub(in crate::rules) function: Function,
    pub(in crate::rules) arg: usize,
    pub(in crate::rules) ty: Type,
    /// Words of what it reads; for a bounded minimum or maximum, which queue.
    pub(in crate::rules) at: usize,
    /// The word of the count of known values.
    pub(in crate::rules) known: usize,
    /// Words of the sum of squares, or the number of the sketch.
    pub(in crate::rules) more: usize,
    /// Whether there is an argument.
    pub(in crate::rules) has_arg: bool,
}

#[derive(Clone, Debug, Default)]
pub(in crate::rules) struct Plan {
    pub(in crate::rules) sums: Vec<Sum>,
    pub(in crate::rules) extremes: Vec<Extreme>,
    pub(in crate::rules) moving: Vec<Moving>,
    pub(in crate::rules) readings: Vec<Reading>,
    /// Words of a key's state.
    pub(in crate::rules) words: usize,
    /// Tables of distinct values.
    pub(in crate::rules) tables: usize,
    /// Percentile sketches.
    pub(in crate::rules) sketches: usize,
    pub(in crate::rules) bounded: bool,
    /// Groups of rows, which no row looks back on: sums grow and are merged.
    pub(in crate::rules) grouped: bool,
}

/// The scale of a decimal; 0 of other numbers.
pub(in crate::rules) const fn scale(ty: Type) -> u8 {
    if let Type::Decimal(scale) = ty { scale } else { 0 }
}

impl Plan {
    pub(in crate::rules) fn new(spec: &Spec) -> Self {
        Self::made(spec, spec.frame != Frame::Unbounded, false)
    }

    /// What is kept of a group.
    pub(in crate::rules) fn of_group(spec: &Spec) -> Self {
        Self::made(spec, false, true)
    }

    fn made(spec: &Spec, bounded: bool, grouped: bool) -> Self {
        let mut plan = Self { bounded, grouped, ..Self::default() };
        // Counts and plain sums first: they are what most rules read, in the key's first line.
        for aggregate in &spec.aggregates {
            plan.known(spec, aggregate);
        }
        for aggregate in &spec.aggregates {
            let reading = plan.reading(spec, aggregate);
            plan.readings.push(reading);
        }
        plan
    }

    /// Whether removing a key must take its rows out one by one.
    pub(in crate::rules) fn leaves_traces(&self) -> bool {
        self.tables + self.sketches > 0
    }

    fn known(&mut self, spec: &Spec, aggregate: &Aggregate) -> usize {
        use Function as F;
        let Some(&arg) = aggregate.args.first() else { return 0 };
        match aggregate.function {
            F::Count | F::Sum | F::Avg => self.sum(Kind::Known, arg, spec.args[arg]),
            F::StddevSamp | F::StddevPop | F::VarSamp | F::VarPop | F::ZScore => {
                self.sum(Kind::Known, arg, spec.args[arg])
            }
            F::Min | F::Max if !self.bounded => self.sum(Kind::Known, arg, spec.args[arg]),
            _ => 0,
        }
    }

    fn reading(&mut self, spec: &Spec, aggregate: &Aggregate) -> Reading {
        use Function as F;
        let has_arg = !aggregate.args.is_empty();
        let arg = aggregate.args.first().copied().unwrap_or(0);
        let ty = if has_arg { spec.args[arg] } else { Type::Int };
        let known = self.known(spec, aggregate);
        let function = aggregate.function;
        let (at, more) = match function {
            F::FirstValue | F::LastValue if self.grouped => {
                (self.sum(Kind::Edge(function == F::LastValue), arg, ty), 0)
            }
            F::Count | F::RowNumber | F::LastValue | F::Lag(_) => (0, 0),
            F::Sum | F::Avg if ty == Type::Double => (self.sum(Kind::Wide, arg, ty), 0),
            F::Sum | F::Avg => (self.sum(Kind::Sum, arg, ty), 0),
            F::StddevSamp | F::StddevPop | F::VarSamp | F::VarPop | F::ZScore => {
                (self.sum(Kind::Wide, arg, ty), self.sum(Kind::Square, arg, ty))
            }
            F::Min | F::Max => (self.extreme(function == F::Max, arg, ty), 0),
            F::FirstValue if self.bounded => (0, 0),
            F::FirstValue => (self.sum(Kind::First, arg, ty), 0),
            F::ApproxCountDistinct if !self.bounded => (self.sum(Kind::Registers, arg, ty), 0),
            F::CountDistinct | F::ApproxCountDistinct => (self.distinct(arg, ty), 0),
            F::Percentile(_) => self.buckets(arg, ty),
            F::Ewma(half_life) => (self.average(arg, ty, half_life), 0),
            F::Custom(function) => {
                let kind = Kind::Custom(function, aggregate.args.get(1).copied());
                (self.sum(kind, arg, ty), 0)
            }
            F::Corr => {
                let other = aggregate.args[1];
                (self.sum(Kind::Pair(other, spec.args[other]), arg, ty), 0)
            }
        };
        Reading { function, arg, ty, at, known, more, has_arg }
    }

    fn words(&mut self, count: usize) -> usize {
        self.words += count;
        self.words - count
    }

    fn sum(&mut self, kind: Kind, arg: usize, ty: Type) -> usize {
        if let Some(sum) = self.sums.iter().find(|sum| sum.kind == kind && sum.arg == arg) {
            return sum.at;
        }
        let at = self.words(kind.words());
        self.sums.push(Sum { kind, arg, ty, at });
        at
    }

    fn distinct(&mut self, arg: usize, ty: Type) -> usize {
        let same = |sum: &&Sum| matches!(sum.kind, Kind::Distinct(_)) && sum.arg == arg;
        if let Some(sum) = self.sums.iter().find(same) {
            return sum.at;
        }
        self.tables += 1;
        self.sum(Kind::Distinct(self.tables - 1), arg, ty)
    }

    fn buckets(&mut self, arg: usize, ty: Type) -> (usize, usize) {
        for sum in &self.sums {
            if let Kind::Buckets(sketch) = sum.kind
                && sum.arg == arg
            {
                return (sum.at, sketch);
            }
        }
        let sketch = self.sketches;
        self.sketches += 1;
        (self.sum(Kind::Buckets(sketch), arg, ty), sketch)
    }

    fn extreme(&mut self, greatest: bool, arg: usize, ty: Type) -> usize {
        if !self.bounded {
            return self.sum(Kind::Best(greatest), arg, ty);
        }
        let same = |extreme: &Extreme| extreme.greatest == greatest && extreme.arg == arg;
        if let Some(queue) = self.extremes.iter().position(same) {
            return queue;
        }
        let at = self.words(1);
        self.extremes.push(Extreme { greatest, arg, ty, at });
        self.extremes.len() - 1
    }

    fn average(&mut self, arg: usize, ty: Type, half_life: f64) -> usize {
        let same = |moving: &&Moving| moving.arg == arg && moving.half_life == half_life;
        if let Some(moving) = self.moving.iter().find(same) {
            return moving.at;
        }
        let at = self.words(2);
        self.moving.push(Moving { arg, ty, half_life, at });
        at
    }
}
