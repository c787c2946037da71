//! The subcommands: arguments, the rounds, the table.

pub(crate) mod cep;
pub(crate) mod decode;
pub(crate) mod instructions;
pub(crate) mod journal;
pub(crate) mod replay;
pub(crate) mod rules;
pub(crate) mod sustain;
pub(crate) mod wire;
