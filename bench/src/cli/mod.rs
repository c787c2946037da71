//! The subcommands: arguments, the rounds, the table.

pub(crate) mod replay;
