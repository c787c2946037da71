//! `corelane journal repair`, `export` and `inspect`: what people do with journals.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::recovery::{assert_goes_on, ended_run};
use super::support::{Side, must, run, text};

fn segment(side: &Side, number: u64) -> PathBuf {
    side.journal().join(format!("shard-000/{number:010}.segment"))
}

/// Bytes of files beside the segments that were cut off.
fn cut_off(side: &Side) -> usize {
    let entries = fs::read_dir(side.journal().join("shard-000")).unwrap().map(Result::unwrap);
    let cut = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with("torn-"));
    cut.map(|entry| fs::read(entry.path()).unwrap().len()).sum()
}

fn entries(side: &Side) -> u64 {
    let said = must(side.path(), &["journal", "inspect", "--json", text(&side.journal())]);
    serde_json::from_str::<Value>(&said).unwrap()[0]["entries"].as_u64().unwrap()
}

#[test]
fn a_torn_end_is_cut_when_it_is_asked_for() {
    let (side, _) = ended_run("");
    let (path, journal) = (segment(&side, 0), side.journal());
    let before = fs::read(&path).unwrap();
    let whole = must(side.path(), &["journal", "repair", text(&journal)]);
    assert!(whole.contains("nothing to repair"), "{whole}");
    let used = before.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let mut torn = before.clone();
    // The end marker and most of the entry before it.
    torn[used - 64..].fill(0);
    fs::write(&path, &torn).unwrap();
    let said = must(side.path(), &["journal", "repair", text(&journal)]);
    assert!(said.contains("would cut at byte") && said.contains("--write"), "{said}");
    assert!(fs::read(&path).unwrap() == torn, "nothing is done unless it is asked for");
    must(side.path(), &["journal", "repair", text(&journal), "--write"]);
    assert!(cut_off(&side) > 0);
    let said = must(side.path(), &["journal", "verify", text(&journal)]);
    assert!(said.contains("ends behind a whole entry"), "{said}");
    assert_goes_on(&side, "open");
}

#[test]
fn damage_is_cut_only_where_it_is_told_to_and_every_byte_is_kept() {
    let (side, _) = ended_run("");
    let shard = side.journal().join("shard-000");
    assert_goes_on(&side, "closed");
    let (path, all) = (segment(&side, 0), entries(&side));
    let mut damaged = fs::read(&path).unwrap();
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let later = fs::read(segment(&side, 1)).unwrap().len();
    let refused = run(side.path(), &["journal", "repair", text(&shard), "--write"]);
    assert_eq!(refused.status.code(), Some(65), "{refused:?}");
    assert!(fs::read(&path).unwrap() == damaged);
    let place = refused.stderr.split("--cut-at ").nth(1).unwrap().trim().to_owned();
    let offset: usize = place.strip_prefix("0:").unwrap().parse().unwrap();
    assert!(offset <= at, "{place} is not behind {at}");
    let nowhere = format!("0:{}", offset + 8);
    let args = ["journal", "repair", text(&shard), "--write", "--cut-at", &nowhere];
    let ended = run(side.path(), &args);
    assert!(ended.stderr.contains("no entry begins at"), "{ended:?}");
    let said = must(side.path(), &["journal", "repair", text(&shard), "--cut-at", &place]);
    assert!(said.contains("would move segment 1 into"), "{said}");
    must(side.path(), &["journal", "repair", text(&shard), "--write", "--cut-at", &place]);
    assert_eq!(cut_off(&side), damaged.len() - offset + later);
    assert!(entries(&side) < all && entries(&side) > 1_000);
    must(side.path(), &["replay", "--journal", text(&side.journal())]);
    assert_goes_on(&side, "open");
}

/// A side whose rules declare an action and a stream.
fn declared() -> Side {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.sql");
    let rules = "CREATE ACTION print (symbol SYMBOL, notional DECIMAL(18,2), what VARCHAR(8));
        CREATE RULE large ON book.order PARTITION BY symbol
          WHEN kind = 'E' AND qty > 200 AND count(*) OVER (ROWS 9 PRECEDING) > 2
          THEN print(symbol, price * qty, CASE WHEN qty > 400 THEN 'a,\"b\"' END);
        INSERT INTO alert (kind, symbol, count)
          SELECT 'second', symbol, count(*) FROM book.order
          GROUP BY symbol, tumble(ts_event, INTERVAL '1' SECOND);
        CREATE RULE gone ON book.order PARTITION BY symbol
          MATCH EVERY a:(kind = 'A' AND qty > 400) -> d:(kind = 'D' AND order_ref = a.order_ref)
          WITHIN INTERVAL '5' SECOND THEN
          alert('', d.symbol, 'gone', d.order_ref, d.price, d.qty, 1, d.ts_event, 0);";
    fs::write(&file, rules).unwrap();
    let (side, _) = ended_run(&format!("[[rules]]\nfile = \"{}\"\n", text(&file)));
    side
}

