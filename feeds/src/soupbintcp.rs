//! SoupBinTCP: sequenced messages over TCP. [Nasdaq SoupBinTCP specification 4.1]
//!
//! ```text
//! 0        2      3
//! | length | type | payload (length - 1 bytes) |
//! client: L login  R heartbeat  O logout  U unsequenced
//! server: A accepted  J rejected  S sequenced  U unsequenced  H heartbeat  Z end of session  +
//! debug
//! ```
//! Sequence numbers are implied: the server names the next one when it accepts the login, and every
//! `S` packet counts one.
//!
//! Invariant: no I/O and no clock here; the caller brings bytes and time and takes bytes. A message
//! is given once, in order; after a reconnect the client asks for the first one it has not given.
//!
//! ```
//! use corelane_feeds::soupbintcp::{Client, Credentials, Event, write_packet};
//! let mut client = Client::new(Credentials::new("user", "pass"), *b"          ", 1);
//! client.connected();
//! assert_eq!(client.output()[2], b'L');
//! client.output_taken();
//! let mut wire = Vec::new();
//! write_packet(&mut wire, b'A', b"SESSION001                   1");
//! write_packet(&mut wire, b'S', b"hello");
//! let mut seen = Vec::new();
//! let event = client.bytes(&wire, |_, seq, message| seen.push((seq, message.to_vec())));
//! assert_eq!((event, seen), (Event::Proceed, vec![(1, b"hello".to_vec())]));
//! ```

/// Length of a packet's length field.
const LENGTH_BYTES: usize = 2;
/// The largest packet: its length has 16 bits.
const PACKET_BYTES_MAX: usize = LENGTH_BYTES + u16::MAX as usize;
/// Bytes of a login request's payload.
const LOGIN_BYTES: usize = 46;
/// Bytes of a login acceptance's payload.
const ACCEPTED_BYTES: usize = 30;
/// A side that has sent nothing for so long sends a heartbeat.
pub const HEARTBEAT_NS: u64 = 1_000_000_000;
/// A side that has received nothing for so long gives the connection up.
pub const SILENCE_NS: u64 = 15_000_000_000;

/// A session's name.
pub type SessionName = [u8; 10];

/// Who logs in.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: [u8; 6],
    password: [u8; 10],
}

impl Credentials {
    /// A user name of at most 6 and a password of at most 10 characters; what is longer is cut.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        let mut credentials = Self { username: [b' '; 6], password: [b' '; 10] };
        copy_text(&mut credentials.username, username);
        copy_text(&mut credentials.password, password);
        credentials
    }
}

/// Never shows the password.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.username.escape_ascii())
    }
}

fn copy_text(target: &mut [u8], text: &str) {
    let length = text.len().min(target.len());
    target[..length].copy_from_slice(&text.as_bytes()[..length]);
}

/// What the client makes of what it received, or of the time.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// All is well.
    Proceed,
    /// The login was refused: `A` not authorised, `S` no such session.
    Rejected(u8),
    /// The bytes are no SoupBinTCP.
    BadFraming,
    /// Nothing was received for [`SILENCE_NS`].
    Silent,
    /// The session has ended in order.
    Ended,
}

/// What a client counts.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct SoupCounters {
    /// Logins accepted.
    pub logins: u64,
    /// Logins refused.
    pub rejections: u64,
    /// Sequenced messages given.
    pub messages: u64,
    /// Sequenced messages that came again after a reconnect: not given.
    pub repeats: u64,
    /// Unsequenced and debug packets: not given.
    pub unsequenced: u64,
    /// Server heartbeats.
    pub heartbeats: u64,
    /// Packets of a type that is not known: skipped.
    pub unknown_types: u64,
}

/// The client's side of a session, over any number of connections.
#[derive(Clone, Debug)]
pub struct Client {
    credentials: Credentials,
    /// What to ask for: blank until a login named the session.
    session: SessionName,
    /// The sequence of the next message to give.
    next: u64,
    /// The sequence that the server's next `S` packet has.
    arriving: u64,
    logged_in: bool,
    output: Vec<u8>,
    /// A packet whose end has not arrived.
    partial: Vec<u8>,
    last_received: Option<u64>,
    last_sent: Option<u64>,
    received: bool,
    /// A session that was received to its end, and what would come next in it.
    over: Option<Box<(SessionName, u64)>>,
    counters: SoupCounters,
}

