//! Which feed a datagram belongs to, and what TCP connections seem to be.
//!
//! Invariant: both tables are bounded; what finds no room in them is still counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use corelane_feeds::detect::{self, Guess};
use corelane_feeds::feed::{FeedConfig, Transport};
use corelane_feeds::sequence::LINES_MAX;
use corelane_feeds::units::Nanos;

use super::feed::FeedScan;
use super::lines::{Head, head};

/// The most feeds of one capture.
const FEEDS_MAX: usize = 32;
/// Packets held while another line may fill a hole, where lines are arbitrated.
const HOLD_MAX: usize = 256;
/// The most TCP connections that are told apart; the others count as plain TCP.
const TCP_FLOWS_MAX: usize = 1_024;

/// What became of a datagram.
pub(super) enum Routed {
    /// A feed took it.
    ToFeed,
    /// It is of no known protocol.
    Unknown,
    /// There is no room for its feed.
    Full,
}

/// Where the packets of one destination go.
struct Route {
    destination: SocketAddr,
    /// What tells feeds apart that share a destination: IEX-TP protocol and channel.
    channel: u64,
    feed: usize,
    line: u8,
}

/// The feeds of a capture, by destination.
pub(super) struct Flows {
    forced: Option<Guess>,
    arbitrate: bool,
    routes: Vec<Route>,
    feeds: Vec<FeedScan>,
    /// The route of the last datagram: most come in runs.
    last: usize,
}

impl Flows {
    /// No feeds yet; `forced` is what every datagram is taken for.
    pub(super) fn new(forced: Option<Guess>, arbitrate: bool) -> Self {
        Self { forced, arbitrate, routes: Vec::new(), feeds: Vec::new(), last: 0 }
    }

    pub(super) fn into_feeds(self) -> Vec<FeedScan> {
        self.feeds
    }

    /// Gives a datagram to its feed.
    #[inline]
    pub(super) fn datagram(&mut self, to: SocketAddr, ts: Nanos, payload: &[u8]) -> Routed {
        let channel = channel(payload);
        let is_it = |route: &Route| route.destination == to && route.channel == channel;
        if !self.routes.get(self.last).is_some_and(is_it) {
            match self.routes.iter().position(is_it) {
                Some(at) => self.last = at,
                None => match self.open(to, channel, payload) {
                    Ok(at) => self.last = at,
                    Err(routed) => return routed,
                },
            }
        }
        let &Route { feed, line, .. } = &self.routes[self.last];
        self.feeds[feed].datagram(line, ts, payload);
        Routed::ToFeed
    }

    /// The route of a destination that was not seen before.
    #[cold]
    fn open(&mut self, to: SocketAddr, channel: u64, payload: &[u8]) -> Result<usize, Routed> {
        // A packet that is damaged, of a destination that is known, is that feed's.
        let known = self.routes.iter().position(|route| route.destination == to);
        let Some(guess) = self.forced.or_else(|| detect::datagram(payload)) else {
            return known.ok_or(Routed::Unknown);
        };
        let head = head(guess.transport, payload);
        if let (None, Some(known)) = (&head, known) {
            return Ok(known);
        }
        let lines = if self.arbitrate { LINES_MAX as u8 } else { 1 };
        let joined = head.and_then(|head| self.line_of(&guess, &head));
        let (feed, line) = match joined {
            Some(place) => place,
            None if self.feeds.len() == FEEDS_MAX => return Err(Routed::Full),
            None => {
                let config = FeedConfig::new(0, guess.protocol, guess.transport);
                let config = FeedConfig { lines, hold_max: HOLD_MAX, ..config };
                self.feeds.push(FeedScan::new(&config));
                (self.feeds.len() - 1, 0)
            }
        };
        self.feeds[feed].open_line(to);
        self.routes.push(Route { destination: to, channel, feed, line });
        Ok(self.routes.len() - 1)
    }

    /// The feed that a new destination is another line of, if lines are arbitrated.
    fn line_of(&self, guess: &Guess, head: &Head) -> Option<(usize, u8)> {
        let joins = |feed: &FeedScan| feed.carries(guess, head) && feed.lines() < LINES_MAX;
        let at = self.feeds.iter().position(joins).filter(|_| self.arbitrate)?;
        Some((at, self.feeds[at].lines() as u8))
    }
}

/// IEX-TP protocol and channel of a datagram; 0 for anything else.
#[inline]
fn channel(payload: &[u8]) -> u64 {
    match head(Transport::IexTp, payload) {
        Some(head) if head.is_iex_market_data() => head.channel_key(),
        _ => 0,
    }
}

/// TCP segments by what their connections seem to carry.
#[derive(Clone, Debug, Default)]
pub(super) struct TcpFlows {
    flows: BTreeMap<(SocketAddr, SocketAddr), &'static str>,
    /// Segments by name.
    pub(super) segments: BTreeMap<&'static str, u64>,
}

impl TcpFlows {
    /// Counts a segment.
    pub(super) fn segment(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        let key = if source < destination { (source, destination) } else { (destination, source) };
        let name = match self.flows.get(&key) {
            Some(&name) => name,
            None => {
                let name = tcp_name(bytes);
                // A segment without bytes says nothing: the next one may.
                if !bytes.is_empty() && self.flows.len() < TCP_FLOWS_MAX {
                    self.flows.insert(key, name);
                }
                name
            }
        };
        *self.segments.entry(name).or_default() += 1;
    }
}

fn tcp_name(bytes: &[u8]) -> &'static str {
    if detect::is_soup_start(bytes) {
        "tcp/soupbintcp"
    } else if bytes.starts_with(b"8=FIX") {
        "tcp/fix"
    } else {
        "tcp"
    }
}
