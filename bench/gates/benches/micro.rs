//! Every gate timed by criterion: `scripts/bench --micro [NAME]`. Times are wall times on whatever
//! machine this is; the gates' counts are what is compared.

use std::time::{Duration, Instant};

use corelane_bench::gates::{GATES, Gate};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn time(criterion: &mut Criterion, gate: &'static Gate) {
    let mut group = criterion.benchmark_group("gates");
    group.throughput(Throughput::Elements(gate.operations));
    group.sample_size(20).warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
    group.bench_function(gate.name, |bencher| {
        let mut work = gate.prepare();
        bencher.iter_custom(|runs| {
            let mut time = Duration::ZERO;
            for _ in 0..runs {
                work.reset();
                let begin = Instant::now();
                std::hint::black_box(work.run());
                time += begin.elapsed();
            }
            time
        });
    });
    group.finish();
}

fn all(criterion: &mut Criterion) {
    GATES.iter().for_each(|gate| time(criterion, gate));
}

criterion_group!(gates, all);
criterion_main!(gates);
