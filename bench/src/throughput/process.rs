//! A `corelane` process: started, waited for, its report read.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use corelane::sys::affinity;
use serde_json::Value;

/// The environment variable that makes this crate's binary behave as `corelane`.
pub const AS_CORELANE: &str = "CORELANE_BENCH_AS_CORELANE";
/// How long a process may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `corelane` process; killed if it is dropped before it ended.
pub(crate) struct Process(Child);

impl Process {
    /// Starts the binary as `corelane`; all its threads on `cpus` if there are any.
    pub(crate) fn start(
        binary: &Path,
        cpu: Option<usize>,
        arguments: impl FnOnce(&mut Command) + Send,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.env(AS_CORELANE, "1").stdout(Stdio::piped());
        arguments(&mut command);
        // A process inherits the CPUs of the thread that starts it.
        let spawn = move || {
            if let Some(cpu) = cpu {
                affinity::pin(cpu)?;
            }
            anyhow::Ok(command.spawn()?)
        };
        let spawned = std::thread::scope(|scope| scope.spawn(spawn).join());
        let child = spawned.map_err(|_| anyhow::anyhow!("starting a process panicked"))??;
        Ok(Self(child))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn await_file(&mut self, path: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !path.exists() {
            ensure!(!self.has_ended()?, "it ended before it was ready");
            ensure!(Instant::now() < deadline, "it was not ready in time");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Waits for its end and reads the JSON that it printed.
    pub(crate) fn finish(&mut self) -> anyhow::Result<Value> {
        let mut text = String::new();
        self.0.stdout.take().context("its output was taken")?.read_to_string(&mut text)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "{status}");
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// A number of a report.
pub(crate) fn number(of: &Value, pointer: &str) -> anyhow::Result<f64> {
    let found = of.pointer(pointer).and_then(Value::as_f64);
    found.with_context(|| format!("{pointer} is in no report"))
}
