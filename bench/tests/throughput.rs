//! Rates live and replayed, small: processes over loopback multicast, and over captures.

use std::path::Path;
use std::time::Duration;

use corelane_bench::scaling::{Curve, Extent, measure};
use corelane_bench::throughput::{Capture, Plan, Topology, hold, replay};

const BINARY: &str = env!("CARGO_BIN_EXE_corelane-bench");

/// Whether nothing is lost at this rate is up to the machine; that nothing is lost silently is not.
#[test]
fn every_message_is_received_or_counted() {
    let dir = tempfile::tempdir().unwrap();
    let capture = Capture::create(20_000, dir.path()).unwrap();
    let plan = Plan {
        binary: Path::new(BINARY),
        rate: 40_000.0,
        seconds: 1.0,
        backend: "auto",
        waiting: "park",
        engine_cpu: None,
        publisher_cpu: None,
        dir: dir.path(),
        perf: true,
    };
    let held = hold(&plan, &capture).unwrap();
    assert_eq!(held.published, 40_000);
    assert!(held.is_lossless() || held.kernel_drops > 0 || held.missing > 0, "{held:?}");
    assert!(held.received + held.missing <= held.published, "{held:?}");
    assert!(held.memory_peak_bytes > 0 && held.rcvbuf_bytes > 0, "{held:?}");
    assert!(held.cpu_ns > 0 && held.datagrams > 0 && held.bytes > held.datagrams, "{held:?}");
    assert!(held.threads.iter().any(|thread| thread.name == "reactor-0"), "{held:?}");
}

#[test]
fn a_replay_has_every_message_whatever_the_threads() {
    let dir = tempfile::tempdir().unwrap();
    let capture = &Capture::create(20_000, dir.path()).unwrap();
    for (path, topology) in [
        (capture.file(), Topology::Fused),
        (capture.pcap(), Topology::Fused),
        (capture.pcap(), Topology::Pipelined(2)),
    ] {
        let source = (capture, path.as_path());
        let replayed = replay(Path::new(BINARY), source, topology, None, dir.path()).unwrap();
        assert_eq!(replayed.messages, 20_000);
        assert!(replayed.wall_ns > 0.0 && replayed.cpu_ns > 0.0, "{replayed:?}");
    }
}

#[test]
fn the_curve_of_shards_has_its_points() {
    let dir = tempfile::tempdir().unwrap();
    let extent = Extent {
        budget: Duration::ZERO,
        rounds_max: 2,
        messages: 20_000,
        x_max: 1,
        binary: Path::new(BINARY),
        cpus: (0, 0),
        dir: dir.path(),
    };
    let rows = measure(Curve::Shards, &extent).unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["scaling/shards/fused", "scaling/shards/1"]);
    assert_eq!(rows[1].ratio("wall").unwrap().over, "scaling/shards/fused");
    assert!(rows.iter().all(|row| row.figure("cpu").is_some_and(|cpu| cpu.value > 0.0)));
}
