//! What egress is asked to open: plain values, filled in from the configuration.
//!
//! Invariant: a spec that opened names only streams and strategies that exist.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use corelane_feeds::record::StreamId;
use corelane_feeds::schema::Schema;
use corelane_strategies::action::{self, ActionId};

use super::confirm::Confirmed;
use super::file::FileSink;
use super::sink::{ActionSink, Log, log_stderr};
use super::tcp::TcpSink;
use super::udp::UdpSink;
use super::wire::TcpWire;
use crate::clock::Clock;

/// What is kept for a receiver that is away, unless the configuration says otherwise.
const BUFFER_BYTES: usize = 16 << 20;
/// The smallest such buffer: a few actions.
const BUFFER_BYTES_MIN: usize = 4 << 10;
/// The largest.
const BUFFER_BYTES_MAX: usize = 1 << 30;

/// Where a sink sends to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A file, appended to.
    File(PathBuf),
    /// A TCP server.
    Tcp(SocketAddr),
    /// A UDP receiver or multicast group; one datagram per action.
    Udp(SocketAddr),
}

impl Target {
    /// Whether sending may block the thread that does it; such a sink stays off hot threads.
    #[must_use]
    pub const fn blocks(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// How actions are encoded.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// The record's bytes.
    Binary,
}

/// One sink.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SinkConfig {
    /// Names it in reports and logs.
    pub name: String,
    /// Where to.
    pub target: Target,
    /// JSON lines or binary records.
    pub format: Format,
    /// Only these action streams, by name; all if empty.
    pub streams: Vec<String>,
    /// Only these strategies, by name; all if empty.
    pub strategies: Vec<String>,
    /// What may wait for a receiver that is away or slow, in bytes.
    pub buffer_bytes: usize,
    /// Also write when the cause was received and the action sent.
    pub stamps: bool,
    /// A TCP receiver answers with the ids of what it has; what it does not is sent again.
    pub acknowledged: bool,
}

impl SinkConfig {
    /// Every action as JSON, without stamps, 16 MiB of buffer.
    #[must_use]
    pub fn new(name: &str, target: Target) -> Self {
        Self {
            name: name.to_owned(),
            target,
            format: Format::Json,
            streams: Vec::new(),
            strategies: Vec::new(),
            buffer_bytes: BUFFER_BYTES,
            stamps: false,
            acknowledged: false,
        }
    }
}

/// Everything egress needs to know.
#[derive(Clone, Debug)]
pub struct EgressSpec {
    /// The sinks.
    pub sinks: Vec<SinkConfig>,
    /// How many shards send actions.
    pub shards: usize,
    /// Names of the strategies; the first has rule number 1.
    pub strategies: Vec<String>,
    /// The same with those that came later: looked at for a number that is not among them.
    pub later: Arc<RwLock<Vec<String>>>,
    /// Actions that rule files declared, beside those that are built in.
    pub declared: Vec<&'static Schema>,
    /// Put the actions of several shards in the order of their causes.
    pub ordered: bool,
    /// `ts_recv` is a time of this machine, so that latency from the wire can be measured.
    pub live: bool,
    /// Where sinks report trouble.
    pub log: Log,
    /// Folders of the shards' journals, in which it is kept what sinks are rid of; none if nobody
    /// needs to know.
    pub confirm_in: Vec<PathBuf>,
    /// What an earlier run left to do, by position of the shard; nothing if it is shorter.
    pub past: Vec<Past>,
    /// What sinks write to, and the time they go by.
    pub edges: Arc<dyn Edges>,
    /// What is kept there must outlive a power cut: a file has an action when it is synced.
    pub synced: bool,
}

/// An open sink, and which actions an earlier run wrote to it behind a known place.
pub type OpenedSink = (Box<dyn ActionSink>, Vec<ActionId>);

/// Where egress meets the system: a simulator puts another world in its place.
pub trait Edges: Debug + Send + Sync {
    /// The clock of a thread.
    fn clock(&self) -> Clock;

    /// Opens a sink, of which an earlier run is known to have written `known` bytes; a file that is
    /// `synced` has an action only when it outlives a power cut.
    ///
    /// # Errors
    /// If its file or socket cannot be opened.
    fn open(
        &self,
        config: &SinkConfig,
        log: Log,
        known: Option<u64>,
        synced: bool,
    ) -> Result<OpenedSink, EgressError>;
}

/// The system's clock, files and sockets.
#[derive(Copy, Clone, Default, Debug)]
pub struct SystemEdges;

