//! Puts a capture on the wire: `corelane publish`.
//!
//! UDP payloads go out unchanged, to the group they were captured on or to another, paced against a
//! fixed start; messages of a file are packed into MoldUDP64 first, or served over SoupBinTCP.
//!
//! ```text
//! capture ──> source ──> schedule ──wait──> line A, B (faults) ──> sender (sendmmsg, GSO)
//!                 └────> SoupBinTCP server ──> clients
//! ```

mod args;
mod faults;
mod pace;
mod publisher;
mod report;
mod sender;
pub mod soup;
mod source;

pub use args::PublishArgs;
pub use faults::{FaultCounts, Faults};
pub use pace::{Anchor, Pace, Schedule};
pub use report::Report;
