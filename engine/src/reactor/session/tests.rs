//! Sessions against a server that breaks off, falls silent or refuses, on both backends. Client
//! and server speak just enough of SoupBinTCP 3.00: login, sequenced data, end of session.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::*;
use crate::reactor::{BackendKind, ConnSpec, Reactor, ReactorError, ReactorSpec};

const MESSAGES: u64 = 1_000;
/// Silence that the test's client puts up with.
const SILENCE_NS: u64 = 15_000_000_000;

/// Login 'L' asks for the next message; 'A' accepts, 'J' rejects, 'S' is a message, 'Z' the end.
#[derive(Default)]
struct Client {
    next: u64,
    buffer: Vec<u8>,
    output: Vec<u8>,
    heard: bool,
    silent_since: Option<Nanos>,
}

impl SessionClient for Client {
    fn connected(&mut self) {
        self.buffer.clear();
        self.silent_since = None;
        self.output = packet(b'L', format!("{:46}{:>20}", "user", self.next.max(1)).as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8], mut each: impl FnMut(&SessionName, Seq, &[u8])) -> Verdict {
        self.heard = true;
        self.buffer.extend_from_slice(bytes);
        while let Some(length) = self.buffer.first_chunk().map(|&b| u16::from_be_bytes(b)) {
            let end = 2 + usize::from(length);
            if self.buffer.len() < end {
                break;
            }
            let packet: Vec<_> = self.buffer.drain(..end).skip(2).collect();
            match packet[0] {
                b'A' => self.next = ascii(&packet[11..31]),
                b'S' => {
                    each(b"TEST      ", Seq(self.next), &packet[1..]);
                    self.next += 1;
                }
                b'J' => return Verdict::Reconnect,
                b'Z' => return Verdict::Ended,
                _ => {}
            }
        }
        Verdict::Proceed
    }

    fn on_time(&mut self, now: Nanos) -> Verdict {
        if std::mem::take(&mut self.heard) {
            self.silent_since = None;
        }
        let since = *self.silent_since.get_or_insert(now);
        if now.since(since) > SILENCE_NS { Verdict::Reconnect } else { Verdict::Proceed }
    }

    fn output(&self) -> &[u8] {
        &self.output
    }

    fn output_taken(&mut self) {
        self.output.clear();
    }
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = (body.len() as u16 + 1).to_be_bytes().to_vec();
    packet.push(kind);
    packet.extend_from_slice(body);
    packet
}

fn ascii(digits: &[u8]) -> u64 {
    std::str::from_utf8(digits).unwrap().trim().parse().unwrap()
}

#[derive(Default)]
struct Seen {
    messages: Vec<(u64, Vec<u8>)>,
    closed: Vec<Option<Closed>>,
    ended: usize,
}

impl SessionHandler for Seen {
    fn message(&mut self, _conn: usize, session: &SessionName, seq: Seq, payload: &[u8]) {
        assert_eq!(session, b"TEST      ");
        self.messages.push((seq.0, payload.to_vec()));
    }

    fn closed(&mut self, _conn: usize, why: Option<Closed>) {
        self.closed.push(why);
    }

    fn ended(&mut self, _conn: usize) {
        self.ended += 1;
    }
}

/// Accepts a login and returns the sequence number it asks for.
fn accept_login(listener: &TcpListener) -> (TcpStream, u64) {
    let (mut peer, _) = listener.accept().unwrap();
    let mut login = [0; 69];
    peer.read_exact(&mut login).unwrap();
    assert_eq!(login[..3], [0, 67, b'L']);
    (peer, ascii(&login[49..]))
}

fn accepted(from: u64) -> Vec<u8> {
    packet(b'A', format!("{:10}{from:>20}", "TEST").as_bytes())
}

fn message(seq: u64) -> Vec<u8> {
    packet(b'S', format!("message {seq}").as_bytes())
}

