//! Every gate counted by callgrind: `scripts/bench --check` runs this and compares. The names must
//! be spelled out for gungraun; a test holds them to `corelane_bench::gates::GATES`.

use corelane_bench::gates::{ENVIRONMENT, Work, find};
use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};

/// Never freed: what it costs to take down is not what is counted.
fn prepare(name: &str) -> &'static mut dyn Work {
    Box::leak(find(name).expect("a gate of this name").prepare())
}

#[library_benchmark(setup = prepare)]
#[bench::ring_hop("ring_hop")]
#[bench::journal_append("journal_append")]
#[bench::histogram_record("histogram_record")]
#[bench::decode_system_event("decode_system_event")]
#[bench::decode_stock_directory("decode_stock_directory")]
#[bench::decode_trading_action("decode_trading_action")]
#[bench::decode_reg_sho("decode_reg_sho")]
#[bench::decode_market_participant("decode_market_participant")]
#[bench::decode_mwcb_decline("decode_mwcb_decline")]
#[bench::decode_mwcb_status("decode_mwcb_status")]
#[bench::decode_ipo_quotation("decode_ipo_quotation")]
#[bench::decode_luld_collar("decode_luld_collar")]
#[bench::decode_operational_halt("decode_operational_halt")]
#[bench::decode_add_order("decode_add_order")]
#[bench::decode_add_order_mpid("decode_add_order_mpid")]
#[bench::decode_order_executed("decode_order_executed")]
#[bench::decode_order_executed_price("decode_order_executed_price")]
#[bench::decode_order_cancel("decode_order_cancel")]
#[bench::decode_order_delete("decode_order_delete")]
#[bench::decode_order_replace("decode_order_replace")]
#[bench::decode_trade("decode_trade")]
#[bench::decode_cross_trade("decode_cross_trade")]
#[bench::decode_broken_trade("decode_broken_trade")]
#[bench::decode_net_order_imbalance("decode_net_order_imbalance")]
#[bench::decode_retail_interest("decode_retail_interest")]
#[bench::decode_direct_listing("decode_direct_listing")]
#[bench::book_add("book_add")]
#[bench::book_execute("book_execute")]
#[bench::book_cancel("book_cancel")]
#[bench::book_replace("book_replace")]
#[bench::book_delete("book_delete")]
#[bench::rule_none("rule_none")]
#[bench::rule_filter("rule_filter")]
#[bench::rule_velocity("rule_velocity")]
#[bench::rule_tumble("rule_tumble")]
#[bench::rule_hop("rule_hop")]
#[bench::rule_session("rule_session")]
#[bench::rule_pattern("rule_pattern")]
#[bench::rule_match_recognize("rule_match_recognize")]
#[bench::rule_interval_join("rule_interval_join")]
#[bench::rule_latest_join("rule_latest_join")]
#[bench::rule_lookup("rule_lookup")]
#[bench::rule_in_table("rule_in_table")]
#[bench::rules_hundred("rules_hundred")]
#[bench::path_decode("path_decode")]
#[bench::path_book("path_book")]
#[bench::path_decide("path_decide")]
#[bench::path_all("path_all")]
fn gate(work: &'static mut dyn Work) -> u64 {
    work.run()
}

library_benchmark_group!(name = gates, benchmarks = gate);

main!(
    config = LibraryBenchmarkConfig::default()
        .envs(ENVIRONMENT)
        .tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = gates
);
