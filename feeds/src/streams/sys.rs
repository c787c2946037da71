//! Streams that the transports and the engine make themselves: sessions, gaps, ticks.
//!
//! Invariant: they are records like any other, so that a replay meets them where the live run did.
//! Every shard receives them.

use crate::stream;
use crate::units::{Char, Seq};

stream! {
    /// A feed's session began: its first packet, a new session name, or a restart of the same one.
    /// Its sequence number is the first message's that is wanted.
    Session = 0x0001, "sys.session", 64 {
        /// The session's name on the wire.
        id: Char<16>,
        /// Names this session in action ids: the same wherever the same packets are decoded.
        key: u32,
        /// How often this feed's session restarted under one name before.
        generation: u32,
        /// Padding.
        _pad: Char<8>,
    }
}

stream! {
    /// A feed lost messages for good.
    Gap = 0x0002, "sys.gap", 64 {
        /// The first sequence number that is missing.
        first: Seq,
        /// How many are missing.
        count: u64,
        /// Padding.
        _pad: Char<16>,
    }
}

stream! {
    /// Time went on while a feed was silent: injected by the reactor, journalled.
    Tick = 0x0003, "sys.tick", 64 {
        /// Padding.
        _pad: Char<32>,
    }
}

stream! {
    /// The feed said that its session is over.
    EndOfSession = 0x0004, "sys.end_of_session", 64 {
        /// Padding.
        _pad: Char<32>,
    }
}

stream! {
    /// Rules changed from here on: made by a shard, journalled, so that a replay of the journal
    /// changes them at the same record.
    RuleChange = 0x0005, "sys.rule_change", 64 {
        /// `suspend` one rule, `reload` all.
        what: Char<8>,
        /// Which rule is suspended.
        rule: u32,
        /// How often rules were reloaded so far, this time included.
        reloads: u32,
        /// Names the rules' text: its CRC-64 and length.
        text: u64,
        /// Padding.
        _pad: Char<8>,
    }
}
