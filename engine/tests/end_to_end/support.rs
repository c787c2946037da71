//! What the tests share: sides (a folder with a configuration and what its run leaves), processes
//! that never outlive their test, captures, and addresses that nobody else uses.
//!
//! Nothing here sleeps: what takes time is asked for again until it is there or a deadline passed.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// What any single thing may take on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Asks until there is an answer.
pub(crate) fn await_some<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A `corelane` that runs; killed if its test ends before it.
pub(crate) struct Process {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    what: String,
}

/// A process that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts a command, its output kept in `dir`.
    pub(crate) fn spawn(dir: &Path, mut command: Command) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let out = dir.join(format!("process-{number}.out"));
        let err = dir.join(format!("process-{number}.err"));
        command.stdin(Stdio::null());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let what = format!("{command:?}");
        Self { child: command.spawn().unwrap(), out, err, what }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    pub(crate) fn wait(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            let said = || self.stderr();
            assert!(Instant::now() < deadline, "{} does not end: {}", self.what, said());
            std::thread::park_timeout(Duration::from_millis(2));
        };
        let stdout = fs::read_to_string(&self.out).unwrap();
        Ended { status, stdout, stderr: self.stderr() }
    }

    /// Waits for success; what it printed.
    pub(crate) fn done(self) -> String {
        let what = self.what.clone();
        let ended = self.wait();
        assert!(ended.status.success(), "{what}: {ended:?}");
        ended.stdout
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with some arguments.
pub(crate) fn corelane<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelane"));
    command.args(args);
    command
}

/// Runs the program to its end.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Ended {
    Process::spawn(dir, corelane(args)).wait()
}

/// Runs the program, which must succeed; what it printed.
pub(crate) fn must(dir: &Path, args: &[&str]) -> String {
    Process::spawn(dir, corelane(args)).done()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A multicast group and port that no other test, and no other process, uses.
pub(crate) fn free_group() -> SocketAddr {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let [.., a, b] = std::process::id().to_be_bytes();
    // A port that is free for unicast is free for a group.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let group = Ipv4Addr::new(239, 192 + (number % 64) as u8, a, b);
    SocketAddrV4::new(group, socket.local_addr().unwrap().port()).into()
}

/// One feed of a configuration over multicast.
pub(crate) fn feed(protocol: &str, lines: &[SocketAddr]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("\"{line}\"")).collect();
    format!(
        "[[feed]]\nname = \"feed\"\nprotocol = \"{protocol}\"\nlines = [{}]\n\
         interface = \"127.0.0.1\"\n",
        lines.join(", ")
    )
}

/// One feed of a configuration from a SoupBinTCP server.
pub(crate) fn soup_feed(server: &str) -> String {
    format!(
        "[[feed]]\nname = \"feed\"\nprotocol = \"itch50\"\nconnect = \"{server}\"\n\
         username = \"user\"\n"
    )
}

/// A configuration's section for a rule file that is written to `dir`.
pub(crate) fn rules_section(dir: &Path, rules: &str) -> String {
    let file = dir.join("rules.sql");
    fs::write(&file, rules).unwrap();
    format!("[[rules]]\nfile = \"{}\"\n", text(&file))
}

/// A folder with a configuration, and all that its run leaves there.
pub(crate) struct Side {
    dir: TempDir,
    pub(crate) config: PathBuf,
}

impl Side {
    /// `engine` are the keys of the section of that name; `feeds` and `more` whole sections. The
    /// actions go to a file besides.
    pub(crate) fn new(engine: &str, feeds: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| text(&dir.path().join(name)).to_owned();
        let (actions, journal, report) = (at("actions.jsonl"), at("journal"), at("report.json"));
        let wait = if engine.contains("wait") { "" } else { "wait = \"park\"\n" };
        let config = format!(
            "name = \"test\"\n[engine]\norders_max = 65536\n{wait}{engine}\n\
             [journal]\ndir = \"{journal}\"\nsegment = \"1MiB\"\n\
             [report]\njson = \"{report}\"\n{feeds}\n\
             [[strategy]]\ntype = \"imbalance\"\n[[strategy]]\ntype = \"layering\"\n\
             [[strategy]]\ntype = \"stuffing\"\n\
             [[sink]]\nname = \"file\"\ntype = \"file\"\npath = \"{actions}\"\n{more}\n"
        );
        let path = dir.path().join("config.toml");
        fs::write(&path, config).unwrap();
        Self { dir, config: path }
    }

    /// The same with more settings of the journal.
    pub(crate) fn with_journal(self, more: &str) -> Self {
        let config = fs::read_to_string(&self.config).unwrap();
        fs::write(&self.config, config.replace("[journal]\n", &format!("[journal]\n{more}\n")))
            .unwrap();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path().join("journal")
    }

    /// Where the copy is that outlives a power cut, if one is kept.
    pub(crate) fn durable(&self) -> PathBuf {
        self.path().join("durable")
    }

    /// The folder that has all of the journal.
    pub(crate) fn whole_journal(&self) -> PathBuf {
        let durable = self.durable();
        if durable.exists() { durable } else { self.journal() }
    }

    /// Has the journal survive more than the process from the next run on; `more` are further keys.
    pub(crate) fn survive(&self, durability: &str, more: &str) {
        let config = fs::read_to_string(&self.config).unwrap();
        let durable = self.durable();
        let keys = format!(
            "[journal]\ndurability = \"{durability}\"\ndurable_dir = \"{}\"\n{more}",
            text(&durable)
        );
        fs::write(&self.config, config.replacen("[journal]\n", &keys, 1)).unwrap();
    }

