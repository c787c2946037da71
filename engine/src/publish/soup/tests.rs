//! Servers and clients over loopback TCP, with both runtimes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use corelane_feeds::soupbintcp::{Client, Credentials, Event};

use super::*;
use crate::generate::session::{Config, generate};

/// Longest that any wait in these tests may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A file of 20,000 messages, and the messages.
fn capture(dir: &Path) -> (PathBuf, Vec<Vec<u8>>) {
    let config = Config { messages: 20_000, symbols: 50, ..Config::default() };
    let (bytes, _) = generate(&config, Vec::new()).unwrap();
    let path = dir.join("a.itch");
    std::fs::write(&path, &bytes).unwrap();
    let mut messages = Vec::new();
    let mut rest = &bytes[..];
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let (message, more) = more.split_at(usize::from(u16::from_be_bytes(*length)));
        messages.push(message.to_vec());
        rest = more;
    }
    (path, messages)
}

fn server(path: PathBuf, pace: Pace, clients: u64) -> Arc<Server> {
    let config = ServeConfig { path, pace, clients };
    Arc::new(Server::bind(config, "127.0.0.1:0".parse().unwrap()).unwrap())
}

type Serve = fn(&Arc<Server>);

/// Both runtimes: an executor where there may be one, and threads.
const RUNTIMES: [Serve; 2] = [
    |server| {
        server.serve().unwrap();
    },
    |server| threads::Threads.serve(server).unwrap(),
];

/// Talks to the server until `enough` says so or the session ends; returns what the client gave.
fn converse(
    client: &mut Client,
    address: SocketAddr,
    enough: impl Fn(usize) -> bool,
) -> (Vec<(u64, Vec<u8>)>, Event) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    client.connected();
    let mut found = Vec::new();
    let mut buffer = [0; 4_096];
    let deadline = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < deadline);
        stream.write_all(client.output()).unwrap();
        client.output_taken();
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "the server closed");
        let event = client.bytes(&buffer[..length], |_, seq, message| {
            found.push((seq, message.to_vec()));
        });
        if event != Event::Proceed || enough(found.len()) {
            return (found, event);
        }
    }
}

#[test]
fn clients_get_every_message_and_resume_where_they_left() {
    let dir = tempfile::tempdir().unwrap();
    let (path, messages) = capture(dir.path());
    for serve in RUNTIMES {
        let server = server(path.clone(), Pace::Max, 2);
        let address = server.local_addr().unwrap();
        let serving = Arc::clone(&server);
        let thread = std::thread::spawn(move || serve(&serving));

        let mut whole = Client::new(Credentials::new("u", "p"), [b' '; 10], 1);
        let (found, event) = converse(&mut whole, address, |_| false);
        assert_eq!(event, Event::Ended);
        assert!(found.iter().map(|(_, message)| message).eq(&messages));
        assert!(found.iter().map(|&(seq, _)| seq).eq(1..=20_000));

        // Leaves in the middle, and comes back for the rest.
        let mut torn = Client::new(Credentials::new("u", "p"), [b' '; 10], 5);
        let (mut found, event) = converse(&mut torn, address, |count| count > 3_000);
        assert_eq!(event, Event::Proceed);
        let (rest, event) = converse(&mut torn, address, |_| false);
        assert_eq!(event, Event::Ended);
        found.extend(rest);
        assert!(found.iter().map(|(_, message)| message).eq(&messages[4..]));
        thread.join().unwrap();
    }
}

#[test]
fn a_session_that_is_not_served_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = capture(dir.path());
    for serve in RUNTIMES {
        let server = server(path.clone(), Pace::Max, 0);
        let serving = Arc::clone(&server);
        let thread = std::thread::spawn(move || serve(&serving));
        let mut client = Client::new(Credentials::new("u", "p"), *b"OTHER     ", 1);
        let (found, event) = converse(&mut client, server.local_addr().unwrap(), |_| false);
        assert_eq!((found.len(), event), (0, Event::Rejected(b'S')));
        server.stop();
        thread.join().unwrap();
    }
}

#[test]
fn messages_are_not_given_before_they_are_due() {
    let dir = tempfile::tempdir().unwrap();
    let (path, messages) = capture(dir.path());
    for serve in RUNTIMES {
        let server = server(path.clone(), Pace::Rate(200_000.0), 1);
        let serving = Arc::clone(&server);
        let thread = std::thread::spawn(move || serve(&serving));
        let mut client = Client::new(Credentials::new("u", "p"), [b' '; 10], 1);
        let started = Instant::now();
        let (found, _) = converse(&mut client, server.local_addr().unwrap(), |_| false);
        assert_eq!(found.len(), messages.len());
        // 20,000 messages at 200,000 a second, the last of them at the end of that time.
        assert!(started.elapsed() >= Duration::from_millis(95), "{:?}", started.elapsed());
        thread.join().unwrap();
    }
}

#[test]
fn where_io_uring_is_refused_threads_serve() {
    let dir = tempfile::tempdir().unwrap();
    let (path, messages) = capture(dir.path());
    let server = server(path, Pace::Max, 1);
    let serving = Arc::clone(&server);
    let thread = std::thread::spawn(move || {
        use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let calls = [(libc::SYS_io_uring_setup, Vec::new())].into();
        let refuse = SeccompAction::Errno(libc::EPERM as u32);
        let filter = SeccompFilter::new(calls, SeccompAction::Allow, refuse, arch).unwrap();
        let program: BpfProgram = filter.try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        serving.serve().unwrap()
    });
    let mut client = Client::new(Credentials::new("u", "p"), [b' '; 10], 1);
    let (found, _) = converse(&mut client, server.local_addr().unwrap(), |_| false);
    assert_eq!(found.len(), messages.len());
    assert_eq!(thread.join().unwrap(), messages.len() as u64);
}

#[test]
fn what_is_no_login_closes_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = capture(dir.path());
    let server = server(path, Pace::Max, 1);
    for bytes in [&b"\0\x05Lhey!"[..], b"\xff\xffL", b"\0\0L", b"\0\x01O"] {
        let mut connection = Connection::new(Arc::clone(&server)).unwrap();
        connection.receive(bytes).unwrap();
        assert!(connection.is_closed(), "{connection:?}");
    }
    let mut connection = Connection::new(Arc::clone(&server)).unwrap();
    connection.receive(b"\0\x01R").unwrap();
    assert!(!connection.is_closed() && connection.collect().unwrap() > 0);
}
