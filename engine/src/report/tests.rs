//! Text and JSON of a report with something in every part.

use std::time::Duration;

use corelane_feeds::units::Nanos;

use super::text::{grouped, human_bytes};
use super::*;
use crate::latency::{LatencyCollector, Stage};

fn latency() -> LatencyTable {
    let mut collector = LatencyCollector::new(Duration::from_secs(1), Nanos(0));
    let mut recorder = collector.recorder();
    recorder.record_ns(Stage::WireToAction, 7_400);
    drop(recorder);
    collector.finish(Nanos(1)).unwrap()
}

fn report() -> RunReport {
    let socket = SocketReport {
        address: "239.255.7.7:26400".into(),
        rcvbuf_asked: 32 << 20,
        rcvbuf_got: 208 << 10,
        kernel_drops: 17,
    };
    let counts = |counts: &[(&str, u64)]| counts.iter().copied().collect::<Counts>();
    let counters = [("packets", 1_000), ("messages", 35_000), ("records", 35_002), ("gaps", 2)];
    RunReport {
        command: "run".into(),
        name: "demo".into(),
        ended: "SIGINT".into(),
        wall_ns: 2_000_000_000,
        topology: "fused".into(),
        waiting: "spin".into(),
        memory_peak_bytes: Some(225 << 20),
        reactors: vec![ReactorReport {
            name: "reactor 0".into(),
            core: Some(1),
            backend: "socket".into(),
            why: "1 socket is polled fastest by itself".into(),
            sockets: vec![socket],
            counters: counts(&[("datagrams", 1_000), ("rearmed", 0)]),
        }],
        feeds: vec![FeedReport {
            name: "itch".into(),
            protocol: "itch50".into(),
            counters: counts(&counters),
            notes: vec!["rejected line 7".into()],
        }],
        rings: vec![RingReport {
            name: "shard0_egress".into(),
            slots: 65_536,
            occupancy_max: 12,
            ..RingReport::default()
        }],
        shards: vec![ShardReport {
            name: "shard 0".into(),
            records: 35_002,
            actions: 12,
            ..ShardReport::default()
        }],
        strategies: vec![StrategyReport {
            name: "layering".into(),
            kind: "layering".into(),
            rule: 2,
            actions: 12,
            counters: counts(&[("episodes", 12)]),
        }],
        journals: vec![JournalReport {
            dir: "/dev/shm/demo/0".into(),
            durability: "sync",
            durable_by: Some("pwrite and fdatasync".into()),
            last_seq: 35_014,
            last_durable_seq: Some(35_000),
            counters: counts(&[("entries", 35_014)]),
        }],
        sinks: vec![SinkStats {
            name: "file".into(),
            target: "actions.jsonl".into(),
            taken: 12,
            sent: 11,
            dropped: 1,
            last_error: Some("cannot write: No space left on device".into()),
            ..SinkStats::default()
        }],
        latency: latency(),
        files: vec![("latency log".into(), "latency.hlog".into())],
        ..RunReport::default()
    }
}

#[test]
fn the_text_says_what_was_lost_and_why_the_backend() {
    let text = report().to_string();
    let expected = [
        "run demo: SIGINT after 2.000 s, 225 MiB of memory at most\n",
        "  messages              35,000           17,500 /s\n",
        "  LOST: 17 datagrams dropped by the kernel, 2 gaps, 1 actions dropped by sinks\n",
        "wire_to_action              1    7.40 us",
        "reactor 0 on core 1: socket: 1 socket is polled fastest by itself\n",
        "  239.255.7.7:26400: receive buffer 208 KiB of the 32 MiB asked for, 17 dropped",
        "ring shard0_egress: at most 12 of 65,536 slots taken, full 0 times, 0 dropped\n",
        "strategy layering (layering, rule 2): 12 actions\n  episodes 12\n",
        "sink file (actions.jsonl): 11 of 12 actions sent\n  dropped 1\n",
        "  last error: cannot write: No space left on device\n",
        "journal /dev/shm/demo/0, durability sync\n",
        "  durable up to entry 35,000 of 35,014, by pwrite and fdatasync\n",
        "latency log: latency.hlog\n",
    ];
    for part in expected {
        assert!(text.contains(part), "{part}\n---\n{text}");
    }
    assert!(!text.contains("rearmed"), "zeros are left out");
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
}

#[test]
fn the_json_has_every_counter_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    report().write_json(&path).unwrap();
    let json: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(json["reactors"][0]["counters"]["rearmed"], 0);
    assert_eq!(json["reactors"][0]["sockets"][0]["rcvbuf_got"], 208 << 10);
    assert_eq!(json["totals"]["messages"], 35_000);
    assert_eq!(json["totals"]["sink_drops"], 1);
    assert_eq!(json["rates"]["packets_per_s"], 500.0);
    let row = &json["latency"]["rows"][0];
    assert_eq!((&row["stage"], &row["p50_ns"]), (&"wire_to_action".into(), &7_403.into()));
}

#[test]
fn a_run_without_losses_says_so() {
    let report = RunReport::default();
    assert!(report.totals().is_lossless());
    let text = report.to_string();
    assert!(
        text.contains("nothing was lost") && text.contains("no latency was measured"),
        "{text}"
    );
}

#[test]
fn figures_are_readable() {
    assert_eq!([0, 999, 1_000, 12_345_678].map(grouped), ["0", "999", "1,000", "12,345,678"]);
    let bytes = [1_023, 1_536, 32 << 20, 5 << 30].map(human_bytes);
    assert_eq!(bytes, ["1023 bytes", "1.5 KiB", "32 MiB", "5 GiB"]);
    assert!(memory_peak_bytes().is_some_and(|bytes| bytes > 1 << 20));
    let before = process_cpu_ns();
    while process_cpu_ns() == before {}
}
