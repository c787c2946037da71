//! What a window is asked to keep: frame, arguments, aggregates, bounds.
//!
//! Invariant: a [`Spec`] that [`Spec::check`] lets through can be run without further questions.

use crate::functions::Aggregator;
use crate::rules::types::Type;

/// Argument columns that a row can have.
pub(super) const ARGS_MAX: usize = 16;
/// Rows that LAG can look back.
const LAG_MAX: u32 = 1024;
/// Words of a key.
const KEY_WORDS_MAX: usize = 64;

/// The rows that a row looks at. Every frame ends with the row itself.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Rows at most so many nanoseconds older, that bound included.
    Range(u64),
    /// So many rows before it, in order of arrival.
    Rows(u64),
    /// Every row of the key that came so far.
    Unbounded,
}

/// What is computed over a frame.
///
/// NULL arguments count as absent, except for the functions that name one row: `FirstValue`,
/// `LastValue` and `Lag` give the NULL that they find. Without any known argument a result is NULL,
/// a count 0.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Function {
    /// Rows, or known values of an argument.
    Count,
    /// Different known values, exactly.
    CountDistinct,
    /// Different known values: exactly where the frame keeps its rows, estimated where it is
    /// unbounded.
    ApproxCountDistinct,
    /// The sum, of the argument's type.
    Sum,
    /// The mean: DOUBLE of integers and doubles, an interval of intervals, DECIMAL of at least
    /// scale 6 of decimals (half away from zero).
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// Standard deviation of a sample; NULL below two values.
    StddevSamp,
    /// Standard deviation of a population.
    StddevPop,
    /// Variance of a sample; NULL below two values.
    VarSamp,
    /// Variance of a population.
    VarPop,
    /// The argument of the frame's first row.
    FirstValue,
    /// The argument of the row itself.
    LastValue,
    /// The argument so many rows before, NULL if the frame begins later: give it `Rows` of at least
    /// as many.
    Lag(u32),
    /// The value of rank `floor(p * (n - 1))`, `p` from 0 to 1, within 0.4%; integers (and
    /// decimals, in their last digit) below 128 exactly.
    Percentile(f64),
    /// The mean weighted by `2^(-age / half-life)`, the half-life in nanoseconds. It runs on for as
    /// long as the frame does not become empty, so rows that left the frame count with the little
    /// weight they have left; a late row is weighed by its age and sees the mean as of the newest.
    /// Doubles of 2^94 and more are passed over.
    Ewma(f64),
    /// How many sample deviations the row's argument lies from the frame's mean; NULL if all
    /// values are equal.
    ZScore,
    /// Pearson's correlation of two arguments over rows where both are known; NULL if either does
    /// not vary.
    Corr,
    /// The row's number in its frame, from 1.
    RowNumber,
    /// One that Rust brought.
    Custom(Aggregator),
}

/// One function over some of the argument columns.
#[derive(Clone, PartialEq, Debug)]
pub struct Aggregate {
    /// What is computed.
    pub function: Function,
    /// Which argument columns: none for `RowNumber`, none or one for `Count`, two for `Corr`, one
    /// for the others.
    pub args: Vec<usize>,
    /// The type of the first of them.
    pub arg_type: Option<Type>,
}

impl Aggregate {
    /// The type of its result.
    #[must_use]
    pub fn result_type(&self) -> Type {
        use Function as F;
        let arg = self.arg_type.unwrap_or(Type::Int);
        match (self.function, arg) {
            (F::Count | F::CountDistinct | F::ApproxCountDistinct | F::RowNumber, _) => Type::Int,
            (F::Avg, Type::Int) => Type::Double,
            (F::Avg, Type::Decimal(scale)) => Type::Decimal(scale.max(6)),
            (F::StddevSamp | F::StddevPop | F::VarSamp | F::VarPop, _) => Type::Double,
            (F::Ewma(_) | F::ZScore | F::Corr, _) => Type::Double,
            (F::Custom(function), _) => function.get().signature().result,
            _ => arg,
        }
    }
}

/// A window over the rows of each key.
#[derive(Clone, PartialEq, Debug)]
pub struct Spec {
    /// Words of the partition key, compared bit by bit.
    pub key_words: usize,
    /// Which rows a row looks at.
    pub frame: Frame,
    /// Nanoseconds that a row may be behind the newest of its key, in a RANGE frame, and still see
    /// all that it should. Rows are kept so much longer.
    pub lateness: u64,
    /// Argument columns kept with every row, at most 16. A text is whatever word the caller gives
    /// for it: equal texts must have equal words, and words ordered as unsigned if the least or
    /// greatest is asked for (up to 8 bytes, big-endian).
    pub args: Vec<Type>,
    /// What is computed, in the order of the results.
    pub aggregates: Vec<Aggregate>,
    /// Keys at a time.
    pub keys_max: usize,
    /// Rows of all keys together. An unbounded frame keeps none, but one for each distinct value
    /// that it counts and a bucket for each range of values of a percentile.
    pub rows_max: usize,
}

