//! `corelane-bench decode`.

use std::hint::black_box;

use clap::Args;
use corelane_bench::decode::{UNKNOWN_TO_ITCHY, decoder_alone, itchy, ours, ours_with_books};
use corelane_bench::session::Session;
use corelane_bench::stages::Framing;
use corelane_bench::stat::{Variant, in_turns};

/// Arguments of `corelane-bench decode`.
#[derive(Args, Debug)]
pub(crate) struct DecodeArgs {
    /// Messages of the session
    #[arg(long, default_value_t = 2_000_000)]
    messages: u64,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 15)]
    rounds: usize,
}

pub(crate) fn run(args: &DecodeArgs) -> anyhow::Result<()> {
    let session = &Session::generate(args.messages)?.without(UNKNOWN_TO_ITCHY);
    let same = decoder_alone(session).1 == itchy(session)?.1;
    anyhow::ensure!(same, "the decoders disagree");
    let mut variants = vec![
        Variant::new("itchy", || Ok(black_box(itchy(session)?).0)),
        Variant::new("decoder alone", || Ok(black_box(decoder_alone(session)).0)),
    ];
    for (framing, what) in [(Framing::File, "messages"), (Framing::Mold, "datagrams")] {
        let decode = move || Ok(black_box(ours(session, framing)).0);
        variants.push(Variant::new(format!("feed, {what}"), decode));
    }
    for (framing, what) in [(Framing::File, "messages"), (Framing::Mold, "datagrams")] {
        let books = move || Ok(ours_with_books(session, framing));
        variants.push(Variant::new(format!("feed, {what}, + L3 book + bbo"), books));
    }
    let rounds = in_turns(args.rounds, variants)?;
    println!("{} messages in memory, {} rounds in turns, CPU time", session.count, args.rounds);
    println!("{:32}{:>8}{:>12}{:>20}", "", "ns", "M msg/s", "x itchy's msg/s");
    for (i, name) in rounds.names().iter().enumerate() {
        let ns = rounds.median(i);
        println!("{name:32}{ns:>8.1}{:>12.2}{:>20.2}", 1e3 / ns, rounds.ratio(0, i));
    }
    Ok(())
}
