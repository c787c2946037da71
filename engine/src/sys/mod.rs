//! The only modules that may hold `unsafe`: thin, safe faces over what the kernel asks for.
//!
//! Invariant: nothing here knows feeds, records or configuration; each block proves its safety
//! from what is in the same module.

pub mod affinity;
pub mod buf_ring;
pub mod crc;
pub mod disk;
pub mod ethtool;
pub mod fault;
#[cfg(feature = "glommio")]
pub mod glommio;
pub mod poll;
pub mod prefetch;
pub mod recvmmsg;
pub mod segment_map;
pub mod sigbus;
pub mod sockopt;
pub mod udp_send;
pub mod uring;
