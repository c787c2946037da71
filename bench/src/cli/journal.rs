//! `corelane-bench journal`.

use std::path::PathBuf;

use clap::Args;
use corelane_bench::journal::{
    append_against_memcpy, append_while_rolling, ring_mrecords_per_s, ring_ns_one_thread,
};

/// Arguments of `corelane-bench journal`.
#[derive(Args, Debug)]
pub(crate) struct JournalArgs {
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Records per round
    #[arg(long, default_value_t = 4_000_000)]
    records: usize,
    /// Where journals are written: a memory file system
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
}

pub(crate) fn run(args: &JournalArgs) {
    let all = (args.records * 72 + (1 << 20)).next_multiple_of(1 << 20);
    for (segment_bytes, what) in [(all, "one segment"), (64 << 20, "default segments")] {
        let append = append_against_memcpy(&args.dir, segment_bytes, args.records, args.rounds);
        println!(
            "{what}: append / memcpy of the same bytes {:.2} (goal 2); {:.1} ns, {:.1} ns; {} \
             segments late",
            append.ratio, append.append_ns, append.memcpy_ns, append.late
        );
    }
    for (segment_bytes, rolls, pace_ns) in
        [(1 << 20, 200, 1_000), (4 << 20, 100, 200), (64 << 20, 8, 0)]
    {
        let roll = append_while_rolling(&args.dir, segment_bytes, rolls, pace_ns);
        println!(
            "segments of {} MiB, an append every {pace_ns} ns: p99.9 while rolling / steady {:.2} \
             (goal 2)",
            segment_bytes >> 20,
            roll.rolling_ns_p999 as f64 / roll.steady_ns_p999 as f64
        );
        println!("    {roll:?}");
    }
    for slots in [512, 4_096, 65_536] {
        let best = (0..5).map(|_| ring_mrecords_per_s(slots, 256, 5_000_000)).fold(0.0, f64::max);
        println!("ring of {slots} slots: {best:.0} M records/s between two threads (best of 5)");
    }
    println!("ring push and drain on one thread: {:.1} ns", ring_ns_one_thread(64, 10_000_000));
}
