//! How much goes through: live over loopback multicast without a loss, and replayed as fast as it
//! goes; what it costs a packet and how much memory it takes.
//!
//! Both processes of a live measurement are `corelane` as users run it: this crate's binary behaves
//! as `corelane` when [`AS_CORELANE`] is set, so that no second binary has to be found.
//!
//! Invariant: a rate counts only if every message that was published was received, nobody counted a
//! loss, and the publisher kept its schedule.

mod live;
pub(crate) mod process;
mod replay;
mod search;

pub use live::{Capture, Held, Plan, hold, hold_then};
pub use process::AS_CORELANE;
pub use replay::{Replayed, Topology, replay};
pub use search::{Search, highest};
