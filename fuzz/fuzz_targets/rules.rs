//! Hostile text into the rule language: it is compiled or refused, and what compiles can be made
//! ready, placed on shards and explained.
#![no_main]

use corelane_strategies::rules::{RuleSet, Rules, Shares};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut set = RuleSet::new();
    let mut load = |_: &str| Ok("id,a,b\n1,2,3\n2,x,\n".to_owned());
    if set.add_with("fuzz.sql", text, &mut load).is_ok() && set.len() < 4 {
        let placement = set.placement(1);
        let _ = (set.misplaced(&placement), set.states(&placement).count());
        let shares = Shares::new(&placement, 3);
        let _ = (Rules::on_shard(&set, shares, 1), set.explain(Some(&placement)));
    }
});