/// Why a window cannot be run.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// `keys_max` or `rows_max` is 0 or more than can be addressed.
    #[error("a window needs room for 1 to 2^27 keys and rows")]
    Room,
    /// The key is too long.
    #[error("a partition key has at most 512 bytes")]
    Key,
    /// Too many argument columns.
    #[error("a window keeps at most 16 argument columns")]
    Args,
    /// An aggregate's arguments are not those that its function takes.
    #[error("aggregate {index} takes other arguments")]
    Arity {
        /// Which aggregate.
        index: usize,
    },
    /// An argument has a type that the function does not take.
    #[error("aggregate {index} does not take {found}")]
    Type {
        /// Which aggregate.
        index: usize,
        /// The argument's type.
        found: Type,
    },
    /// A percentile outside 0 to 1, a half-life that is not positive, a lag above 1024.
    #[error("aggregate {index} has a parameter outside its bounds")]
    Parameter {
        /// Which aggregate.
        index: usize,
    },
    /// LAG needs a frame that keeps rows.
    #[error("aggregate {index} needs a ROWS or RANGE frame")]
    Frame {
        /// Which aggregate.
        index: usize,
    },
    /// Rows cannot be taken out of it again.
    #[error("aggregate {index} cannot take rows out: it needs a frame without a bound")]
    Retract {
        /// Which aggregate.
        index: usize,
    },
    /// The system has not so much memory.
    #[error("no memory for the window's keys and rows")]
    Memory,
}

impl Spec {
    /// Whether it can be run.
    ///
    /// # Errors
    /// Why not.
    pub(in crate::rules) fn check(&self) -> Result<(), SpecError> {
        let room = 1..=1 << 27;
        if !room.contains(&self.keys_max) || !room.contains(&self.rows_max) {
            return Err(SpecError::Room);
        }
        if self.key_words > KEY_WORDS_MAX {
            return Err(SpecError::Key);
        }
        if self.args.len() > ARGS_MAX {
            return Err(SpecError::Args);
        }
        (0..self.aggregates.len()).try_for_each(|index| self.check_aggregate(index))
    }

    fn check_aggregate(&self, index: usize) -> Result<(), SpecError> {
        use Function as F;
        let aggregate = &self.aggregates[index];
        let arity = match aggregate.function {
            F::RowNumber => 0..=0,
            F::Count => 0..=1,
            F::Corr => 2..=2,
            F::Custom(function) => {
                let count = function.get().signature().args.len();
                count..=count
            }
            _ => 1..=1,
        };
        let known = aggregate.args.iter().all(|&arg| arg < self.args.len());
        if !arity.contains(&aggregate.args.len()) || !known {
            return Err(SpecError::Arity { index });
        }
        let mut types = aggregate.args.iter().map(|&arg| self.args[arg]);
        if let (Some(said), Some(is)) = (aggregate.arg_type, types.clone().next())
            && said != is
        {
            return Err(SpecError::Type { index, found: is });
        }
        let takes = |ty: Type| match aggregate.function {
            F::Sum | F::Avg | F::Percentile(_) => ty.is_number() || ty == Type::Interval,
            F::StddevSamp | F::StddevPop | F::VarSamp | F::VarPop => ty.is_number(),
            F::Ewma(_) | F::ZScore | F::Corr => ty.is_number(),
            _ => true,
        };
        if let Some(found) = types.find(|&ty| !takes(ty)) {
            return Err(SpecError::Type { index, found });
        }
        let parameter = match aggregate.function {
            F::Percentile(p) => (0.0..=1.0).contains(&p),
            F::Ewma(half_life) => half_life.is_finite() && half_life > 0.0,
            F::Lag(rows) => rows <= LAG_MAX,
            _ => true,
        };
        if !parameter {
            return Err(SpecError::Parameter { index });
        }
        if let F::Custom(function) = aggregate.function
            && !function.get().can_remove()
            && self.frame != Frame::Unbounded
        {
            return Err(SpecError::Retract { index });
        }
        if matches!(aggregate.function, F::Lag(_)) && self.frame == Frame::Unbounded {
            return Err(SpecError::Frame { index });
        }
        Ok(())
    }
}
