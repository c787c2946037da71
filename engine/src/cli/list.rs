//! `corelane list`: feeds, streams, strategies, functions and sinks, from the same tables that the
//! engine uses.

use std::io::Write;

use clap::{Args, ValueEnum};
use corelane_feeds::feed::Protocol;
use corelane_feeds::schema::{HEADER_FIELDS, Schema};
use corelane_feeds::text::Format;
use corelane_strategies::registry::Registry;
use corelane_strategies::rules::FUNCTIONS;

/// What to list.
#[derive(Copy, Clone, Debug, ValueEnum)]
enum Topic {
    /// Protocols that a feed can have
    Feeds,
    /// Record streams with their columns, types and offsets
    Streams,
    /// Strategies with their settings
    Strategies,
    /// Functions of the rule language
    Functions,
    /// Receivers of actions
    Sinks,
}

/// Arguments of `corelane list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    #[arg(value_enum)]
    topic: Topic,
}

/// Prints the list.
///
/// # Errors
/// If stdout cannot be written.
pub fn run(args: &ListArgs, registry: &Registry, out: &mut impl Write) -> anyhow::Result<()> {
    match args.topic {
        Topic::Feeds => {
            for name in Protocol::NAMES {
                writeln!(out, "{name}")?;
            }
            for (name, _) in Format::NAMES {
                writeln!(out, "{name}  lines of a declared stream")?;
            }
        }
        Topic::Streams => {
            let actions = corelane_strategies::action::ALL;
            for schema in corelane_feeds::streams::ALL.iter().chain(actions) {
                write_schema(out, schema)?;
            }
        }
        Topic::Strategies => {
            for factory in registry.factories() {
                writeln!(out, "{}: {}", factory.name, factory.doc)?;
                for param in factory.params {
                    writeln!(out, "    {} = {}  {}", param.name, param.default, param.doc)?;
                }
            }
        }
        Topic::Functions => {
            for function in FUNCTIONS {
                writeln!(out, "{}\n    {}", function.signature, function.doc)?;
            }
            for signature in registry.functions.signatures() {
                writeln!(out, "{signature}\n    {}", signature.doc)?;
            }
        }
        Topic::Sinks => {
            writeln!(out, "file  path: appends")?;
            writeln!(out, "tcp   address: connects, and again when the peer went away")?;
            writeln!(out, "udp   address: one datagram an action")?;
        }
    }
    Ok(())
}

fn write_schema(out: &mut impl Write, schema: &Schema) -> anyhow::Result<()> {
    writeln!(out, "{} ({} bytes):{}", schema.name, schema.bytes, schema.doc)?;
    for field in HEADER_FIELDS.iter().chain(schema.columns()) {
        writeln!(out, "    {:>3}  {} {}", field.offset, field.name, field.sql)?;
    }
    Ok(())
}