    /// What a power cut does to memory.
    pub(crate) fn lose_memory(&self) {
        fs::remove_dir_all(self.journal()).unwrap();
    }

    pub(crate) fn actions_file(&self) -> PathBuf {
        self.path().join("actions.jsonl")
    }

    /// The actions as the sink has written them so far; none if there is no file yet.
    pub(crate) fn actions(&self) -> String {
        fs::read_to_string(self.actions_file()).unwrap_or_default()
    }

    /// The actions in the order of their causes.
    pub(crate) fn sorted(&self) -> String {
        must(self.path(), &["actions", "sort", text(&self.actions_file())])
    }

    pub(crate) fn report(&self) -> Value {
        let report = fs::read_to_string(self.path().join("report.json")).unwrap();
        serde_json::from_str(&report).unwrap()
    }

    /// Replays a capture to its end.
    pub(crate) fn replay(&self, capture: &Path, speed: &str) {
        let args = ["replay", text(&self.config), "--pcap", text(capture), "--speed", speed];
        must(self.path(), &args);
    }

    /// Starts a live run.
    pub(crate) fn spawn(&self, args: &[&str]) -> Process {
        let ready = self.path().join("ready");
        let own = ["run", text(&self.config), "--ready-file", text(&ready)];
        // An end in case the test forgets one.
        let limit = ["--duration", "120s"];
        let args = own.into_iter().chain(limit).chain(args.iter().copied());
        Process::spawn(self.path(), corelane(args))
    }

    /// Starts a live run and waits until it receives; `Err` if it ended before that.
    pub(crate) fn try_start(&self, args: &[&str]) -> Result<Process, Ended> {
        let ready = self.path().join("ready");
        let mut process = self.spawn(args);
        let started = await_some("ready", || {
            let ended = process.has_ended();
            (ended || ready.exists()).then_some(!ended)
        });
        if started { Ok(process) } else { Err(process.wait()) }
    }

    pub(crate) fn start(&self, args: &[&str]) -> Process {
        self.try_start(args).unwrap_or_else(|ended| panic!("the run does not start: {ended:?}"))
    }

    /// Whether the journal is whole and closed.
    pub(crate) fn assert_journal_closed(&self) {
        let said = must(self.path(), &["journal", "verify", text(&self.whole_journal())]);
        assert!(!said.is_empty() && said.lines().all(|line| line.ends_with(", closed")), "{said}");
    }

    /// Whether the journals hold the same but for times of receipt and ticks.
    pub(crate) fn assert_same_journal(&self, other: &Self) {
        let (own, others) = (self.whole_journal(), other.whole_journal());
        let args = ["journal", "diff", text(&own), text(&others)];
        let ended = run(self.path(), &args);
        assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    }

    /// Removes what a run left, for another.
    pub(crate) fn clear(&self) {
        // What is not there need not be removed.
        let _ = fs::remove_dir_all(self.journal());
        for name in ["actions.jsonl", "report.json", "ready"] {
            let _ = fs::remove_file(self.path().join(name));
        }
    }
}

/// Nothing was lost anywhere.
pub(crate) fn assert_lossless(report: &Value) {
    for lost in ["kernel_drops", "gaps", "messages_missing", "ring_drops", "sink_drops"] {
        assert_eq!(report["totals"][lost], 0, "{lost}: {:#}", report["totals"]);
    }
}

/// Publishes to a live run until it ends by `until`; slower if the machine is so busy that the
/// kernel drops datagrams, which is no matter of the engine. `false` if `backend` is refused here.
pub(crate) fn live(side: &Side, publish: &[&str], until: &[&str]) -> bool {
    for rate in ["100000", "20000", "4000"] {
        side.clear();
        let process = match side.try_start(until) {
            Ok(process) => process,
            Err(ended) if ended.stderr.contains("backend uring is not to be had") => {
                println!("skipped, io_uring is refused here: {}", ended.stderr.trim());
                return false;
            }
            Err(ended) => panic!("the run does not start: {ended:?}"),
        };
        let args = [&["publish", "--rate", rate], publish].concat();
        must(side.path(), &args);
        process.done();
        let report = side.report();
        if report["totals"]["kernel_drops"] == 0 {
            assert_lossless(&report);
            return true;
        }
        println!("{} datagrams dropped at {rate}/s", report["totals"]["kernel_drops"]);
    }
    panic!("this machine is too busy for any rate");
}

/// A generated ITCH session as a pcap to `group`, with patterns to be found in it.
pub(crate) fn generate(dir: &Path, name: &str, group: SocketAddr, more: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let group = group.to_string();
    let size = ["--messages", "40000", "--symbols", "60", "--duration", "60s"];
    let planted = ["--episodes", "4", "--stuffing", "2", "--seed", "7"];
    // What is asked for overrides what is usual.
    let usual = size.chunks(2).chain(planted.chunks(2));
    let usual = usual.filter(|pair| !more.contains(&pair[0])).flatten().copied();
    let own = ["generate", "itch", "--out", text(&path), "--group", &group];
    let args: Vec<&str> = own.into_iter().chain(usual).chain(more.iter().copied()).collect();
    must(dir, &args);
    path
}

/// A real capture, if the data is on this machine.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let fallback = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("CORELANE_DATA").map_or_else(fallback, PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        println!("skipped: no {}", path.display());
        return None;
    }
    Some(path)
}
