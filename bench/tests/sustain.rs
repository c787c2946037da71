//! The benchmark of live rates, small: two processes over loopback multicast.

use std::path::Path;

use corelane_bench::sustain::{Capture, Plan, hold};

/// Whether nothing is lost at this rate is up to the machine; that nothing is lost silently is not.
#[test]
fn every_message_is_received_or_counted() {
    let dir = tempfile::tempdir().unwrap();
    let capture = Capture::create(20_000, dir.path()).unwrap();
    let plan = Plan {
        binary: Path::new(env!("CARGO_BIN_EXE_corelane-bench")),
        rate: 40_000.0,
        seconds: 1.0,
        backend: "auto",
        engine_cpu: None,
        publisher_cpu: None,
        dir: dir.path(),
    };
    let held = hold(&plan, &capture).unwrap();
    assert_eq!(held.published, 40_000);
    assert!(held.is_lossless() || held.kernel_drops > 0 || held.missing > 0, "{held:?}");
    assert!(held.received + held.missing <= held.published, "{held:?}");
    assert!(held.memory_peak_bytes > 0 && held.rcvbuf_bytes > 0, "{held:?}");
}
