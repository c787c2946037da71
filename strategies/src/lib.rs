//! Records to actions: the strategy trait, the chain that runs strategies over records, order
//! books, and the strategies that come with the engine.
//!
//! Invariant: this crate does no I/O, starts no thread and reads no clock or environment. The same
//! records in the same order give the same actions.
#![forbid(unsafe_code)]

pub mod action;
pub mod book;
pub mod chain;
pub mod diagnostics;
pub mod functions;
pub mod imbalance;
pub mod kept;
pub mod keyed;
pub mod layering;
pub mod memory;
pub mod meter;
pub mod outbox;
pub mod registry;
pub mod rules;
pub mod state;
pub mod strategy;
pub mod stuffing;
