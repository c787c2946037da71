//! Seeded synthetic sessions: `corelane generate itch`.
//!
//! The generator knows nothing of the decoders and books that later read its output: it keeps its
//! own order book and writes the truth of what it planted beside the capture.

pub(crate) mod emit;
mod flow;
mod market;
mod plan;
mod planter;
mod rng;
pub mod session;
mod side;
mod zipf;

pub use emit::{Counts, MessageSink};
pub use plan::Kind;
pub use planter::Planted;
