//! What the checks look at: files below a root, a probe, and what the engine needs of the host.
//!
//! Invariant: nothing outside the root is read but through the [`Probe`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::card::Card;
use super::cpuset::Cpus;
use super::probe::Probe;
use super::{Noise, Verdict};
use crate::config::{Config, Source, Topology};
use crate::reactor::BackendKind;

/// Files larger than this are not what they claim to be.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// sysfs, procfs and a few files of `/etc`, below a folder.
#[derive(Debug)]
pub struct Root {
    folder: PathBuf,
    /// What was read so far, to be recorded.
    read: RefCell<BTreeMap<String, String>>,
}

impl Root {
    /// Reads below `folder`; `/` for this machine.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), read: RefCell::default() }
    }

    /// The text of a file without the white space around it, or why it cannot be read.
    ///
    /// # Errors
    /// A sentence for the report.
    pub fn text(&self, path: &str) -> Result<String, String> {
        let full = self.folder.join(path);
        let text = match read_bounded(&full) {
            Ok(text) => text,
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "there is no".to_owned(),
                    io::ErrorKind::PermissionDenied => "not allowed to read".to_owned(),
                    _ => format!("{error}:"),
                };
                return Err(format!("{why} /{path}"));
            }
        };
        self.note(path, &text);
        Ok(text.trim().to_owned())
    }

    /// A file's text, if it can be read.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<String> {
        self.text(path).ok()
    }

    /// A file that holds a number.
    ///
    /// # Errors
    /// A sentence for the report.
    pub fn number(&self, path: &str) -> Result<i64, String> {
        let text = self.text(path)?;
        text.parse().map_err(|_| format!("/{path} holds `{text}`, no number"))
    }

    /// The names in a folder, in order; none if it cannot be read.
    #[must_use]
    pub fn list(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.join(folder)) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.collect();
        names.sort_by_key(|name| (name.parse::<u64>().unwrap_or(u64::MAX), name.clone()));
        names
    }

    /// Whether a file holds just this; it is recorded if so.
    pub(super) fn peek(&self, path: &str, wanted: &str) -> bool {
        let text = read_bounded(&self.folder.join(path)).unwrap_or_default();
        let found = text.trim() == wanted;
        if found {
            self.note(path, &text);
        }
        found
    }

    /// Keeps what was found out, to be recorded.
    pub(super) fn note(&self, path: &str, text: &str) {
        self.read.borrow_mut().insert(path.to_owned(), text.to_owned());
    }

    /// All that was read, by path.
    #[must_use]
    pub fn recorded(&self) -> BTreeMap<String, String> {
        self.read.borrow().clone()
    }

    /// The text of [`super::tree`] for all that was read.
    #[must_use]
    pub fn record(&self) -> String {
        let read = self.read.borrow();
        super::tree::write(read.iter().map(|(path, text)| (path.as_str(), text.as_str())))
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, FILE_BYTES_MAX), &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a run would use of the host.
#[derive(Clone, Debug)]
pub struct Needs {
    /// CPUs of hot threads.
    pub hot: Cpus,
    /// Hot threads of the configuration, if there is one.
    pub threads: Option<usize>,
    /// How many of them it gives a core.
    pub named: usize,
    /// How this is said on the command line.
    pub args: String,
    /// Where that is known from.
    pub hot_from: String,
    /// Names or addresses of the interfaces that feeds come in by.
    pub interfaces: Vec<String>,
    /// Where the journal is.
    pub journal: Option<PathBuf>,
    /// Bytes of a segment of it, and how many shards write one.
    pub journal_bytes: u64,
    /// The largest receive buffer that a feed asks for.
    pub rcvbuf_bytes: u64,
    /// The most sockets that one reactor watches.
    pub sockets: usize,
    /// The receive backend asked for.
    pub backend: BackendKind,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            hot: Cpus::default(),
            threads: None,
            named: 0,
            args: String::new(),
            hot_from: String::new(),
            interfaces: Vec::new(),
            journal: Some(PathBuf::from("/dev/shm/corelane-corelane")),
            journal_bytes: 2 * (64 << 20),
            rcvbuf_bytes: crate::reactor::RCVBUF_DEFAULT as u64,
            sockets: 2,
            backend: BackendKind::Auto,
        }
    }
}

