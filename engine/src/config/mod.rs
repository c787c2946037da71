//! The configuration of a run: TOML with units in its values.
//!
//! Invariant: a [`Config`] is complete and consistent: every default is filled in, every reference
//! resolves, and nothing in the file was ignored. `corelane check --echo` prints it back as a file
//! that reads to the same configuration.

mod echo;
mod read;
mod sharding;
mod streams;
pub mod value;

use anyhow::Context;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corelane_feeds::feed::{Protocol, Transport};
use corelane_feeds::sequence;
use corelane_feeds::text::Format;
use corelane_feeds::units::Nanos;
use corelane_strategies::action;
use corelane_strategies::registry::{Params, Registry};
use corelane_strategies::rules::{DeclaredStream, RuleSet};

use crate::journal::{Durability, Retention};
use crate::reactor::{BackendKind, Waiting};

pub use corelane_strategies::diagnostics::{TextError as ConfigError, nearest};
pub use value::{Keyword, parse_duration_ns};

/// The most feeds of one run: a record names its feed in one byte.
pub const FEEDS_MAX: usize = 255;
/// The most lines that carry one feed.
pub const LINES_MAX: usize = sequence::LINES_MAX;
/// The most reactors, and the most shards.
pub const THREADS_MAX: usize = 64;
/// The most strategies of one run.
pub const STRATEGIES_MAX: usize = 24;

/// How records get from the receiving core to the deciding one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Receive, decide and journal on one core: no ring hop.
    Fused,
    /// Reactors and shards on their own cores, a ring between each pair.
    Pipelined,
}

impl Keyword for Topology {
    const WORDS: &'static [(&'static str, Self)] =
        &[("fused", Self::Fused), ("pipelined", Self::Pipelined)];
}

impl Keyword for Waiting {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("spin", Self::Spin), ("yield", Self::Yield), ("park", Self::Park)];
}

impl Keyword for BackendKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("uring", Self::Uring), ("socket", Self::Socket)];
}

/// `[engine]`: threads and how they work together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Fused or pipelined.
    pub topology: Topology,
    /// How many reactor threads.
    pub reactors: usize,
    /// How many shards; in a fused topology the same as `reactors`.
    pub shards: usize,
    /// Kernel CPU ids for the reactors; fewer than threads leaves the rest unpinned.
    pub reactor_cores: Vec<usize>,
    /// Kernel CPU ids for the shards.
    pub shard_cores: Vec<usize>,
    /// Kernel CPU id for the service thread.
    pub service_core: Option<usize>,
    /// What idle hot threads do.
    pub wait: Waiting,
    /// How the reactors receive.
    pub backend: BackendKind,
    /// Slots of every ring, a power of two.
    pub ring_slots: usize,
    /// Live orders that an order-by-order book has room for, per feed.
    pub orders_max: usize,
}

/// What a live run does with the journal of an earlier one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Go on from it.
    Recover,
    /// Keep it under another name and begin anew.
    Fresh,
}

impl Keyword for Start {
    const WORDS: &'static [(&'static str, Self)] =
        &[("recover", Self::Recover), ("fresh", Self::Fresh)];
}

impl Keyword for Durability {
    const WORDS: &'static [(&'static str, Self)] =
        &[("process", Self::Process), ("interval", Self::Interval), ("sync", Self::Sync)];
}

/// `[journal]`: where every shard's journal lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSection {
    /// Off means decisions cannot be replayed or explained.
    pub enabled: bool,
    /// A folder, best on a memory filesystem; every shard has its own below it.
    pub dir: PathBuf,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// What a live run does with the journal of an earlier one.
    pub start: Start,
    /// Records of a shard between two snapshots of a live run; 0 writes none.
    pub snapshot_every: u64,
    /// Snapshots of a shard that are kept.
    pub snapshots_max: usize,
    /// Which full segments stay that no start needs any more; all if nothing is set.
    pub retain: Retention,
    /// What it survives.
    pub durability: Durability,
    /// A folder on disk for the copy that survives a power cut; none if there is no such copy.
    pub durable_dir: Option<PathBuf>,
    /// With `interval`, the time between two commits.
    pub interval_ns: u64,
    /// The most bytes that are written before they are synced.
    pub group_bytes: u64,
    /// Full, durable segments that stay in memory.
    pub hot_segments: u64,
}

