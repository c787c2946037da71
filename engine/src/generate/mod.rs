//! Seeded synthetic feeds: `corelane generate itch`, `corelane generate payments`.
//!
//! The generator knows nothing of the decoders and books that later read its output: it keeps its
//! own order book and writes the truth of what it planted beside the capture.

mod args;
pub(crate) mod emit;
mod flow;
mod market;
mod output;
pub mod payments;
mod plan;
mod planter;
pub(crate) mod rng;
pub mod session;
mod side;
mod truth;
mod zipf;

pub(crate) use args::duration;
pub use args::{GenerateArgs, ItchArgs};
pub use emit::{Counts, MessageSink};
pub use plan::Kind;
pub use planter::Planted;
