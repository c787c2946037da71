//! The program as a user runs it: the real binary, over captures, loopback multicast and TCP, in
//! temporary folders, with ports of its own. One test program, so that the tests share their tools
//! and run side by side.

mod cases;
mod crashes;
mod disks;
mod durable;
mod endings;
mod every_capture;
mod journal_tools;
mod lines;
mod power_cuts;
mod recovery;
mod refusals;
mod rerun;
mod retention;
mod rules;
mod same_decisions;
mod sinks;
mod snapshots;
mod soup;
mod state;
mod support;
mod text;
