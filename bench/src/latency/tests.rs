//! Small versions of all that can be measured: that they work, never how long they take.

use super::*;

fn engine(backend: &str, topology: &str, waiting: &str) -> Side {
    Side::Engine(EngineSetup {
        backend: backend.into(),
        topology: topology.into(),
        waiting: waiting.into(),
    })
}

struct Small {
    dir: tempfile::TempDir,
    cpus: Vec<usize>,
    schedule: Schedule,
}

impl Small {
    fn new(rate: f64) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            cpus: affinity::allowed().unwrap(),
            schedule: Schedule::constant(rate).unwrap(),
        }
    }

    fn setup<'a>(&'a self, side: Side, transport: Transport, path: &'a Path) -> Setup<'a> {
        Setup {
            side,
            transport,
            path,
            groups: 1,
            schedule: &self.schedule,
            time: Duration::from_millis(200),
            warm_up: Duration::from_millis(50),
            kind: Loop::Open,
            engine_cpus: &self.cpus[..1],
            generator_cpu: self.cpus[self.cpus.len() - 1],
            interval: Duration::from_millis(50),
            dir: self.dir.path(),
            stall: None,
            beside: None,
        }
    }
}

/// Loopback needs nothing, and so all sides, transports and ways to wait are measured on it.
#[test]
fn every_side_answers_over_every_transport() {
    let small = Small::new(500.0);
    let path = &Path::Loopback;
    let sides =
        [Side::Floor, engine("socket", "fused", "yield"), engine("auto", "pipelined", "park")];
    for transport in Transport::ALL {
        for side in &sides {
            let window = measure(&small.setup(side.clone(), transport, path)).unwrap();
            let pings = summary(&window.sent);
            assert_eq!((pings.intended.len(), pings.lost), (100, 0), "{side:?} {transport:?}");
            assert!(pings.intended.min() >= pings.sent.min());
            let intervals = intervals(&window, 50_000_000, 0, false);
            assert_eq!(intervals.iter().map(|interval| interval.sent).sum::<u64>(), 100);
            // A generator that was late all the time had no moment to look around.
            let is_watched = window.threads.iter().any(|thread| thread.name == "generator");
            assert!(is_watched || window.sent.looks.len() < 3, "{:?}", window.threads);
            let is_engine = *side != Side::Floor;
            assert_eq!(window.stages.iter().any(|(name, _)| *name == "send"), is_engine);
        }
    }
}

#[test]
fn several_groups_and_a_veth_pair_are_measured() {
    let small = Small::new(500.0);
    let mut setup =
        small.setup(engine("auto", "fused", "park"), Transport::Multicast, &Path::Loopback);
    setup.groups = 3;
    assert_eq!(summary(&measure(&setup).unwrap().sent).lost, 0);
    setup.transport = Transport::Unicast;
    assert!(measure(&setup).unwrap_err().to_string().contains("multicast alone"));
    let path = match Path::veth() {
        Ok(path) => path,
        Err(error) => {
            println!("no veth pair here: {error:#}");
            return;
        }
    };
    for transport in Transport::ALL {
        for side in [Side::Floor, engine("auto", "fused", "park")] {
            let window = measure(&small.setup(side.clone(), transport, &path)).unwrap();
            let pings = summary(&window.sent);
            assert_eq!((pings.intended.len(), pings.lost), (100, 0), "{side:?} {transport:?}");
        }
    }
}

/// The engine stalls for 100 ms: an open loop tells of every message that was to be sent meanwhile,
/// a closed one of the single message that it was waiting for.
#[test]
fn a_stall_is_seen_from_the_intended_time_and_hidden_by_a_closed_loop() {
    let small = Small::new(1_000.0);
    let side = engine("socket", "fused", "yield");
    let mut setup = small.setup(side, Transport::Unicast, &Path::Loopback);
    setup.time = Duration::from_millis(1_000);
    setup.stall = Some(Stall { after: 500, time: Duration::from_millis(100) });
    let open = summary(&measure(&setup).unwrap().sent);
    (setup.kind, setup.warm_up) = (Loop::Closed, Duration::ZERO);
    let closed = summary(&measure(&setup).unwrap().sent);
    assert_eq!((open.lost, closed.lost), (0, 0));
    let slow =
        |times: &hdrhistogram::Histogram<u64>| times.len() - times.count_between(0, 50_000_000);
    let (open_slow, closed_slow) = (slow(&open.intended), slow(&closed.intended));
    assert!(open.intended.value_at_quantile(0.99) >= 50_000_000, "{open_slow} slow ones");
    assert!(open_slow >= 45 && closed_slow >= 1, "{open_slow} and {closed_slow}");
    assert!(open_slow >= 5 * closed_slow, "{open_slow} and {closed_slow}");
}

#[test]
fn rows_have_ratios_to_the_floor_and_keep_what_was_disturbed() {
    let sent = |times: &[u64]| Sent {
        due_ns: (0..times.len() as u64).map(|ping| ping * 1_000).collect(),
        sent_ns: (0..times.len() as u64).map(|ping| ping * 1_000 + 10).collect(),
        answered_ns: times.iter().zip(0..).map(|(time, ping)| time + ping * 1_000).collect(),
        gaps: vec![(2_900, 700)],
        looks: vec![
            Look { at_ns: 0, steal_ns: 0, waited_ns: vec![0] },
            Look { at_ns: 1_900, steal_ns: 0, waited_ns: vec![900_000] },
        ],
    };
    let small = Small::new(1e6);
    let path = Path::Loopback;
    let mut setup = small.setup(Side::Floor, Transport::Multicast, &path);
    setup.interval = Duration::from_micros(2);
    let rows = [(Side::Floor, 100), (engine("socket", "fused", "spin"), 150)];
    let rows = rows.map(|(side, time)| {
        let variant = Variant { name: format!("{time}"), side };
        let mut rounds = Rounds::new(&variant, &setup);
        for round in 0..4 {
            let window = Window {
                sent: sent(&[time, time, time, time + round]),
                watched: vec!["reactor-0".into()],
                ..Window::default()
            };
            rounds.add(&window);
        }
        rounds
    });
    let row = rows[1].finish(Some(&rows[0]));
    let ratio = row.ratio("p50").unwrap();
    assert_eq!((ratio.value, ratio.low, ratio.high, ratio.pairs), (1.5, 1.5, 1.5, 4));
    assert_eq!((row.figure("p50").unwrap().value, ratio.over.as_str()), (150.0, "100"));
    assert_eq!((row.intervals.len(), row.intervals[0].sent), (8, 2));
    assert!(row.intervals[0].disturbed[0].contains("reactor-0 waited 0.90 ms"));
    assert!(row.intervals[1].disturbed[0].contains("off its CPU 1 times"));
    assert_eq!(row.histogram.unwrap().decode().unwrap().len(), 16);
    assert_eq!(row.parameters["waiting"], "spin");
}