impl JournalSection {
    /// The folder of the copy on disk, if the journal is to have one.
    #[must_use]
    pub fn copy_dir(&self) -> Option<&Path> {
        let is_kept = self.enabled && self.durability != Durability::Process;
        self.durable_dir.as_deref().filter(|_| is_kept)
    }
}

/// Where a feed comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// UDP, multicast or unicast; one entry per line that carries the same messages.
    Lines {
        /// Group (or local address) and port of every line.
        lines: Vec<SocketAddr>,
        /// Address or name of the interface to join on; the kernel chooses if absent.
        interface: Option<String>,
        /// Only packets from this sender (source-specific multicast).
        sender: Option<IpAddr>,
    },
    /// A SoupBinTCP server.
    Soup {
        /// The server.
        connect: SocketAddr,
        /// User name, at most 6 characters.
        username: String,
        /// The environment variable that holds the password.
        password_env: Option<String>,
        /// The session to ask for; blank for the current one.
        session: String,
    },
    /// A TCP server that sends lines.
    Connect(SocketAddr),
    /// TCP clients that send lines, one at a time.
    Listen(SocketAddr),
    /// Nothing live: only `replay` feeds it.
    Capture,
}

/// What a feed's messages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedKind {
    /// A venue's messages.
    Venue {
        /// What they are.
        protocol: Protocol,
        /// What carries them.
        transport: Transport,
        /// Midnight of the session's day, for protocols whose times count from it.
        midnight: Nanos,
        /// Packets held while another line may still fill a gap.
        hold_max: usize,
    },
    /// Lines of a declared stream.
    Text(TextSection),
}

/// What is special to a feed of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSection {
    /// How they are written.
    pub format: Format,
    /// The stream that rule files declare.
    pub stream: String,
    /// Whether the first line of a CSV names the columns.
    pub header: bool,
    /// What stands between two values of a CSV.
    pub separator: u8,
}

impl FeedKind {
    /// The protocol as a configuration spells it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Venue { protocol, .. } => protocol.to_string(),
            Self::Text(text) => text.format.to_string(),
        }
    }

    /// Whether its messages are a venue's, by this protocol.
    #[must_use]
    pub fn is(&self, wanted: Protocol) -> bool {
        matches!(self, Self::Venue { protocol, .. } if *protocol == wanted)
    }
}

/// `[[feed]]`: one sequenced source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedSection {
    /// Names it in reports.
    pub name: String,
    /// What its messages are.
    pub kind: FeedKind,
    /// Where it comes from.
    pub source: Source,
    /// Which reactor owns it.
    pub reactor: usize,
    /// Receive buffer to ask for, bytes.
    pub rcvbuf_bytes: u64,
    /// Inject a tick after so much silence; 0 never.
    pub tick_ns: u64,
}

/// `[[strategy]]`: one strategy of the chain, in order.
#[derive(Clone, Debug)]
pub struct StrategySection {
    /// Names it in reports.
    pub name: String,
    /// Which strategy of the registry.
    pub kind: String,
    /// Its own settings.
    pub params: Params,
}

/// `[[rules]]`: a file in the rule language; its rules run behind the strategies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesSection {
    /// The file.
    pub file: PathBuf,
    /// What it held when the configuration was loaded.
    pub text: String,
    /// The text of every file that its tables name, as it names them; those that are missing are
    /// read when the rules are understood.
    pub tables: BTreeMap<String, String>,
}

impl RulesSection {
    /// A rule file as it is now; the files of its tables are yet to be read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read rules {}", file.display()))?;
        Ok(Self { file: file.to_owned(), text, tables: BTreeMap::new() })
    }

    /// Where a file is that a table names: beside the rule file, unless it says otherwise.
    #[must_use]
    pub fn table_path(&self, name: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(name)
    }

    /// The text of a file that a table names.
    fn table(&mut self, name: &str) -> Result<String, String> {
        if let Some(text) = self.tables.get(name) {
            return Ok(text.clone());
        }
        let path = self.table_path(name);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        self.tables.insert(name.to_owned(), text.clone());
        Ok(text)
    }
}