impl Needs {
    /// What a run with this configuration would use.
    #[must_use]
    pub fn of(config: &Config, path: &Path) -> Self {
        let engine = &config.engine;
        let fused = engine.topology == Topology::Fused;
        // Fused, a reactor's core is its shard's.
        let shards = if fused { 0 } else { engine.shards };
        let shard_cores = engine.shard_cores.iter().take(shards);
        let hot = engine.reactor_cores.iter().take(engine.reactors).chain(shard_cores);
        let mut sockets = vec![0; engine.reactors];
        let mut interfaces = Vec::new();
        for feed in &config.feeds {
            if let Source::Lines { lines, interface, .. } = &feed.source {
                sockets[feed.reactor] += lines.len();
                interfaces.extend(interface.clone());
            } else {
                sockets[feed.reactor] += 1;
            }
        }
        interfaces.sort();
        interfaces.dedup();
        Self {
            named: hot.clone().count(),
            hot: hot.copied().collect(),
            threads: Some(engine.reactors + shards),
            args: path.display().to_string(),
            hot_from: path.display().to_string(),
            interfaces,
            journal: config.journal.enabled.then(|| config.journal.dir.clone()),
            journal_bytes: 2 * config.journal.segment_bytes * engine.shards as u64,
            rcvbuf_bytes: config.feeds.iter().map(|feed| feed.rcvbuf_bytes).max().unwrap_or(0),
            sockets: sockets.into_iter().max().unwrap_or(0),
            backend: engine.backend,
        }
    }
}

/// A machine, and what is wanted of it.
#[derive(Debug)]
pub struct Host {
    /// Its files.
    pub root: Root,
    probe: Box<dyn Probe>,
    /// What the engine would use.
    pub needs: Needs,
    cards: RefCell<BTreeMap<String, Result<Card, String>>>,
}

impl Host {
    /// A host to examine. Hot cores that nobody named are those that are isolated, else the last
    /// CPU is taken as an example; interfaces are those with the default route, and names take the
    /// place of addresses.
    #[must_use]
    pub fn new(root: Root, probe: Box<dyn Probe>, mut needs: Needs) -> Self {
        if needs.hot.is_empty() {
            let isolated = root.get("sys/devices/system/cpu/isolated");
            needs.hot = isolated.and_then(|list| Cpus::from_list(&list)).unwrap_or_default();
            needs.hot_from = "none named: the isolated ones".into();
        }
        if needs.hot.is_empty() {
            let online = root.get("sys/devices/system/cpu/online");
            let online = online.and_then(|list| Cpus::from_list(&list)).unwrap_or_default();
            needs.hot.0.extend(online.0.last());
            needs.hot_from = "none named: the last CPU, as an example".into();
        }
        if needs.interfaces.is_empty() {
            needs.interfaces.extend(route_to(&root, Ipv4Addr::UNSPECIFIED));
        }
        for name in &mut needs.interfaces {
            match name.parse() {
                Ok(IpAddr::V4(address)) if address.is_loopback() => "lo".clone_into(name),
                Ok(IpAddr::V4(address)) => {
                    *name = route_to(&root, address).unwrap_or_else(|| name.clone());
                }
                _ => {}
            }
        }
        needs.interfaces.dedup();
        Self { root, probe, needs, cards: RefCell::default() }
    }

    /// The hot cores, or the verdict that there are none to judge.
    pub(super) fn hot(&self) -> Result<&Cpus, Verdict> {
        if self.needs.hot.is_empty() {
            return Err(Verdict::unknown("no hot core is named, and no CPU is known"));
        }
        Ok(&self.needs.hot)
    }

    /// The CPUs of this machine that are on.
    pub(super) fn online(&self) -> Cpus {
        let list = self.root.get("sys/devices/system/cpu/online");
        list.and_then(|list| Cpus::from_list(&list)).unwrap_or_default()
    }

