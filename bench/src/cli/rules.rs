//! `corelane-bench rules`.

use clap::Args;
use corelane::sys::affinity;
use corelane_bench::cep::events::{Events, Query};
use corelane_bench::cep::ours::Ours;
use corelane_bench::stat::{Variant, in_turns, per_item};

/// Nothing but the shard's loop.
const BARE: &str = "CREATE STREAM events (account BIGINT NOT NULL, amount BIGINT NOT NULL)
    WITH (key = 'account');";
/// One record in a hundred passes.
const FILTER: &str = "CREATE STREAM events (account BIGINT NOT NULL, amount BIGINT NOT NULL)
    WITH (key = 'account');
    CREATE ACTION found (account BIGINT, twice BIGINT);
    INSERT INTO found SELECT account, 2 * amount FROM events WHERE amount > 9900;";

/// Arguments of `corelane-bench rules`.
#[derive(Args, Debug)]
pub(crate) struct RulesArgs {
    /// Records of a pass
    #[arg(long, default_value_t = 700_000)]
    events: usize,
    /// Passes before anything is measured: windows are then full
    #[arg(long, default_value_t = 2)]
    warm: u64,
    /// Measured passes of each, in turns
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// CPU to run on
    #[arg(long)]
    cpu: Option<usize>,
}

pub(crate) fn run(args: &RulesArgs) -> anyhow::Result<()> {
    if let Some(cpu) = args.cpu {
        affinity::pin(cpu)?;
    }
    let velocity = Events::generate(Query::Velocity, args.events);
    let pattern = Events::generate(Query::Pattern, args.events);
    let rules = [
        ("bare loop of a shard", BARE, &velocity),
        ("filter and project", FILTER, &velocity),
        ("velocity, 100,000 keys", Query::Velocity.rules(), &velocity),
        ("three-step pattern", Query::Pattern.rules(), &pattern),
    ];
    let mut variants = Vec::new();
    for (name, text, events) in rules {
        let mut ours = match Ours::with_rules(text, events) {
            Ok(ours) => ours,
            Err(error) => {
                println!("{name}: {}", error.to_string().lines().next().unwrap_or_default());
                continue;
            }
        };
        let mut passes = 0;
        let mut pass = move || {
            passes += 1;
            per_item(events.list.len(), || ours.pass((passes - 1) * events.span_ms))
        };
        (0..args.warm).for_each(|_| {
            pass();
        });
        variants.push(Variant::new(name, move || Ok(pass())));
    }
    let rounds = in_turns(args.rounds, variants)?;
    println!("{} records a pass, {} rounds in turns, CPU time", args.events, args.rounds);
    println!("{:26}{:>12}{:>16}{:>10}", "", "ns/record", "above bare", "x bare");
    for (i, name) in rounds.names().iter().enumerate() {
        let above = rounds.median(i) - rounds.median(0);
        println!("{name:26}{:>12.1}{above:>16.1}{:>10.2}", rounds.median(i), rounds.ratio(i, 0));
    }
    Ok(())
}