/// Runs `test` on each backend with one session to a server that runs `serve`.
fn on_each_backend<T: Send + 'static>(
    serve: fn(&TcpListener) -> T,
    test: impl Fn(&mut Reactor, &mut Sessions<Client>, JoinHandle<T>),
) {
    for backend in [BackendKind::Socket, BackendKind::Uring] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut conn = ConnSpec::new(listener.local_addr().unwrap());
        conn.backoff_min = Duration::from_millis(1);
        let spec = ReactorSpec { conns: vec![conn], backend, ..ReactorSpec::default() };
        match Reactor::open(&spec) {
            Ok(mut reactor) => {
                let server = std::thread::spawn(move || serve(&listener));
                test(&mut reactor, &mut Sessions::new([Client::default()]), server);
            }
            Err(ReactorError::Unavailable { why, .. }) => println!("skips uring: {why}"),
            Err(ReactorError::Ring { source, .. }) if source.kind() == ErrorKind::OutOfMemory => {
                println!("skips uring: ulimit -l");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn poll_until(
    reactor: &mut Reactor,
    sessions: &mut Sessions<Client>,
    seen: &mut Seen,
    done: impl Fn(&Seen) -> bool,
) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done(seen) {
        assert!(Instant::now() < deadline, "{} messages", seen.messages.len());
        if sessions.poll(reactor, seen).unwrap() == 0 {
            std::thread::yield_now();
        }
    }
}

/// Sends everything, but breaks off in the middle of a message three times on the way.
fn serve_with_breaks(listener: &TcpListener) -> Vec<u64> {
    let mut asked = Vec::new();
    for last in [100, 101, 700, MESSAGES] {
        let (mut peer, from) = accept_login(listener);
        asked.push(from);
        let mut bytes = accepted(from);
        (from..=last).for_each(|seq| bytes.extend(message(seq)));
        if last == MESSAGES {
            bytes.extend(packet(b'Z', b""));
        } else {
            bytes.extend(&message(last + 1)[..5]);
        }
        peer.write_all(&bytes).unwrap();
    }
    asked
}

#[test]
fn a_broken_connection_is_resumed_behind_the_last_message() {
    on_each_backend(serve_with_breaks, |reactor, sessions, server| {
        let mut seen = Seen::default();
        poll_until(reactor, sessions, &mut seen, |seen| seen.ended == 1);
        assert_eq!(server.join().unwrap(), [1, 101, 102, 701]);
        let expected: Vec<_> =
            (1..=MESSAGES).map(|seq| (seq, format!("message {seq}").into_bytes())).collect();
        assert!(seen.messages == expected);
        assert!(seen.closed.len() >= 3);
        // The session ended: nobody comes back, the listener being gone would count as a failure.
        let deadline = Instant::now() + Duration::from_millis(20);
        while Instant::now() < deadline {
            sessions.poll(reactor, &mut seen).unwrap();
        }
        assert_eq!((reactor.counters().connects, reactor.counters().connect_failures), (4, 0));
    });
}

fn serve_after_refusing(listener: &TcpListener) {
    let (mut refused, _) = accept_login(listener);
    refused.write_all(&packet(b'J', b"A")).unwrap();
    let (mut peer, from) = accept_login(listener);
    peer.write_all(&[accepted(from), message(from), packet(b'Z', b"")].concat()).unwrap();
}

#[test]
fn a_refused_login_is_tried_again() {
    on_each_backend(serve_after_refusing, |reactor, sessions, server| {
        let mut seen = Seen::default();
        poll_until(reactor, sessions, &mut seen, |seen| seen.ended == 1);
        server.join().unwrap();
        assert_eq!(seen.messages.len(), 1);
        assert!(seen.closed.contains(&None));
    });
}

fn serve_silence_first(listener: &TcpListener) {
    let (mut silent, from) = accept_login(listener);
    silent.write_all(&[accepted(from), message(from)].concat()).unwrap();
    let (mut peer, from) = accept_login(listener);
    peer.write_all(&[accepted(from), message(from), packet(b'Z', b"")].concat()).unwrap();
    // Keeps the silent one open to the end.
    let _ = silent.read(&mut [0]);
}

#[test]
fn a_silent_peer_is_left_and_the_session_resumed() {
    on_each_backend(serve_silence_first, |reactor, sessions, server| {
        let mut seen = Seen::default();
        poll_until(reactor, sessions, &mut seen, |seen| seen.messages.len() == 1);
        for seconds in [0, 10, 14] {
            sessions.on_time(Nanos(seconds * 1_000_000_000), reactor, &mut seen);
            assert!(seen.closed.is_empty());
        }
        sessions.on_time(Nanos(SILENCE_NS + 1), reactor, &mut seen);
        assert_eq!(seen.closed, [None]);
        poll_until(reactor, sessions, &mut seen, |seen| seen.ended == 1);
        server.join().unwrap();
        let seqs: Vec<_> = seen.messages.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, [1, 2]);
        assert_eq!(sessions.client(0).unwrap().next, 3);
    });
}