    /// The interfaces that are more than loopback.
    pub(super) fn nics(&self) -> impl Iterator<Item = &str> {
        self.needs.interfaces.iter().map(String::as_str).filter(|name| *name != "lo")
    }

    /// What ethtool tells of an interface.
    pub(super) fn card(&self, name: &str) -> Result<Card, String> {
        let mut known = self.cards.borrow_mut();
        let card = known.entry(name.to_owned()).or_insert_with(|| self.probe.card(name));
        if let Ok(card) = card {
            for (setting, text) in card.files() {
                self.root.note(&format!("ethtool/{name}/{setting}"), &text);
            }
        }
        card.clone()
    }

    /// Whether io_uring works, tried.
    pub(super) fn io_uring(&self) -> Result<(), String> {
        let tried = self.probe.io_uring();
        let text = tried.as_ref().err().map_or("ok", String::as_str);
        self.root.note("probe/io_uring", text);
        tried
    }

    /// How long each hot core is taken away from a thread that spins on it.
    pub(super) fn noise(&self, cpus: &Cpus) -> Result<Vec<Noise>, String> {
        let noise = self.probe.noise(cpus);
        if let Ok(noise) = &noise {
            self.root.note("probe/noise.json", &serde_json::to_string(noise).unwrap_or_default());
        }
        noise
    }

    /// A field of the first CPU in `/proc/cpuinfo`. Only what is asked for is recorded: the file
    /// has hundreds of lines a socket.
    pub(super) fn cpuinfo(&self, field: &str) -> Option<String> {
        let before = self.root.recorded().remove("proc/cpuinfo").unwrap_or_default();
        let text = self.root.get("proc/cpuinfo")?;
        let found = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == field).then(|| value.trim().to_owned())
        });
        let line = found.as_ref().map(|value| format!("{field}\t: {value}\n")).unwrap_or_default();
        let kept = if before.contains(&line) { before } else { before + &line };
        self.root.note("proc/cpuinfo", &kept);
        found
    }

    /// Whether a hypervisor runs this machine.
    pub(super) fn is_virtual(&self) -> bool {
        let flags = self.cpuinfo("flags").unwrap_or_default();
        flags.split(' ').any(|flag| flag == "hypervisor")
    }

    /// A parameter of the kernel's command line: its value, empty if it has none.
    pub(super) fn boot(&self, name: &str) -> Option<String> {
        let line = self.root.get("proc/cmdline")?;
        let words = line.split_whitespace().take_while(|word| *word != "--");
        let values = words.filter_map(|word| {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            (key == name).then(|| value.to_owned())
        });
        values.last()
    }

    /// The machine and what is judged, for the head of the report.
    pub(super) fn about(&self) -> Vec<(&'static str, String)> {
        let kernel = self.root.get("proc/sys/kernel/osrelease").unwrap_or_default();
        let model = self.cpuinfo("model name").unwrap_or_else(|| "unknown CPU".into());
        let kind = if self.is_virtual() { "virtual machine" } else { "bare metal" };
        let needs = &self.needs;
        let journal = needs.journal.as_ref();
        let journal = journal.map_or_else(|| "off".into(), |path| path.display().to_string());
        let interfaces = needs.interfaces.join(", ");
        vec![
            ("kernel", format!("Linux {kernel}")),
            ("machine", format!("{model}, CPUs {}, {kind}", self.online())),
            ("hot cores", format!("{} ({})", needs.hot, needs.hot_from)),
            ("interfaces", if interfaces.is_empty() { "none".into() } else { interfaces }),
            ("journal", journal),
        ]
    }
}

/// The interface that packets to `address` would leave by, as `/proc/net/route` has it: for an
/// address of this host, the one that is in its network.
fn route_to(root: &Root, address: Ipv4Addr) -> Option<String> {
    let table = root.get("proc/net/route")?;
    let hex = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let wanted = u32::from(address);
    let routes = table.lines().skip(1).filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (name, destination, mask) = (words.first()?, hex(words.get(1)?)?, hex(words.get(7)?)?);
        (wanted & mask == destination).then(|| (mask, (*name).to_owned()))
    });
    routes.max_by_key(|(mask, _)| *mask).map(|(_, name)| name)
}