/// Where actions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkTarget {
    /// Appended to a file.
    File(PathBuf),
    /// Sent to a TCP server.
    Tcp(SocketAddr),
    /// Sent as datagrams, one action each.
    Udp(SocketAddr),
}

/// How actions are written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SinkFormat {
    /// One JSON object a line.
    Json,
    /// The record itself.
    Binary,
}

impl Keyword for SinkFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("json", Self::Json), ("binary", Self::Binary)];
}

/// `[[sink]]`: one receiver of actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSection {
    /// Names it in reports.
    pub name: String,
    /// Where to.
    pub target: SinkTarget,
    /// JSON lines or binary records.
    pub format: SinkFormat,
    /// Only these action streams; all if empty.
    pub streams: Vec<String>,
    /// What is kept for a receiver that is away, bytes.
    pub buffer_bytes: u64,
    /// Also write when the record was received and the action sent, which no replay reproduces.
    pub stamps: bool,
    /// The TCP receiver acknowledges actions; what it does not is sent again.
    pub acknowledged: bool,
}

/// `[report]`: what to write when a run ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportSection {
    /// The whole report as JSON.
    pub json: Option<PathBuf>,
    /// A folder for one `.hgrm` file per stage.
    pub hgrm: Option<PathBuf>,
    /// An HdrHistogram interval log.
    pub hlog: Option<PathBuf>,
}

/// Everything a run needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names the run, and its default journal folder.
    pub name: String,
    /// `[engine]`.
    pub engine: EngineConfig,
    /// `[journal]`.
    pub journal: JournalSection,
    /// `[[feed]]`.
    pub feeds: Vec<FeedSection>,
    /// `[[strategy]]`.
    pub strategies: Vec<StrategySection>,
    /// `[[rules]]`.
    pub rules: Vec<RulesSection>,
    /// The rules of all files, compiled.
    pub rule_set: RuleSet,
    /// `[[sink]]`.
    pub sinks: Vec<SinkSection>,
    /// `[report]`.
    pub report: ReportSection,
    /// Where in the text each feed names its stream, if it does.
    pub(crate) stream_places: Vec<Range<usize>>,
}

impl Config {
    /// The declared stream of a name.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<&Arc<DeclaredStream>> {
        let all = self.rule_set.declared_streams().iter();
        all.into_iter().find(|stream| stream.declared.schema.name.eq_ignore_ascii_case(name))
    }

    /// Puts rule files whose text is at hand in the place of those that there are.
    ///
    /// # Errors
    /// If they are not understood; the configuration is then as it was.
    pub fn set_rules(&mut self, mut rules: Vec<RulesSection>) -> anyhow::Result<()> {
        let mut set = RuleSet::with_functions(self.rule_set.functions().clone());
        for section in &mut rules {
            let (path, text) = (section.file.display().to_string(), section.text.clone());
            set.add_with(&path, &text, &mut |table| section.table(table))?;
        }
        (self.rules, self.rule_set) = (rules, set);
        Ok(())
    }

    /// Reads a configuration from its text; `path` names it in messages. Rule files are not read.
    ///
    /// # Errors
    /// Every mistake of the text, each at its place.
    pub fn parse(path: &str, text: &str, registry: &Registry) -> Result<Self, ConfigError> {
        read::read(path, text, registry)
    }

    /// Reads a configuration file. Relative paths in it are taken from the working directory.
    ///
    /// # Errors
    /// If the file or a rule file cannot be read, or is not valid.
    pub fn load(path: &Path, registry: &Registry) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read config {}", path.display()))?;
        let mut config = Self::parse(&path.display().to_string(), &text, registry)?;
        let rules = config.rules.iter().map(|section| RulesSection::read(&section.file));
        config.set_rules(rules.collect::<anyhow::Result<_>>()?)?;
        streams::check(&config, &path.display().to_string(), &text)?;
        config.check_sharding()?;
        let known = |name: &String| {
            let declared = config.rule_set.declared().iter();
            declared.chain(action::ALL).any(|schema| schema.name == name)
        };
        for sink in &config.sinks {
            if let Some(unknown) = sink.streams.iter().find(|name| !known(name)) {
                let what = format!("sink `{}`: `{unknown}` is no action stream", sink.name);
                return Err(crate::cli::exit::Failure::config(what).into());
            }
        }
        Ok(config)
    }
}
