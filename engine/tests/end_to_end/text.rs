//! Lines of users' own data decide the same, under the same ids, however they come: replayed from a
//! file, received over TCP in either direction, as datagrams, as JSON or CSV, in every topology.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};

use super::support::{Process, Side, await_some, must, rules_section, run, text};

const RULES: &str = "
    CREATE STREAM payments (
        id BIGINT NOT NULL, account BIGINT, country CHAR(2), amount DECIMAL(18,2), ts TIMESTAMP(9))
      WITH (key = 'account', time = 'ts', lateness = '2s', time_unit = 'ms');
    CREATE STREAM large (id BIGINT, account BIGINT, amount DECIMAL(18,2)) WITH (key = 'account');
    CREATE ACTION hold (payment BIGINT, account BIGINT, reason VARCHAR(16), spent DECIMAL(18,2));

    CREATE RULE velocity ON payments PARTITION BY account
      WHEN count(*) OVER (RANGE INTERVAL '3' SECOND PRECEDING) >= 4
      THEN hold(id, account, 'velocity', sum(amount) OVER (RANGE INTERVAL '3' SECOND PRECEDING));
    INSERT INTO large SELECT id, account, amount FROM payments WHERE amount > 900;
    CREATE RULE again ON large PARTITION BY account
      WHEN count(*) OVER (ROWS 9 PRECEDING) >= 3 THEN hold(id, account, 'large again', amount);
    INSERT INTO hold SELECT id, account, 'nowhere', NULL FROM payments WHERE country IS NULL;
    CREATE RULE abroad ON payments PARTITION BY country
      WHEN sum(amount) OVER (RANGE INTERVAL '1' SECOND PRECEDING) > 11000
      THEN hold(id, account, 'abroad', sum(amount) OVER (RANGE INTERVAL '1' SECOND PRECEDING));
    INSERT INTO hold SELECT id, account, 'every tenth', sum(amount) OVER last FROM payments
      WINDOW last AS (ROWS 9 PRECEDING), ever AS () QUALIFY count(*) OVER ever % 10 = 0;
    CREATE VIEW spend AS SELECT account, max(id) AS last, sum(amount) AS spent FROM payments
      GROUP BY account, hop(ts, INTERVAL '5' SECOND, INTERVAL '10' SECOND) HAVING count(*) > 2;
    INSERT INTO hold SELECT last, account, 'spent much', spent FROM spend WHERE spent > 5000;
    INSERT INTO hold SELECT count(*), account, 'after a pause', sum(amount) FROM payments
      GROUP BY account, session(ts, INTERVAL '4' SECOND) HAVING count(*) > 5;
";

/// A few thousand payments, a little out of order; every hundredth line is none.
fn payments(count: u64) -> (String, String) {
    let (mut json, mut csv) = (String::new(), "id,account,country,amount,ts\n".to_owned());
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for id in 0..count {
        if id % 100 == 50 {
            json.push_str("{\"id\":1,\"ts\":\n");
            csv.push_str("1,2,3,4,5,6\n");
            continue;
        }
        let (account, cents) = (random(97), random(100_000));
        let ts = 1_700_000_000_000 + id * 20 + random(100);
        let country =
            if random(50) == 0 { None } else { Some(["DE", "FR", "US"][id as usize % 3]) };
        let (units, rest) = (cents / 100, cents % 100);
        let quoted = country.map_or("null".to_owned(), |country| format!("\"{country}\""));
        let country = country.unwrap_or_default();
        writeln!(
            json,
            "{{\"id\":{id},\"ts\":{ts},\"account\":{account},\"country\":{quoted},\
             \"amount\":{units}.{rest:02},\"note\":[1,{{}}]}}"
        )
        .unwrap();
        writeln!(csv, "{id},{account},{country},{units}.{rest:02},{ts}").unwrap();
    }
    // The last line has no end, as in many files.
    json.pop();
    csv.pop();
    // A header is a line too: the first line of the other is blank, so that numbers are the same.
    (format!("\n{json}"), csv)
}

fn feed(format: &str, source: &str) -> String {
    format!("[[feed]]\nname = \"feed\"\nprotocol = \"{format}\"\nstream = \"payments\"\n{source}\n")
}

struct Files {
    dir: tempfile::TempDir,
    rules: String,
    lines: String,
    json: PathBuf,
    csv: PathBuf,
}

impl Files {
    fn new(count: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (lines, separated) = payments(count);
        let (json, csv) = (dir.path().join("p.jsonl"), dir.path().join("p.csv"));
        fs::write(&json, &lines).unwrap();
        fs::write(&csv, separated).unwrap();
        Self { rules: rules_section(dir.path(), RULES), dir, lines, json, csv }
    }

