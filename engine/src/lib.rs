//! The engine: sockets in, records through shards and journals, actions out.
//!
//! Invariant: a hot thread makes no allocation, takes no lock and formats nothing per record once
//! it runs. `unsafe` lives in [`sys`] alone.
#![deny(unsafe_code)]

pub mod capture_file;
pub mod cases;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod egress;
pub mod generate;
pub mod inspect;
pub mod journal;
pub mod latency;
pub mod mold;
pub mod publish;
pub mod reactor;
pub mod recover;
pub mod report;
pub mod rerun;
pub mod ring;
pub mod run;
pub mod shard;
pub mod simulate;
pub mod snapshot;
pub mod sys;

pub use cli::main;
