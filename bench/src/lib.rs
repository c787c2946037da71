//! Ratios: the engine against floors, peers and its own earlier commits, interleaved on one
//! machine.
//!
//! Invariant: every figure is of work whose result is used, and every benchmark has a small version
//! that runs with the tests.

pub mod cep;
pub mod compare;
pub mod decode;
pub mod durable;
pub mod gates;
pub mod host;
pub mod journal;
pub mod latency;
mod listen;
pub mod many_rules;
pub mod perf;
pub mod recovery;
pub mod report;
pub mod results;
pub mod scaling;
pub mod session;
pub mod stages;
pub mod stat;
pub mod threads;
pub mod throughput;
