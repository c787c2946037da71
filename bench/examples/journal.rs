//! Prints what the journal and the rings cost here: `cargo run --release -p corelane-bench
//! --example journal [DIR]`. DIR is where journals are written, by default the memory file system.

use corelane_bench::journal::{
    append_against_memcpy, append_while_rolling, ring_mrecords_per_s, ring_ns_one_thread,
};

fn main() {
    let dir = std::env::args_os().nth(1).unwrap_or_else(|| "/dev/shm".into());
    let dir = std::path::Path::new(&dir);
    for (segment_bytes, what) in [(512 << 20, "one segment"), (64 << 20, "default segments")] {
        let append = append_against_memcpy(dir, segment_bytes, 4_000_000, 11);
        println!(
            "{what}: append {:.1} ns, memcpy {:.1} ns, ratio {:.2} (goal 2), {} segments late",
            append.append_ns, append.memcpy_ns, append.ratio, append.late
        );
    }
    for (segment_bytes, rolls, pace_ns) in
        [(1 << 20, 200, 1_000), (4 << 20, 100, 200), (64 << 20, 8, 0)]
    {
        let roll = append_while_rolling(dir, segment_bytes, rolls, pace_ns);
        let ratio = roll.rolling_ns_p999 as f64 / roll.steady_ns_p999 as f64;
        println!("segments of {} MiB, an append every {pace_ns} ns: {roll:?}", segment_bytes >> 20);
        println!("    p99.9 while rolling / steady {ratio:.2} (goal 2)");
    }
    for slots in [512, 4_096, 65_536] {
        let best = (0..5).map(|_| ring_mrecords_per_s(slots, 256, 5_000_000)).fold(0.0, f64::max);
        println!("ring of {slots} slots: {best:.0} M records/s between two threads (best of 5)");
    }
    println!("ring push and drain on one thread: {:.1} ns", ring_ns_one_thread(64, 10_000_000));
}
