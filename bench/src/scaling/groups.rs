//! Wire to action by the number of multicast groups that one reactor receives, for each backend.

use std::time::{Duration, Instant};

use super::Extent;
use crate::latency::{
    self, EngineSetup, Loop, Path, Rounds, Schedule, Setup, Side, Transport, Variant,
};
use crate::results::{Measurement, Point};

/// Messages a second: far below what any of them can take.
const RATE: f64 = 5_000.0;
const BACKENDS: [&str; 2] = ["socket", "uring"];

/// One row: a backend with so many groups, or the floor.
struct Row {
    variant: Variant,
    backend: &'static str,
    groups: u64,
    rounds: Rounds,
}

pub(super) fn measure(extent: &Extent<'_>) -> anyhow::Result<Vec<Measurement>> {
    let schedule = Schedule::constant(RATE)?;
    let path = Path::Loopback;
    let engine_cpus = [extent.cpus.0];
    let setup = Setup {
        side: Side::Floor,
        transport: Transport::Multicast,
        path: &path,
        groups: 1,
        schedule: &schedule,
        time: Duration::from_secs_f64((extent.messages as f64 / RATE).clamp(0.01, 1.0)),
        warm_up: Duration::from_millis(if extent.messages < 1_000 { 20 } else { 250 }),
        kind: Loop::Open,
        engine_cpus: &engine_cpus,
        generator_cpu: extent.cpus.1,
        interval: Duration::from_millis(100),
        dir: extent.dir,
        stall: None,
        beside: None,
    };
    let floor = Variant { name: "scaling/groups/floor".into(), side: Side::Floor };
    let rounds = Rounds::new(&floor, &setup);
    let mut rows = vec![Row { variant: floor, backend: "", groups: 1, rounds }];
    for groups in extent.points(&[1, 2, 4, 8, 16, 32, 64]) {
        for backend in BACKENDS {
            let waiting = if extent.messages < 1_000 { "park" } else { "spin" };
            let engine = EngineSetup {
                backend: backend.into(),
                topology: "fused".into(),
                waiting: waiting.into(),
            };
            let name = format!("scaling/groups/{backend}/{groups}");
            let variant = Variant { name, side: Side::Engine(engine) };
            let setup = Setup { groups: groups as usize, ..setup.clone() };
            let rounds = Rounds::new(&variant, &setup);
            rows.push(Row { variant, backend, groups, rounds });
        }
    }
    let mut refused: Vec<Measurement> = Vec::new();
    let begun = Instant::now();
    for round in 0..extent.rounds_max.max(1) {
        if round > 0 && begun.elapsed() >= extent.budget {
            break;
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for place in order {
            let Row { variant, groups, rounds, .. } = &mut rows[place];
            if refused.iter().any(|row| row.name == variant.name) {
                continue;
            }
            let setup =
                Setup { side: variant.side.clone(), groups: *groups as usize, ..setup.clone() };
            match latency::measure(&setup) {
                Ok(window) => rounds.add(&window),
                Err(error) if place == 0 => return Err(error),
                Err(error) => {
                    let mut row = Measurement::new(&variant.name);
                    row.unavailable = Some(format!("{error:#}"));
                    refused.push(row);
                }
            }
        }
    }
    let finish = |row: &Row| {
        if let Some(refused) = refused.iter().find(|refused| refused.name == row.variant.name) {
            return refused.clone();
        }
        let is_floor = row.backend.is_empty();
        let mut measurement = row.rounds.finish((!is_floor).then_some(&rows[0].rounds));
        if is_floor {
            return measurement;
        }
        let curve = format!("groups-{}", row.backend);
        let x = row.groups as f64;
        measurement.point = Some(Point { curve, axis: "groups".to_owned(), x });
        let one = rows.iter().find(|one| one.backend == row.backend && one.groups == 1);
        if let Some(one) = one.filter(|_| row.groups > 1) {
            let over = row.rounds.finish(Some(&one.rounds)).ratios;
            measurement.ratios.extend(over.into_iter().filter(|ratio| ratio.figure == "p50"));
        }
        measurement
    };
    Ok(rows.iter().map(finish).collect())
}