    fn side(&self, engine: &str, format: &str, source: &str) -> Side {
        Side::new(engine, &feed(format, source), &self.rules)
    }
}

fn replay(side: &Side, file: &Path, speed: &str) {
    must(side.path(), &["replay", text(&side.config), "--input", text(file), "--speed", speed]);
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A connection to an address at which somebody will listen.
fn connect(address: SocketAddr) -> TcpStream {
    await_some("a listener", || TcpStream::connect(address).ok())
}

/// Runs live over a connection that the engine waits for.
fn listening(files: &Files, engine: &str, pieces: usize) -> Side {
    let address = free_port();
    let side = files.side(engine, "json", &format!("listen = \"{address}\""));
    let process = side.start(&["--until-end"]);
    let mut stream = connect(address);
    for piece in files.lines.as_bytes().chunks(pieces) {
        stream.write_all(piece).unwrap();
    }
    drop(stream);
    process.done();
    side
}

#[test]
fn lines_decide_the_same_however_they_come() {
    let files = Files::new(6_000);
    let reference = files.side("", "json", "");
    replay(&reference, &files.json, "max");
    reference.assert_journal_closed();
    let (expected, sorted) = (reference.actions(), reference.sorted());
    let all =
        ["velocity", "large again", "nowhere\",\"spent\":null", "spent much", "after a pause"];
    for wanted in all.into_iter().chain(["abroad", "every tenth"]) {
        assert!(expected.contains(wanted), "{wanted}");
    }
    let report = reference.report();
    let counters = &report["feeds"][0]["counters"];
    assert_eq!(counters["bad_syntax"], 60);
    assert_eq!((&counters["rejected"], &counters["blank_lines"]), (&60.into(), &1.into()));
    let note = &report["feeds"][0]["notes"][0];
    assert_eq!(note, "rejected line 52, byte 14: this is not well formed");
    assert_eq!(report["totals"]["lines_rejected"], 60);

    let paced = files.side("", "json", "");
    replay(&paced, &files.json, "1000");
    assert!(paced.actions() == expected, "paced");
    paced.assert_same_journal(&reference);
    let csv = files.side("", "csv", "");
    replay(&csv, &files.csv, "max");
    assert!(csv.actions() == expected, "CSV");
    for shards in [1, 2, 4] {
        let engine = format!("topology = \"pipelined\"\nshards = {shards}");
        let side = files.side(&engine, "json", "");
        replay(&side, &files.json, "max");
        assert!(side.sorted() == sorted, "{shards} shards replayed");
        let side = listening(&files, &engine, 10_000);
        assert!(side.sorted() == sorted, "{shards} shards live");
    }
    for (backend, pieces) in [("socket", 333), ("auto", 70_000)] {
        let side = listening(&files, &format!("backend = \"{backend}\""), pieces);
        assert!(side.actions() == expected, "live over {backend}");
        side.assert_same_journal(&reference);
    }
}

#[test]
fn the_engine_connects_too_and_each_connection_is_a_session() {
    let files = Files::new(500);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let side = files.side("", "json", &format!("connect = \"{address}\""));
    let process = side.start(&[]);
    let mut first = listener.accept().unwrap().0;
    first.write_all(files.lines.as_bytes()).unwrap();
    drop(first);
    let mut second = listener.accept().unwrap().0;
    // There is no third connection.
    drop(listener);
    second.write_all(files.lines.as_bytes()).unwrap();
    drop(second);
    let reference = files.side("", "json", "");
    replay(&reference, &files.json, "max");
    let once = reference.actions().lines().count();
    await_some("both connections' actions", || {
        (side.actions().lines().count() >= 2 * once).then_some(())
    });
    process.signal(rustix::process::Signal::TERM);
    process.done();
    let report = side.report();
    let counters = &report["feeds"][0]["counters"];
    assert_eq!((&counters["sessions"], &counters["restarts"]), (&2.into(), &1.into()));
    // The first connection's ids are those of the file.
    assert!(side.actions().starts_with(&reference.actions()));
    let actions = side.actions();
    let ids = actions.lines().filter_map(|line| line.split('"').nth(3));
    let ids: std::collections::BTreeSet<&str> = ids.collect();
    assert_eq!(ids.len(), actions.lines().count(), "no id comes twice");
}

#[test]
fn datagrams_hold_one_or_more_lines() {
    let files = Files::new(300);
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let side = files.side("", "json", &format!("lines = [\"{address}\"]"));
    let process = side.start(&["--idle-exit", "300ms"]);
    send(&files, address);
    process.done();
    let reference = files.side("", "json", "");
    replay(&reference, &files.json, "max");
    assert!(side.actions() == reference.actions());
}

/// Sends the lines, three to a datagram.
fn send(files: &Files, address: SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let lines: Vec<&str> = files.lines.split('\n').collect();
    for three in lines.chunks(3) {
        socket.send_to(three.join("\n").as_bytes(), address).unwrap();
    }
}

#[test]
fn what_does_not_go_together_is_told_where_it_stands() {
    let files = Files::new(10);
    let told = |side: &Side, wanted: &[&str]| {
        let ended = run(side.path(), &["check", text(&side.config)]);
        assert_eq!(ended.status.code(), Some(78), "{ended:?}");
        wanted.iter().for_each(|wanted| assert!(ended.stderr.contains(wanted), "{}", ended.stderr));
    };
    let unknown = feed("json", "").replace("payments", "paymnts");
    told(
        &Side::new("", &unknown, &files.rules),
        &["config.toml:14:10", "unknown stream `paymnts`", "did you mean `payments`?"],
    );
    let untimed = feed("json", "").replace("payments", "large");
    told(&Side::new("", &untimed, &files.rules), &["the stream `large` has no event time"]);
    let both = feed("json", "connect = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:1\"");
    told(&Side::new("", &both, &files.rules), &["one of `lines`, `connect` and `listen`"]);
    let open = feed("json", "listen = \"0.0.0.0:1\"");
    told(&Side::new("", &open, &files.rules), &["an address of the loopback interface"]);
    let apart = format!("{}{}", feed("json", ""), feed("csv", "reactor = 1"));
    let apart = apart.replacen("\"feed\"", "\"first\"", 1);
    told(&Side::new("reactors = 2", &apart, &files.rules), &["to another reactor", "pipelined"]);
    told(&Side::new("", &feed("json", "midnight = 5"), &files.rules), &["unknown key `midnight`"]);

    let two = format!("{}{}", feed("json", ""), feed("csv", ""));
    let two = Side::new("", &two.replacen("\"feed\"", "\"first\"", 1), &files.rules);
    let ended = run(two.path(), &["replay", text(&two.config), "--input", text(&files.json)]);
    assert!(ended.stderr.contains("could be of the feeds first, feed"), "{}", ended.stderr);
    let args = ["replay", text(&two.config), "--input", text(&files.json), "--feed", "first"];
    must(two.path(), &args);
    let checked = must(two.path(), &["check", text(&two.config)]);
    assert!(checked.contains("feed first: json of stream payments, captures only"), "{checked}");
    // What is no capture is refused as before where nothing could read it as lines.
    let none = Side::new("", "[[feed]]\nprotocol = \"itch50\"\n", "");
    let ended = run(none.path(), &["replay", text(&none.config), "--pcap", text(&files.json)]);
    assert!(ended.stderr.contains("neither pcap nor pcapng"), "{}", ended.stderr);
    drop(files.dir);
}

#[test]
fn a_port_that_is_taken_ends_the_run_at_once() {
    let files = Files::new(10);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!("listen = \"{}\"", taken.local_addr().unwrap());
    let side = files.side("", "json", &source);
    let ended: Result<Process, _> = side.try_start(&[]);
    let ended = ended.err().unwrap();
    assert!(ended.stderr.contains("listening"), "{}", ended.stderr);
}

/// Nothing comes any more and the connection stays: the feed's own time goes on.
#[test]
fn a_tick_closes_the_windows_of_a_silent_feed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.sql");
    let rules = "
        CREATE STREAM payments (account BIGINT, ts TIMESTAMP(9))
          WITH (time = 'ts', lateness = '10ms', time_unit = 'ms');
        CREATE ACTION seen (account BIGINT, n BIGINT, till TIMESTAMP(9));
        INSERT INTO seen SELECT account, count(*), window_end FROM payments
        GROUP BY account, tumble(ts, INTERVAL '100' MILLISECOND);";
    fs::write(&file, rules).unwrap();
    let address = free_port();
    let feed = feed("json", &format!("listen = \"{address}\"\ntick = \"20ms\""));
    let side = Side::new("", &feed, &format!("[[rules]]\nfile = \"{}\"\n", text(&file)));
    let process = side.start(&["--until-end"]);
    let mut stream = connect(address);
    stream.write_all(b"{\"account\":7,\"ts\":5}\n{\"account\":7,\"ts\":9}\n").unwrap();
    let actions = await_some("an action", || {
        let actions = fs::read_to_string(side.actions_file()).ok()?;
        actions.contains("\"n\":2").then_some(actions)
    });
    drop(stream);
    process.done();
    assert_eq!((side.actions().as_str(), actions.lines().count()), (actions.as_str(), 1));
    let journal = must(side.path(), &["journal", "inspect", text(&side.journal())]);
    assert!(journal.contains("sys.tick"), "{journal}");
}
