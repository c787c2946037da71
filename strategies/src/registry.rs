//! Strategies by name, with typed settings: what a configuration can ask for, and the functions
//! that its rules can call. A program that brings its own strategies and functions adds them here.
//!
//! Invariant: a setting is either used by the strategy or refused; a refused one is named.

use std::collections::BTreeMap;
use std::fmt;

use crate::functions::Functions;
use crate::strategy::Strategy;
use crate::{imbalance, layering, stuffing};

/// The value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// An integer.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A text that is no duration.
    Text(String),
    /// A duration in nanoseconds.
    DurationNs(u64),
}

/// The settings of one strategy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    values: BTreeMap<String, ParamValue>,
}

/// Why settings are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamError {
    /// The setting.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

impl std::error::Error for ParamError {}

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.key, self.what)
    }
}

impl Params {
    /// Sets a value.
    pub fn insert(&mut self, key: &str, value: ParamValue) {
        self.values.insert(key.to_owned(), value);
    }

    /// Keys and values in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ParamValue)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The integer `key`, or `default`.
    ///
    /// # Errors
    /// If it is not an integer from 0 up.
    pub fn int(&self, key: &str, default: u64) -> Result<u64, ParamError> {
        match self.values.get(key) {
            None => Ok(default),
            Some(ParamValue::Int(value)) => {
                u64::try_from(*value).map_err(|_| error(key, "must not be negative"))
            }
            Some(_) => Err(error(key, "must be an integer")),
        }
    }

    /// The number `key`, or `default`.
    ///
    /// # Errors
    /// If it is no finite number.
    pub fn float(&self, key: &str, default: f64) -> Result<f64, ParamError> {
        match self.values.get(key) {
            None => Ok(default),
            Some(ParamValue::Float(value)) if value.is_finite() => Ok(*value),
            Some(ParamValue::Int(value)) => Ok(*value as f64),
            Some(_) => Err(error(key, "must be a number")),
        }
    }

    /// The flag `key`, or `default`.
    ///
    /// # Errors
    /// If it is neither `true` nor `false`.
    pub fn bool(&self, key: &str, default: bool) -> Result<bool, ParamError> {
        match self.values.get(key) {
            None => Ok(default),
            Some(ParamValue::Bool(value)) => Ok(*value),
            Some(_) => Err(error(key, "must be true or false")),
        }
    }

    /// The duration `key` in nanoseconds, or `default_ns`.
    ///
    /// # Errors
    /// If it is no duration.
    pub fn duration_ns(&self, key: &str, default_ns: u64) -> Result<u64, ParamError> {
        match self.values.get(key) {
            None => Ok(default_ns),
            Some(ParamValue::DurationNs(value)) => Ok(*value),
            Some(_) => Err(error(key, "must be a duration with its unit, as \"10us\"")),
        }
    }
}

/// An error about one setting, for a strategy's own checks.
#[must_use]
pub fn error(key: &str, what: &str) -> ParamError {
    ParamError { key: key.to_owned(), what: what.to_owned() }
}

/// A setting as it is documented.
#[derive(Copy, Clone, Debug)]
pub struct ParamDoc {
    /// The key.
    pub name: &'static str,
    /// The default as the configuration would spell it.
    pub default: &'static str,
    /// One sentence, with its unit and range.
    pub doc: &'static str,
}

/// Makes a strategy from its settings.
pub type Build = fn(&Params) -> Result<Box<dyn Strategy>, ParamError>;

/// One kind of strategy.
#[derive(Copy, Clone)]
pub struct Factory {
    /// The `type` in a configuration.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// Its settings.
    pub params: &'static [ParamDoc],
    /// Makes one.
    pub build: Build,
}

/// The strategies and functions that a program knows.
#[derive(Clone, Default)]
pub struct Registry {
    factories: Vec<Factory>,
    /// What rules can call besides the language's own functions.
    pub functions: Functions,
}

impl Registry {
    /// The strategies that come with the engine.
    #[must_use]
    pub fn builtin() -> Self {
        let factories = vec![imbalance::FACTORY, layering::FACTORY, stuffing::FACTORY];
        Self { factories, functions: Functions::builtin() }
    }

    /// Adds a strategy; a later one of the same name takes the earlier one's place.
    pub fn add(&mut self, factory: Factory) {
        self.factories.retain(|known| known.name != factory.name);
        self.factories.push(factory);
    }

    /// Every kind of strategy.
    #[must_use]
    pub fn factories(&self) -> &[Factory] {
        &self.factories
    }

    /// Every `type` that a configuration can name.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.factories.iter().map(|factory| factory.name)
    }

    /// Whether `kind` can be made with these settings.
    ///
    /// # Errors
    /// As [`Registry::build`].
    pub fn check(&self, kind: &str, params: &Params) -> Result<(), ParamError> {
        self.build(kind, params).map(drop)
    }

    /// Makes a strategy.
    ///
    /// # Errors
    /// If `kind` is not known, a setting is not one of its own, or it refuses a value.
    pub fn build(&self, kind: &str, params: &Params) -> Result<Box<dyn Strategy>, ParamError> {
        let factory = self.factories.iter().find(|factory| factory.name == kind);
        let factory = factory.ok_or_else(|| error("type", "is not known"))?;
        let known = || factory.params.iter().map(|param| param.name);
        for (key, _) in params.iter() {
            if !known().any(|name| name == key) {
                let list = known().collect::<Vec<_>>().join(", ");
                return Err(error(key, &format!("is no setting of {kind}; it has {list}")));
            }
        }
        (factory.build)(params)
    }
}