/// What an earlier run left of a shard's actions.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Past {
    /// The last action that each sink is rid of, by its name; none of a sink that has to get all.
    pub confirmed: BTreeMap<String, Confirmed>,
    /// Where sinks began whose last action is not known, by name: a place in what they wrote.
    pub began: BTreeMap<String, u64>,
    /// How many actions come again first, for those sinks that are not rid of them.
    pub again: u64,
}

impl Default for EgressSpec {
    fn default() -> Self {
        Self {
            sinks: Vec::new(),
            shards: 1,
            strategies: Vec::new(),
            later: Arc::default(),
            declared: Vec::new(),
            ordered: false,
            live: true,
            log: log_stderr,
            confirm_in: Vec::new(),
            past: Vec::new(),
            edges: Arc::new(SystemEdges),
            synced: false,
        }
    }
}

/// Why egress cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// A file or socket cannot be opened.
    #[error("sink {name}: cannot open {target}")]
    Open {
        /// The sink.
        name: String,
        /// Where it sends to.
        target: String,
        /// What the system said.
        source: io::Error,
    },
    /// A filter names a stream that no action has.
    #[error("sink {name}: `{stream}` is no action stream")]
    UnknownStream {
        /// The sink.
        name: String,
        /// What it names.
        stream: String,
    },
    /// A filter names a strategy that is not configured.
    #[error("sink {name}: there is no strategy `{strategy}`")]
    UnknownStrategy {
        /// The sink.
        name: String,
        /// What it names.
        strategy: String,
    },
    /// The buffer is too small or too large.
    #[error("sink {name}: a buffer of {bytes} bytes is not between 4 KiB and 1 GiB")]
    Buffer {
        /// The sink.
        name: String,
        /// What was asked for.
        bytes: usize,
    },
}

/// Which actions a sink wants.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Only these streams; all if empty.
    pub streams: Vec<StreamId>,
    /// Only these rule numbers; all if empty.
    pub rules: Vec<u16>,
}

impl Filter {
    pub(crate) fn resolve(
        config: &SinkConfig,
        strategies: &[String],
        declared: &[&'static Schema],
    ) -> Result<Self, EgressError> {
        let mut filter = Self::default();
        for stream in &config.streams {
            let mut all = action::ALL.iter().chain(declared);
            let schema = all.find(|schema| schema.name == stream);
            let schema = schema.ok_or_else(|| EgressError::UnknownStream {
                name: config.name.clone(),
                stream: stream.clone(),
            })?;
            filter.streams.push(schema.stream);
        }
        for strategy in &config.strategies {
            let place = strategies.iter().position(|name| name == strategy);
            let place = place.ok_or_else(|| EgressError::UnknownStrategy {
                name: config.name.clone(),
                strategy: strategy.clone(),
            })?;
            filter.rules.push(place as u16 + 1);
        }
        Ok(filter)
    }

    #[inline]
    pub(super) fn wants(&self, stream: StreamId, rule: u16) -> bool {
        (self.streams.is_empty() || self.streams.contains(&stream))
            && (self.rules.is_empty() || self.rules.contains(&rule))
    }
}

/// Refuses a buffer that is too small or too large.
pub(super) fn check_buffer(config: &SinkConfig) -> Result<(), EgressError> {
    if (BUFFER_BYTES_MIN..=BUFFER_BYTES_MAX).contains(&config.buffer_bytes) {
        return Ok(());
    }
    Err(EgressError::Buffer { name: config.name.clone(), bytes: config.buffer_bytes })
}

impl Edges for SystemEdges {
    fn clock(&self) -> Clock {
        Clock::new()
    }

    fn open(
        &self,
        config: &SinkConfig,
        log: Log,
        known: Option<u64>,
        synced: bool,
    ) -> Result<OpenedSink, EgressError> {
        let failed = |target: String| {
            let name = config.name.clone();
            move |source| EgressError::Open { name, target, source }
        };
        Ok(match &config.target {
            Target::File(path) => {
                let target = path.display().to_string();
                let opened = FileSink::open(config, path, log, known, synced);
                let opened = opened.map_err(failed(target))?;
                (Box::new(opened.0), opened.1)
            }
            Target::Tcp(peer) => {
                (Box::new(TcpSink::new(config, TcpWire::new(*peer), *peer, log)), Vec::new())
            }
            Target::Udp(to) => {
                let sink = UdpSink::open(config, *to, log).map_err(failed(format!("udp {to}")))?;
                (Box::new(sink), Vec::new())
            }
        })
    }
}
