//! Configurations that read, and mistakes that are shown where they are.

use corelane_feeds::record::{Record, StreamId};
use corelane_strategies::outbox::Outbox;
use corelane_strategies::registry::{Factory, ParamDoc, Registry};
use corelane_strategies::strategy::{StateError, Strategy};

use crate::config::{Config, FeedKind, Source, Topology};

/// Wants nothing and does nothing: stands for any strategy.
struct Quiet;

impl Strategy for Quiet {
    fn name(&self) -> &str {
        "quiet"
    }
    fn streams(&self) -> &[StreamId] {
        &[]
    }
    fn actions_max(&self) -> usize {
        0
    }
    fn on_record(&mut self, _record: &Record, _outbox: &mut Outbox) {}
    fn save(&self, _out: &mut Vec<u8>) {}
    fn restore(&mut self, _bytes: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
}

fn parse(text: &str) -> Result<Config, String> {
    let mut registry = Registry::default();
    registry.add(Factory {
        name: "quiet",
        doc: "Does nothing.",
        params: &[ParamDoc { name: "window", default: "1s", doc: "How long." }],
        build: |params| {
            params.duration_ns("window", 1)?;
            Ok(Box::new(Quiet))
        },
    });
    Config::parse("test.toml", text, &registry).map_err(|error| error.to_string())
}

const FEED: &str = "[[feed]]\nprotocol = \"itch50\"\nlines = [\"239.1.1.1:5000\"]\n";

#[test]
fn defaults_are_filled_in_and_the_echo_reads_back_the_same() {
    let text = format!(
        "name = \"t\"\n[engine]\ntopology = \"pipelined\"\nshards = 2\n\
         [journal]\nsnapshot_every = 9\nretain_bytes = \"1GiB\"\nretain_age = \"1h\"\n\
         retain_segments = 7\n{FEED}\
         midnight = 2019-12-30T00:00:00-05:00\ntick = \"1.5s\"\n\
         [[strategy]]\ntype = \"quiet\"\nwindow = \"2s\"\n\
         [[sink]]\ntype = \"file\"\npath = \"a \\\"b\\\".jsonl\"\n"
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.engine.topology, Topology::Pipelined);
    assert_eq!((config.engine.shards, config.engine.reactors), (2, 1));
    let feed = &config.feeds[0];
    assert!(matches!(&feed.source, Source::Lines { lines, .. } if lines.len() == 1));
    let FeedKind::Venue { midnight, .. } = feed.kind else { panic!("a venue's feed") };
    assert_eq!(midnight.0, 1_577_682_000_000_000_000);
    assert_eq!(feed.tick_ns, 1_500_000_000);
    assert!(config.journal.retain.is_set());
    let echo = config.to_string();
    assert_eq!(parse(&echo).unwrap().journal.retain, config.journal.retain);
    assert_eq!(parse(&echo).unwrap().to_string(), echo);
}

/// Every wrong file names its place and what is allowed.
#[test]
fn mistakes_point_at_the_text() {
    let cases: &[(&str, &str, &str)] = &[
        ("name = ", "test.toml:1:", "TOML"),
        ("[[feed]]\nprotocol = \"itch5\"\n", "test.toml:2:12", "did you mean `itch50`?"),
        ("[[feed]]\nlines = []\n", "test.toml:1:1", "needs `protocol`"),
        ("[engine]\ntopolgy = \"fused\"\n", "test.toml:2:1", "did you mean `topology`?"),
        ("[engine]\ntopology = \"fussed\"\n", "test.toml:2:12", "did you mean `fused`?"),
        ("[engine]\nshards = 2\n", "test.toml:2:10", "one shard per reactor"),
        ("[engine]\nring_slots = 1\n", "test.toml:2:14", "from 64 to"),
        ("[journal]\nsegment = \"64 parsecs\"\n", "test.toml:2:11", "`parsecs` is no unit"),
        ("[journal]\nsegment = \"4KiB\"\n", "test.toml:2:11", "at least 64KiB"),
        ("[journal]\nenabled = 1\n", "test.toml:2:11", "`true` or `false`"),
        ("[journal]\ndurability = \"sync\"\n", "test.toml:2:14", "needs `durable_dir`"),
        ("[journal]\ndir = \"/a\"\ndurable_dir = \"/a\"\n", "test.toml:3:15", "another folder"),
        ("[journal]\ngroup = \"1KiB\"\n", "test.toml:2:9", "from 64KiB to 64MiB"),
        ("[journal]\ninterval = \"1h\"\n", "test.toml:2:12", "from 1ns to 1min"),
        ("[journal]\nretain_segments = 3\n", "test.toml:2:19", "set `snapshot_every`"),
        ("[journal]\nretain_age = \"1h\"\n", "test.toml:2:14", "once snapshots have"),
        ("[journal]\nretain_bytes = \"1\"\n", "test.toml:2:16", "a number of bytes"),
        ("[journal]\nhot_segments = 0\n", "test.toml:2:16", "must be from 1"),
        ("", "test.toml:1:1", "at least one [[feed]]"),
        ("feed = 3\n", "test.toml:1:8", "must be tables"),
        ("[[strategy]]\ntype = \"quite\"\n", "test.toml:2:8", "did you mean `quiet`?"),
        ("[[strategy]]\ntype = \"quiet\"\nwindw = \"1s\"\n", "test.toml:3:9", "windw"),
        ("[[strategy]]\ntype = \"quiet\"\nwindow = 3\n", "test.toml:3:10", "duration"),
        ("[[sink]]\ntype = \"tcp\"\n", "test.toml:1:1", "needs `address`"),
        ("[[sink]]\ntype = \"file\"\npath = \"x\"\nformat = \"xml\"\n", "test.toml:4:10", "json"),
    ];
    for (text, place, says) in cases {
        let error = parse(text).expect_err(text);
        assert!(error.contains(place) && error.contains(says), "{text}\n{error}");
    }
}

#[test]
fn every_mistake_is_shown_at_once() {
    let error = parse("[engine]\nshard = 1\nwait = \"nap\"\n[[feed]]\nprotocl = 1\n").unwrap_err();
    assert_eq!(error.matches("error:").count(), 4, "{error}");
}

/// The commented reference is what a newcomer copies from: it reads, its defaults are the defaults,
/// and it names every key that there is.
#[test]
fn the_reference_configuration_is_true() {
    let text = include_str!("../../../../tuning/corelane.toml");
    let registry = Registry::builtin();
    let config = Config::parse("corelane.toml", text, &registry).unwrap();
    assert_eq!(config.journal.dir.to_str(), Some("/dev/shm/corelane-reference"));
    let bare = "[[feed]]\nprotocol = \"itch50\"\nlines = [\"127.0.0.1:1\"]";
    let bare = Config::parse("bare.toml", bare, &registry).unwrap();
    assert_eq!(config.engine, bare.engine);
    assert_eq!(config.journal.segment_bytes, bare.journal.segment_bytes);
    assert_eq!(config.journal.durability, bare.journal.durability);
    assert_eq!(config.journal.interval_ns, bare.journal.interval_ns);
    assert_eq!(config.journal.group_bytes, bare.journal.group_bytes);
    assert_eq!(config.journal.hot_segments, bare.journal.hot_segments);
    assert_eq!(config.feeds[0].rcvbuf_bytes, bare.feeds[0].rcvbuf_bytes);
    let hold_max = |config: &Config| match config.feeds[0].kind {
        FeedKind::Venue { hold_max, .. } => hold_max,
        FeedKind::Text(_) => 0,
    };
    assert_eq!(hold_max(&config), hold_max(&bare));

    // What stands there for a feed of lines reads, too.
    let begin = text.find("# name = \"payments\"").unwrap();
    let section = text[begin..].lines().map_while(|line| line.strip_prefix("# "));
    let other_source = |line: &&str| line.starts_with("connect") || line.starts_with("lines");
    let keys: Vec<&str> =
        section.filter(|line| line.contains(" = ") && !other_source(line)).collect();
    let csv = keys.join("\n").replace("\"json\"", "\"csv\"");
    let config = Config::parse("csv.toml", &format!("[[feed]]\n{csv}"), &registry).unwrap();
    let echo = config.to_string();
    assert_eq!(Config::parse("csv.toml", &echo, &registry).unwrap().to_string(), echo);
    assert!(echo.contains("separator = \",\"") && echo.contains("listen = "), "{echo}");

    for section in ["engine", "journal", "report"] {
        let wrong = format!("[{section}]\nno_such_key = 1\n");
        let error = Config::parse("wrong.toml", &wrong, &registry).unwrap_err().to_string();
        let known = error.split("known keys: ").nth(1).and_then(|rest| rest.lines().next());
        for key in known.unwrap().split(", ") {
            assert!(text.contains(&format!("{key} = ")), "the reference lacks `{section}.{key}`");
        }
    }
}
