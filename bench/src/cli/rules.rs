//! `corelane-bench rules`.

use clap::Args;
use corelane::sys::affinity;
use corelane_bench::cep::events::{Events, Query};
use corelane_bench::cep::ours::Ours;
use corelane_bench::many_rules::{Shape, compile_seconds, measure, text};
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
    /// Instead, numbers of rules over one stream, of which few can fire: `10,100,1000,10000`
    #[arg(long, value_delimiter = ',')]
    counts: Vec<usize>,
    /// Which shapes those rules have
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Shape::ALL)]
    shapes: Vec<Shape>,
}

pub(crate) fn run(args: &RulesArgs) -> anyhow::Result<()> {
    if let Some(cpu) = args.cpu {
        affinity::pin(cpu)?;
    }
    if !args.counts.is_empty() {
        return many(args);
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

/// The cost of a record and of compiling, by the number of rules.
fn many(args: &RulesArgs) -> anyhow::Result<()> {
    println!("{} records a pass, {} rounds in turns, CPU time", args.events, args.rounds);
    for &shape in &args.shapes {
        println!("\n{}, such as: {}", shape.name(), example(shape));
        println!("{:>8}{:>14}{:>12}{:>14}", "rules", "ns/record", "x first", "compiled in s");
        let rounds = measure(shape, &args.counts, args.events, args.rounds)?;
        for (i, &count) in args.counts.iter().enumerate() {
            let seconds = compile_seconds(&text(shape, count))?;
            println!(
                "{count:>8}{:>14.1}{:>12.2}{seconds:>14.3}",
                rounds.median(i),
                rounds.ratio(i, 0)
            );
        }
    }
    Ok(())
}

fn example(shape: Shape) -> String {
    let text = text(shape, 2);
    text.rsplit("WHERE ").next().unwrap_or_default().trim_end_matches(";\n").to_owned()
}
