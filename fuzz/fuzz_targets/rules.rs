//! Hostile text into the rule language: it is compiled or refused, and what compiles can be made
//! ready and explained.
#![no_main]

use corelane_strategies::rules::{RuleSet, Rules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut set = RuleSet::new();
    if set.add("fuzz.sql", text).is_ok() && set.len() < 4 {
        let _ = (Rules::new(&set), set.explain());
    }
});