#[test]
fn entries_have_the_columns_that_rules_declared() {
    let side = declared();
    let journal = side.journal();
    let listed = must(side.path(), &["journal", "inspect", "--entries", "999999", text(&journal)]);
    let actions = side.actions();
    let printed: Vec<Value> = (actions.lines().map(|line| serde_json::from_str(line).unwrap()))
        .filter(|action: &Value| action["stream"] == "action.print" || action["stream"] == "print")
        .collect();
    assert!(printed.len() > 10, "{}", printed.len());
    let (name, first) = (printed[0]["stream"].as_str().unwrap(), &printed[0]);
    let seen = listed.lines().filter(|line| line.contains("\"notional\":")).count();
    assert_eq!(seen, printed.len());
    let summary = must(side.path(), &["journal", "inspect", text(&journal)]);
    assert!(summary.contains(name), "{summary}");

    let lines = must(side.path(), &["journal", "export", text(&journal), "--format", "jsonl"]);
    assert_eq!(lines.lines().count() as u64, entries(&side));
    let line = lines.lines().find(|line| line.contains("\"notional\":")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["shard"], &line["kind"]), (&0.into(), &"action".into()));
    assert_eq!(line["record"]["notional"], first["notional"]);

    let out = side.path().join("print.csv");
    let args = ["--format", "csv", "--stream", name, "--out", text(&out)];
    must(side.path(), &[&["journal", "export", text(&journal)], &args[..]].concat());
    let csv = fs::read_to_string(&out).unwrap();
    let (header, rows) = csv.split_once('\n').unwrap();
    assert!(
        header.starts_with("journal_seq,shard,kind,feed,flags,instrument,seq,ts_event,ts_recv")
    );
    assert!(header.ends_with("symbol,notional,what"), "{header}");
    assert_eq!(rows.lines().count(), printed.len());
    for (row, action) in rows.lines().zip(&printed) {
        let what = match action["what"].as_str() {
            Some(_) => "\"a,\"\"b\"\"\"",
            None => "",
        };
        let wanted = format!(
            ",{},{},{what}",
            action["symbol"].as_str().unwrap(),
            action["notional"].as_str().unwrap()
        );
        assert!(row.ends_with(&wanted), "{row} is not {wanted}");
    }
    assert!(printed.iter().any(|a| a["what"].is_null()) && csv.contains("\"a,\"\"b\"\"\""));

    #[cfg(feature = "parquet")]
    assert_parquet(&side, name, &printed);

    let args = ["--format", "csv", "--stream", name, "--from", "2000", "--until", "3000"];
    let part = must(side.path(), &[&["journal", "export", text(&journal)], &args[..]].concat());
    let seqs = part.lines().skip(1).map(|row| row.split(',').next().unwrap().parse().unwrap());
    let seqs: Vec<u64> = seqs.collect();
    assert!(!seqs.is_empty() && seqs.iter().all(|seq| (2000..3000).contains(seq)));
    let ended = run(side.path(), &["journal", "export", text(&journal), "--format", "csv"]);
    assert!(ended.stderr.contains("--stream"), "{ended:?}");
    let args = ["journal", "export", text(&journal), "--format", "csv", "--stream", "nothing"];
    assert!(run(side.path(), &args).stderr.contains("there are"));
}

/// The same rows in a Parquet file, read by the crate's own reader.
#[cfg(feature = "parquet")]
fn assert_parquet(side: &Side, name: &str, printed: &[Value]) {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    let (journal, out) = (side.journal(), side.path().join("print.parquet"));
    let args = ["--format", "parquet", "--stream", name, "--out", text(&out)];
    must(side.path(), &[&["journal", "export", text(&journal)], &args[..]].concat());
    let reader = SerializedFileReader::new(fs::File::open(&out).unwrap()).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), printed.len());
    for (row, action) in rows.iter().zip(printed) {
        let names: Vec<&String> = row.get_column_iter().map(|(name, _)| name).collect();
        assert_eq!(names[..3], ["journal_seq", "shard", "kind"]);
        let place = |name: &str| names.iter().position(|other| *other == name).unwrap();
        assert_eq!(row.get_string(place("kind")).unwrap(), "action");
        assert_eq!(row.get_ulong(place("seq")).unwrap(), action["seq"].as_u64().unwrap());
        assert_eq!(row.get_string(place("symbol")).unwrap(), action["symbol"].as_str().unwrap());
        // A decimal's digits, most significant byte first.
        let notional = row.get_decimal(place("notional")).unwrap();
        let cents = i64::from_be_bytes(notional.data().try_into().unwrap());
        let wanted = action["notional"].as_str().unwrap().replace('.', "");
        assert_eq!((cents, notional.scale()), (wanted.parse().unwrap(), 2));
        assert_eq!(row.get_string(place("what")).ok().map(String::as_str), action["what"].as_str());
    }
}
