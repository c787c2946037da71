//! Gates: small pieces of hot work, each of which may take no more instructions than it did.
//!
//! ```text
//! GATES ──> bench/gates/benches/gates.rs   counted by callgrind (gungraun): --check, --update
//!       └─> bench/gates/benches/micro.rs   timed by criterion
//! ```
//!
//! One definition serves both. A gate makes its work with everything around it; [`Work::reset`]
//! puts back what a run used up, and [`Work::run`] alone is counted or timed.
//!
//! Invariant: a run after a reset does the same operations whenever and wherever it runs, and its
//! result depends on all of them.
//!
//! ```
//! let gate = corelane_bench::gates::find("ring_hop").unwrap();
//! let mut work = gate.prepare();
//! let first = work.run();
//! work.reset();
//! assert_eq!(work.run(), first);
//! ```

mod book;
mod feed;
mod moves;
mod path;
mod rules;
pub mod verdict;

/// The environment that gates are counted in. Without it glibc picks its copying functions by CPU,
/// and a machine with wider vectors counts fewer instructions.
pub const ENVIRONMENT: [(&str, &str); 2] = [
    ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-ERMS,-FSRM"),
    (crate::stat::UNTIMED, "1"),
];

/// Something that can be done over and over.
pub trait Work {
    /// Puts back what the last run used up. Not counted.
    fn reset(&mut self) {}

    /// Does all operations once; returns what they came to.
    fn run(&mut self) -> u64;
}

/// A piece of hot work.
pub struct Gate {
    /// What it is called in results.
    pub name: &'static str,
    /// Operations of a run: figures are per operation.
    pub operations: u64,
    make: fn() -> Box<dyn Work>,
}

impl Gate {
    /// The work, ready for its first run.
    #[must_use]
    pub fn prepare(&self) -> Box<dyn Work> {
        let mut work = (self.make)();
        work.reset();
        work
    }
}

/// The gate of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Gate> {
    GATES.iter().find(|gate| gate.name == name)
}

const fn gate(name: &'static str, operations: usize, make: fn() -> Box<dyn Work>) -> Gate {
    Gate { name, operations: operations as u64, make }
}

/// A decoder gate: one message type.
macro_rules! decode {
    ($name:literal, $kind:literal) => {
        gate($name, feed::MESSAGES, || feed::decode($kind))
    };
}

/// All of them.
pub const GATES: &[Gate] = &[
    gate("ring_hop", moves::RECORDS, moves::ring_hop),
    gate("journal_append", moves::RECORDS, moves::journal_append),
    gate("histogram_record", moves::RECORDS, moves::histogram_record),
    decode!("decode_system_event", b'S'),
    decode!("decode_stock_directory", b'R'),
    decode!("decode_trading_action", b'H'),
    decode!("decode_reg_sho", b'Y'),
    decode!("decode_market_participant", b'L'),
    decode!("decode_mwcb_decline", b'V'),
    decode!("decode_mwcb_status", b'W'),
    decode!("decode_ipo_quotation", b'K'),
    decode!("decode_luld_collar", b'J'),
    decode!("decode_operational_halt", b'h'),
    decode!("decode_add_order", b'A'),
    decode!("decode_add_order_mpid", b'F'),
    decode!("decode_order_executed", b'E'),
    decode!("decode_order_executed_price", b'C'),
    decode!("decode_order_cancel", b'X'),
    decode!("decode_order_delete", b'D'),
    decode!("decode_order_replace", b'U'),
    decode!("decode_trade", b'P'),
    decode!("decode_cross_trade", b'Q'),
    decode!("decode_broken_trade", b'B'),
    decode!("decode_net_order_imbalance", b'I'),
    decode!("decode_retail_interest", b'N'),
    decode!("decode_direct_listing", b'O'),
    gate("book_add", book::ORDERS, || book::work(book::Change::Add)),
    gate("book_execute", book::ORDERS, || book::work(book::Change::Execute)),
    gate("book_cancel", book::ORDERS, || book::work(book::Change::Cancel)),
    gate("book_replace", book::ORDERS, || book::work(book::Change::Replace)),
    gate("book_delete", book::ORDERS, || book::work(book::Change::Delete)),
    gate("rule_none", rules::EVENTS, || rules::work(&rules::NONE)),
    gate("rule_filter", rules::EVENTS, || rules::work(&rules::FILTER)),
    gate("rule_velocity", rules::EVENTS, || rules::work(&rules::VELOCITY)),
    gate("rule_tumble", rules::EVENTS, || rules::work(&rules::TUMBLE)),
    gate("rule_hop", rules::EVENTS, || rules::work(&rules::HOP)),
    gate("rule_session", rules::EVENTS, || rules::work(&rules::SESSION)),
    gate("rule_pattern", rules::EVENTS, || rules::work(&rules::PATTERN)),
    gate("rule_match_recognize", rules::EVENTS, || rules::work(&rules::MATCH_RECOGNIZE)),
    gate("rule_interval_join", rules::EVENTS, || rules::work(&rules::INTERVAL_JOIN)),
    gate("rule_latest_join", rules::EVENTS, || rules::work(&rules::LATEST_JOIN)),
    gate("rule_lookup", rules::EVENTS, || rules::work(&rules::LOOKUP)),
    gate("rule_in_table", rules::EVENTS, || rules::work(&rules::IN_TABLE)),
    gate("rules_hundred", rules::EVENTS, rules::hundred),
    gate("path_decode", path::MESSAGES, || path::work(crate::stages::Stage::Decode)),
    gate("path_book", path::MESSAGES, || path::work(crate::stages::Stage::Book)),
    gate("path_decide", path::MESSAGES, || path::work(crate::stages::Stage::Decide)),
    gate("path_all", path::MESSAGES, || path::work(crate::stages::Stage::All)),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What gungraun needs spelled out is what is here.
    #[test]
    fn every_gate_is_counted() {
        let counted = include_str!("../../gates/benches/gates.rs");
        for gate in GATES {
            let line = format!("#[bench::{0}(\"{0}\")]", gate.name);
            assert!(counted.contains(&line), "{line} is missing");
        }
        assert_eq!(counted.matches("#[bench::").count(), GATES.len());
    }

    /// What is counted is built as what is shipped.
    #[test]
    fn gates_have_the_release_profile() {
        let profile = |manifest: &'static str| {
            let lines = manifest.lines().skip_while(|line| *line != "[profile.release]");
            let settings = lines.skip(1).take_while(|line| line.contains(" = "));
            settings.collect::<Vec<_>>()
        };
        let shipped = profile(include_str!("../../../Cargo.toml"));
        assert!(shipped.len() > 3, "{shipped:?}");
        assert_eq!(profile(include_str!("../../gates/Cargo.toml")), shipped);
    }

    #[test]
    fn every_gate_does_the_same_after_a_reset() {
        for gate in GATES {
            let mut work = gate.prepare();
            let results = [(); 2].map(|()| {
                let result = work.run();
                work.reset();
                result
            });
            assert_eq!(results[0], results[1], "{}", gate.name);
            assert_ne!(results[0], 0, "{}", gate.name);
        }
    }
}
