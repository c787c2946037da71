//! The `corelane` binary: the command line with the strategies that come with the engine.

use std::process::ExitCode;

use corelane_strategies::registry::Registry;

fn main() -> ExitCode {
    corelane::main(&Registry::builtin())
}
