//! Keeps the walls of the house: import direction, where unsafe may stand, what every module opens
//! with, how long files may grow. Each rule names the file and line that breaks it.

use std::fs;
use std::path::{Path, PathBuf};

/// A crate and the ones of ours that it may import.
const CRATES: &[(&str, &[&str])] = &[
    ("feeds", &[]),
    ("strategies", &["corelane_feeds"]),
    ("engine", &["corelane_feeds", "corelane_strategies", "corelane"]),
    ("bench", &["corelane_feeds", "corelane_strategies", "corelane", "corelane_bench"]),
];
const OURS: &[&str] = &["corelane_bench", "corelane_feeds", "corelane_strategies", "corelane"];

/// Files longer than this are split.
const LINES_MAX: usize = 600;
/// Lines longer than this are wrapped.
const COLUMNS_MAX: usize = 100;

/// What the sans-I/O crates never name outside their tests.
const IO: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::process",
    "Instant::now",
    "SystemTime",
    "std::io::stdin",
    "println!",
    "std::os::",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust file of a folder of the workspace, with its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending = vec![root().join(folder)];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a readable folder");
            pending.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).expect("below the root").display().to_string();
            found.push((name, fs::read_to_string(&path).expect("UTF-8")));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// The lines before a file's inline tests, numbered from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
}

#[test]
fn imports_run_one_way() {
    for (folder, allowed) in CRATES {
        for (name, text) in sources(&format!("{folder}/src")) {
            for (number, line) in text.lines().enumerate() {
                let line = line.trim_start();
                let Some(import) = line.strip_prefix("use ") else { continue };
                let root = import.split([':', ';', ' ']).next().unwrap_or("");
                let forbidden = OURS.contains(&root) && !allowed.contains(&root);
                assert!(!forbidden, "{name}:{}: {folder} must not import {root}", number + 1);
            }
        }
    }
}

#[test]
fn feeds_and_strategies_do_no_io() {
    for folder in ["feeds", "strategies"] {
        for (name, text) in sources(&format!("{folder}/src")) {
            if name.ends_with("tests.rs") || name.contains("/tests/") {
                continue;
            }
            for (number, line) in code(&text) {
                if line.trim_start().starts_with("//") {
                    continue;
                }
                for word in IO {
                    assert!(!line.contains(word), "{name}:{number}: `{word}` in a sans-I/O crate");
                }
            }
        }
    }
}

#[test]
fn unsafe_stands_only_in_sys() {
    for (folder, _) in CRATES {
        for (name, text) in sources(&format!("{folder}/src")) {
            if name.starts_with("engine/src/sys/") {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                let line = line.trim_start();
                let is_code = !line.starts_with("//") && !line.starts_with("#!");
                let found = is_code
                    && (line.contains("unsafe {")
                        || line.contains("unsafe fn")
                        || line.contains("unsafe impl"));
                assert!(!found, "{name}:{}: unsafe outside engine/src/sys", number + 1);
            }
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for (folder, _) in CRATES {
        for (name, text) in sources(&format!("{folder}/src")) {
            assert!(text.starts_with("//!"), "{name} does not open with //!");
        }
    }
}

#[test]
fn files_and_lines_stay_readable() {
    let mut found = Vec::new();
    for (folder, _) in CRATES {
        for (name, text) in sources(folder) {
            let lines = text.lines().count();
            if lines > LINES_MAX {
                found.push(format!("{name} has {lines} lines: split it"));
            }
            for (number, line) in text.lines().enumerate() {
                let columns = line.chars().count();
                if columns > COLUMNS_MAX {
                    found.push(format!("{name}:{} has {columns} columns", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    for (folder, _) in CRATES {
        for (name, text) in sources(folder) {
            if name == "engine/tests/tidy.rs" {
                continue;
            }
            for (number, line) in text.lines().enumerate() {
                for word in ["#[ignore", "todo!(", "unimplemented!(", "FIXME", "XXX"] {
                    assert!(!line.contains(word), "{name}:{}: {word}", number + 1);
                }
            }
        }
    }
}

/// What the doctor looks at is what tuning/README.md explains.
#[test]
fn every_knob_is_explained() {
    let readme = fs::read_to_string(root().join("tuning/README.md")).expect("a README");
    let mut checks = 0;
    for (name, text) in sources("engine/src/doctor") {
        for line in text.lines() {
            let Some(id) = line.trim_start().strip_prefix("id: \"") else { continue };
            let id = id.split('"').next().unwrap_or_default();
            assert!(readme.contains(&format!("| `{id}` |")), "{name}: {id} is not explained");
            checks += 1;
        }
    }
    assert!(checks > 40, "{checks} checks");
}

#[test]
fn every_dependency_earns_its_line() {
    for (folder, _) in CRATES {
        let path = root().join(folder).join("Cargo.toml");
        let text = fs::read_to_string(&path).expect("a manifest");
        let mut in_dependencies = false;
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies]");
            } else if in_dependencies && line.contains('=') && !line.starts_with('#') {
                let place = format!("{folder}/Cargo.toml:{}", number + 1);
                assert!(line.contains(" # "), "{place} has no comment: {line}");
            }
        }
    }
}

/// ARCHITECTURE.md names a test for every limit, in the last column of its table.
#[test]
fn every_limit_has_its_test() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let section = text.split("\n## Limits\n").nth(1).expect("a section on limits");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let all: String = CRATES.iter().flat_map(|(folder, _)| sources(folder)).map(|s| s.1).collect();
    let mut named = 0;
    for row in rows {
        let tests = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or("");
        let names = tests.split('`').skip(1).step_by(2).collect::<Vec<_>>();
        assert!(!names.is_empty(), "no test in: {row}");
        for name in names {
            assert!(all.contains(&format!("fn {name}(")), "there is no test `{name}`: {row}");
            named += 1;
        }
    }
    assert!(named >= 10, "the table is there");
}
