//! The subcommands: arguments, the rounds, the table.

pub(crate) mod cep;
pub(crate) mod decode;
pub(crate) mod durable;
pub(crate) mod gates;
pub(crate) mod journal;
pub(crate) mod latency;
pub(crate) mod machine;
pub(crate) mod recovery;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod rules;
pub(crate) mod scaling;
pub(crate) mod throughput;
