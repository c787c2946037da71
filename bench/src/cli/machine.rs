//! What the machine is and did, under every table.

use corelane_bench::results::{MachineState, Results};

/// Prints the machine and what it did besides.
pub(crate) fn print(results: &Results) {
    let machine = &results.machine;
    let hypervisor = match machine.hypervisor.as_str() {
        "" => String::new(),
        hypervisor => format!(", {hypervisor}"),
    };
    println!(
        "\n{}, {} CPUs{hypervisor}, Linux {}, clock {}",
        machine.cpu_model, machine.cpus, machine.kernel, machine.clocksource
    );
    results.states.iter().for_each(state);
}

fn state(state: &MachineState) {
    let span = state.span_ns.max(1) as f64;
    print!("{:7} load {:.1}", state.when, state.load);
    for cpu in &state.cpus {
        let share = |ns: u64| ns as f64 * 100.0 / span;
        print!(
            "; CPU {}: busy {:.0} %, stolen {:.1} %",
            cpu.cpu,
            share(cpu.busy_ns),
            share(cpu.steal_ns)
        );
        if let Some(spin) = cpu.spin {
            let lost = spin.lost_ns as f64 * 100.0 / spin.wall_ns.max(1) as f64;
            let longest = spin.max_ns as f64 / 1e6;
            print!(", a spinning thread lost {lost:.1} %, longest gap {longest:.2} ms");
        }
    }
    println!();
}
