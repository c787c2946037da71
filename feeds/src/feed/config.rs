//! How to read a feed: what its messages are, what carries them, and the names of both.

use std::fmt;
use std::str::FromStr;

use crate::units::Nanos;

macro_rules! names {
    ($type:ident, $what:literal: $($variant:ident = $name:literal,)*) => {
        impl $type {
            /// Every name, as a configuration spells it.
            pub const NAMES: &'static [&'static str] = &[$($name),*];
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $name,)* })
            }
        }
        impl FromStr for $type {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(UnknownName { what: $what, known: Self::NAMES }),
                }
            }
        }
    };
}

/// A name that is none of the known ones.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no known {what}; known are {}", known.join(", "))]
pub struct UnknownName {
    what: &'static str,
    known: &'static [&'static str],
}

/// What a feed's messages are.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// NASDAQ TotalView-ITCH 5.0.
    Itch50,
    /// IEX DEEP 1.0.
    IexDeep10,
    /// IEX TOPS 1.6.
    IexTops16,
}
names! { Protocol, "protocol":
    Itch50 = "itch50", IexDeep10 = "iex-deep10", IexTops16 = "iex-tops16",
}

/// What carries a feed's messages.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// MoldUDP64 datagrams.
    MoldUdp64,
    /// IEX-TP datagrams.
    IexTp,
    /// A SoupBinTCP stream.
    SoupBinTcp,
    /// A file of messages, each behind its two-byte length.
    BinaryFile,
}
names! { Transport, "transport":
    MoldUdp64 = "moldudp64", IexTp = "iextp", SoupBinTcp = "soupbintcp", BinaryFile = "binaryfile",
}

/// How to read a feed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FeedConfig {
    /// The feed's number, in every record's header.
    pub feed: u8,
    /// What its messages are.
    pub protocol: Protocol,
    /// What carries them.
    pub transport: Transport,
    /// Midnight of the session's day, for ITCH; 0 lets times count from 1970-01-01.
    pub midnight: Nanos,
    /// How many lines carry it, 1 to [`crate::sequence::LINES_MAX`].
    pub lines: u8,
    /// Packets held at most while another line may fill a hole.
    pub hold_max: usize,
}

impl FeedConfig {
    /// One line, midnight at 0.
    #[must_use]
    pub const fn new(feed: u8, protocol: Protocol, transport: Transport) -> Self {
        Self { feed, protocol, transport, midnight: Nanos(0), lines: 1, hold_max: 0 }
    }
}
