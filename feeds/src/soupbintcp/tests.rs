//! A client against made-up servers: resuming, cut streams, silence.

use super::*;

fn client(first: u64) -> Client {
    let mut client = Client::new(Credentials::new("user", "secret"), *b"          ", first);
    client.connected();
    client
}

fn server(session: &SessionName, next: u64, messages: &[&[u8]]) -> Vec<u8> {
    let mut wire = Vec::new();
    write_accepted(&mut wire, session, next);
    for message in messages {
        write_packet(&mut wire, b'S', message);
    }
    wire
}

fn give(client: &mut Client, wire: &[u8]) -> (Event, Vec<(u64, Vec<u8>)>) {
    let mut seen = Vec::new();
    let event = client.bytes(wire, |_, seq, message| seen.push((seq, message.to_vec())));
    (event, seen)
}

#[test]
fn a_login_names_user_session_and_first_message() {
    let client = client(42);
    let output = client.output();
    assert_eq!((output.len(), output[2]), (3 + LOGIN_BYTES, b'L'));
    let login = Login::parse(&output[3..]).unwrap();
    assert_eq!((&login.username, &login.password), (b"user  ", b"secret    "));
    assert_eq!((login.session, login.first), (*b"          ", 42));
    assert!(!format!("{client:?}").contains("secret"));
}

#[test]
fn any_cut_of_the_stream_gives_the_same_messages() {
    let wire = server(b"  SESSION1", 5, &[b"one", b"", b"three"]);
    let whole = give(&mut client(5), &wire);
    assert_eq!(whole.1, [(5, b"one".to_vec()), (6, Vec::new()), (7, b"three".to_vec())]);
    for cut in 0..wire.len() {
        let mut client = client(5);
        let mut seen = give(&mut client, &wire[..cut]).1;
        seen.extend(give(&mut client, &wire[cut..]).1);
        assert_eq!(seen, whole.1, "cut at {cut}");
    }
    let mut client = client(5);
    let bytewise: Vec<_> = wire.chunks(1).flat_map(|byte| give(&mut client, byte).1).collect();
    assert_eq!(bytewise, whole.1);
}

#[test]
fn after_a_reconnect_nothing_is_missing_and_nothing_repeated() {
    let mut client = client(1);
    let wire = server(b"SESSION1  ", 1, &[b"a", b"b"]);
    assert_eq!(give(&mut client, &wire[..wire.len() - 1]).1.len(), 1);
    client.connected();
    let login = Login::parse(&client.output()[3..]).unwrap();
    assert_eq!((&login.session, login.first), (b"SESSION1  ", 2));
    // This server does not resume where it was asked to.
    let (event, seen) = give(&mut client, &server(b"SESSION1  ", 1, &[b"a", b"b", b"c"]));
    assert_eq!(event, Event::Proceed);
    assert_eq!(seen, [(2, b"b".to_vec()), (3, b"c".to_vec())]);
    assert_eq!(client.counters().repeats, 1);
}

/// A run that had received a session to its end asked for the current one from its start, and got
/// all of it once more from a server that had not begun another: everything was decided twice.
#[test]
fn a_session_that_is_over_is_not_received_again() {
    let behind = || {
        let mut client = client(1).behind(*b"SESSION1  ", 3);
        client.connected();
        client
    };
    let again = server(b"SESSION1  ", 1, &[b"a", b"b", b"late"]);
    assert_eq!(give(&mut behind(), &again).1, [(3, b"late".to_vec())]);
    let another = server(b"SESSION2  ", 1, &[b"new"]);
    assert_eq!(give(&mut behind(), &another).1, [(1, b"new".to_vec())]);
}

#[test]
fn the_newest_message_may_be_asked_for() {
    let (_, seen) = give(&mut client(0), &server(b"S         ", 900, &[b"x"]));
    assert_eq!(seen, [(900, b"x".to_vec())]);
}

#[test]
fn refusals_ends_and_nonsense_are_told_apart() {
    let mut wire = Vec::new();
    write_packet(&mut wire, b'J', b"A");
    assert_eq!(give(&mut client(1), &wire).0, Event::Rejected(b'A'));
    let mut wire = server(b"S         ", 1, &[]);
    write_packet(&mut wire, b'+', b"hello");
    write_packet(&mut wire, b'?', b"");
    write_packet(&mut wire, b'Z', b"");
    let mut ended = client(1);
    assert_eq!(give(&mut ended, &wire).0, Event::Ended);
    assert_eq!((ended.counters().unsequenced, ended.counters().unknown_types), (1, 1));
    assert_eq!(give(&mut client(1), &[0, 0]).0, Event::BadFraming);
    let mut early = Vec::new();
    write_packet(&mut early, b'S', b"x");
    assert_eq!(give(&mut client(1), &early).0, Event::BadFraming);
    let mut accepted = Vec::new();
    write_packet(&mut accepted, b'A', b"SESSION1  not a number        ");
    assert_eq!(give(&mut client(1), &accepted).0, Event::BadFraming);
}

#[test]
fn heartbeats_go_out_and_silence_is_noticed() {
    let mut client = client(1);
    client.output_taken();
    assert_eq!(client.on_time(0), Event::Proceed);
    assert_eq!(client.on_time(2 * HEARTBEAT_NS), Event::Proceed);
    assert!(client.output().is_empty(), "no heartbeat before the login");
    give(&mut client, &server(b"S         ", 1, &[]));
    client.on_time(3 * HEARTBEAT_NS);
    assert_eq!(client.output(), [0, 1, b'R']);
    client.output_taken();
    assert_eq!(client.on_time(3 * HEARTBEAT_NS + SILENCE_NS - 1), Event::Proceed);
    assert_eq!(client.on_time(3 * HEARTBEAT_NS + SILENCE_NS), Event::Silent);
}

/// A server that began at the last number once overflowed the next one.
#[test]
fn a_server_at_the_end_of_numbers_is_refused() {
    let wire = server(b"S         ", u64::MAX, &[b"x", b"y"]);
    assert_eq!(give(&mut client(1), &wire), (Event::BadFraming, Vec::new()));
}

#[test]
fn a_second_login_answer_on_a_connection_is_refused() {
    let mut wire = server(b"SESSION1  ", 1, &[b"a"]);
    wire.extend(server(b"SESSION2  ", 1, &[]));
    wire.extend(server(b"SESSION1  ", 1, &[b"a"]));
    let (event, seen) = give(&mut client(1), &wire);
    assert_eq!((event, seen), (Event::BadFraming, vec![(1, b"a".to_vec())]));
}