impl Client {
    /// A client that asks for `session` (blank: the current one) from message `first` on; 0 asks
    /// for the newest message only.
    #[must_use]
    pub fn new(credentials: Credentials, session: SessionName, first: u64) -> Self {
        Self {
            credentials,
            session,
            next: first,
            arriving: 0,
            logged_in: false,
            output: Vec::with_capacity(128),
            partial: Vec::with_capacity(PACKET_BYTES_MAX),
            last_received: None,
            last_sent: None,
            received: false,
            over: None,
            counters: SoupCounters::default(),
        }
    }

    /// A client that has had a session before, up to message `next`: should the server still serve
    /// it, nothing before that is given again.
    #[must_use]
    pub fn behind(self, session: SessionName, next: u64) -> Self {
        Self { over: Some(Box::new((session, next))), ..self }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &SoupCounters {
        &self.counters
    }

    /// The connection is new: what was half received is forgotten, a login is to be sent.
    pub fn connected(&mut self) {
        self.partial.clear();
        self.output.clear();
        self.logged_in = false;
        self.last_received = None;
        self.last_sent = None;
        let mut login = [b' '; LOGIN_BYTES];
        login[..6].copy_from_slice(&self.credentials.username);
        login[6..16].copy_from_slice(&self.credentials.password);
        login[16..26].copy_from_slice(&self.session);
        write_number(&mut login[26..], self.next);
        write_packet(&mut self.output, b'L', &login);
    }

    /// Takes the next bytes of the stream; gives every sequenced message that is complete.
    pub fn bytes(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&SessionName, u64, &[u8]),
    ) -> Event {
        self.received |= !bytes.is_empty();
        if !self.partial.is_empty() {
            // At most one packet is ever pending: complete it first.
            let missing = missing_bytes(&self.partial).min(bytes.len());
            self.partial.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.partial.len() == LENGTH_BYTES {
                let missing = missing_bytes(&self.partial).min(bytes.len());
                self.partial.extend_from_slice(&bytes[..missing]);
                bytes = &bytes[missing..];
            }
            if missing_bytes(&self.partial) > 0 {
                return Event::Proceed;
            }
            let packet = std::mem::take(&mut self.partial);
            let event = self.packet(&packet[LENGTH_BYTES..], &mut each);
            self.partial = packet;
            self.partial.clear();
            if event != Event::Proceed {
                return event;
            }
        }
        while let Some((length, rest)) = bytes.split_at_checked(LENGTH_BYTES) {
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let Some((packet, rest)) = rest.split_at_checked(length) else { break };
            let event = self.packet(packet, &mut each);
            if event != Event::Proceed {
                return event;
            }
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
        Event::Proceed
    }

    /// Time has passed: sends a heartbeat, or finds that the server is silent.
    pub fn on_time(&mut self, now_ns: u64) -> Event {
        if std::mem::take(&mut self.received) || self.last_received.is_none() {
            self.last_received = Some(now_ns);
        }
        if self.last_received.is_some_and(|last| now_ns.saturating_sub(last) >= SILENCE_NS) {
            return Event::Silent;
        }
        let last_sent = *self.last_sent.get_or_insert(now_ns);
        if self.logged_in && now_ns.saturating_sub(last_sent) >= HEARTBEAT_NS {
            self.last_sent = Some(now_ns);
            write_packet(&mut self.output, b'R', b"");
        }
        Event::Proceed
    }

    /// What is to be sent.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// The output was taken.
    pub fn output_taken(&mut self) {
        self.output.clear();
    }

    /// Says goodbye: a logout is to be sent.
    pub fn log_out(&mut self) {
        write_packet(&mut self.output, b'O', b"");
    }

    fn packet(&mut self, packet: &[u8], each: &mut impl FnMut(&SessionName, u64, &[u8])) -> Event {
        let Some((&kind, payload)) = packet.split_first() else { return Event::BadFraming };
        match kind {
            b'S' if self.logged_in => {
                let seq = self.arriving;
                // The server named the first: at the end of numbers it made them up.
                let Some(arriving) = seq.checked_add(1) else { return Event::BadFraming };
                self.arriving = arriving;
                if seq < self.next {
                    self.counters.repeats += 1;
                    return Event::Proceed;
                }
                self.next = arriving;
                self.counters.messages += 1;
                each(&self.session, seq, payload);
            }
            b'H' => self.counters.heartbeats += 1,
            // A connection logs in once: a second answer would count messages anew.
            b'A' if !self.logged_in => return self.accepted(payload),
            b'J' => {
                self.counters.rejections += 1;
                return Event::Rejected(payload.first().copied().unwrap_or(b'?'));
            }
            b'Z' => return Event::Ended,
            b'U' | b'+' => self.counters.unsequenced += 1,
            b'S' | b'A' => return Event::BadFraming,
            _ => self.counters.unknown_types += 1,
        }
        Event::Proceed
    }

    fn accepted(&mut self, payload: &[u8]) -> Event {
        let number = payload.get(10..ACCEPTED_BYTES).and_then(read_number);
        let Some(arriving) = number else { return Event::BadFraming };
        let mut session = [b' '; 10];
        session.copy_from_slice(&payload[..10]);
        let session = right_to_left_padding_removed(session);
        // Another session counts from its own start.
        if session != self.session && self.session != [b' '; 10] {
            self.next = arriving;
        }
        self.session = session;
        self.arriving = arriving;
        // Asked for the newest: what the server names is the first.
        self.next = if self.next == 0 { arriving } else { self.next };
        if let Some((_, next)) = self.over.as_deref().filter(|(over, _)| *over == session) {
            self.next = self.next.max(*next);
        }
        self.logged_in = true;
        self.counters.logins += 1;
        Event::Proceed
    }
}

/// Session names come padded on the left; ours are padded on the right, as MoldUDP64 has them.
fn right_to_left_padding_removed(session: SessionName) -> SessionName {
    let start = session.iter().position(|byte| *byte != b' ').unwrap_or(0);
    let mut name = [b' '; 10];
    name[..10 - start].copy_from_slice(&session[start..]);
    name
}

/// How many bytes a pending packet still lacks; of a pending length first that.
fn missing_bytes(partial: &[u8]) -> usize {
    match partial {
        [high, low, payload @ ..] => {
            usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(payload.len())
        }
        short => LENGTH_BYTES - short.len(),
    }
}

/// Appends a packet.
///
/// # Panics
/// If the payload is longer than a packet can be.
pub fn write_packet(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let length = u16::try_from(payload.len() + 1).expect("a payload below 64 KiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.push(kind);
    out.extend_from_slice(payload);
}

/// A number as text, right-aligned in what is left of a field padded with blanks.
fn write_number(field: &mut [u8], mut number: u64) {
    for place in field.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
}

/// A number as text, padded with blanks.
fn read_number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.trim().parse().ok()
}

/// A login request, as a server reads it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// User name, padded with blanks.
    pub username: [u8; 6],
    /// Password, padded with blanks.
    pub password: [u8; 10],
    /// The session asked for; blank for the current one.
    pub session: SessionName,
    /// The first message asked for; 0 for the newest.
    pub first: u64,
}

impl Login {
    /// Reads the payload of an `L` packet; `None` if it is none.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (username, rest) = payload.split_first_chunk::<6>()?;
        let (password, rest) = rest.split_first_chunk::<10>()?;
        let (session, rest) = rest.split_first_chunk::<10>()?;
        let first = read_number(rest.get(..20)?)?;
        Some(Self {
            username: *username,
            password: *password,
            session: right_to_left_padding_removed(*session),
            first,
        })
    }
}

/// Appends the acceptance of a login: the session, and the sequence of the next message.
pub fn write_accepted(out: &mut Vec<u8>, session: &SessionName, next: u64) {
    let mut payload = [b' '; ACCEPTED_BYTES];
    payload[..10].copy_from_slice(session);
    write_number(&mut payload[10..], next);
    write_packet(out, b'A', &payload);
}

#[cfg(test)]
mod tests;
