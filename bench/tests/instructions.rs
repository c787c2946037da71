//! The count of instructions, small. Bounds are those of release builds, so here it is only shown
//! that a count comes out, that it repeats, and that a stage more takes more.

use std::path::Path;

use corelane_bench::instructions::{is_available, per_message};
use corelane_bench::stages::Stage;

#[test]
fn counts_repeat_and_grow_with_the_work() {
    if !is_available() {
        println!("valgrind is not installed: skipped");
        return;
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_corelane-bench"));
    let count = |stage| per_message(binary, stage, 20_000).unwrap();
    let (decode, again, book) = (count(Stage::Decode), count(Stage::Decode), count(Stage::Book));
    assert!((decode - again).abs() <= decode * 0.01, "{decode} and {again}");
    assert!(decode > 10.0 && book > decode, "{decode}, {book}");
}
