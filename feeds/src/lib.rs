//! Bytes to records: captures, transports, venue protocols, and the one record format that rings,
//! journals, rules and exports share.
//!
//! Invariant: this crate does no I/O, starts no thread and reads no clock or environment. The same
//! bytes in the same order give the same records, on any machine, live or replayed.
//!
//! ```
//! use corelane_feeds::record::{Stamp, View};
//! use corelane_feeds::streams::itch::AddOrder;
//! use corelane_feeds::units::{Nanos, Seq, Symbol};
//!
//! let mut add = AddOrder::new(Stamp { seq: Seq(7), ts_event: Nanos(1), ..Stamp::default() }, 0);
//! add.order_ref = 42;
//! add.symbol = Symbol::new("AAPL");
//! let record = add.as_record();
//! assert_eq!(record.header.seq, Seq(7));
//! assert_eq!(record.view::<AddOrder>().unwrap().order_ref, 42);
//! ```
#![forbid(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("records are little-endian in memory, in the journal and on the wire");

pub mod capture;
pub mod declared;
pub mod detect;
pub mod feed;
pub mod iex;
pub mod iextp;
pub mod itch50;
pub mod moldudp64;
pub mod record;
pub mod schema;
pub mod sequence;
pub mod soupbintcp;
pub mod streams;
pub mod text;
pub mod units;
