//! What decided, beside the journal of what was decided: the configuration as it was used, and the
//! text of every rule set that ran.
//!
//! ```text
//! DIR/shard-000/...                the journal
//! DIR/config.toml                  the configuration, every default spelled out
//! DIR/rules.toml                   the rule files that the run began with, with their text
//! DIR/rules-0123456789abcdef.toml  those that took their place, by the name in sys.rule_change
//! ```
//!
//! Each begins with a line that has the checksum of what follows.
//!
//! Invariant: a rule set is on disk before a shard runs it, and read only as it was written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use corelane_strategies::registry::Registry;
use serde::{Deserialize, Serialize};

use crate::cli::exit::Failure;
use crate::config::{Config, RulesSection};
use crate::sys::crc::Crc32c;
use crate::sys::disk::{Disk, LocalDisk};

/// The configuration.
pub const CONFIG: &str = "config.toml";
const RULES: &str = "rules.toml";

/// The rule files of one set.
#[derive(Serialize, Deserialize)]
struct RuleFiles {
    #[serde(default)]
    file: Vec<RuleFile>,
}

#[derive(Serialize, Deserialize)]
struct RuleFile {
    path: PathBuf,
    text: String,
    /// The files of its tables.
    #[serde(default)]
    tables: BTreeMap<String, String>,
}

fn changed_path(dir: &Path, fingerprint: u64) -> PathBuf {
    dir.join(format!("rules-{fingerprint:016x}.toml"))
}

/// Whether a file in the directory of a run is one of these.
#[must_use]
pub fn is_decided(name: &str) -> bool {
    name == CONFIG || name == RULES || name.starts_with("rules-") && name.ends_with(".toml")
}

/// Reads what [`write()`] wrote.
fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path)?;
    let checked = std::str::from_utf8(&bytes).ok().and_then(|text| {
        let (first, text) = text.split_once('\n')?;
        (first == first_line(text)).then(|| text.to_owned())
    });
    checked.ok_or_else(|| {
        let what = format!("{} is not as it was written: a copy of it is needed", path.display());
        Failure::bad_data(what).into()
    })
}

fn first_line(text: &str) -> String {
    let sum = Crc32c::detect().bytes(text.as_bytes());
    format!("# crc32c {sum:08x} of what follows: it is not to be changed")
}

/// Writes a file so that it is there whole or not at all, after a power cut too.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let text = first_line(text) + "\n" + text;
    LocalDisk
        .replace(path, &path.with_extension("new"), text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes the configuration and the rules that a run begins with.
///
/// # Errors
/// If they cannot be written.
pub fn save(dir: &Path, config: &Config) -> anyhow::Result<()> {
    LocalDisk.make_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    write(&dir.join(CONFIG), &config.to_string())?;
    write_rules(&dir.join(RULES), config)
}

/// Writes rules that are about to take the place of others.
///
/// # Errors
/// If they cannot be written.
pub fn save_rules(dir: &Path, config: &Config) -> anyhow::Result<()> {
    write_rules(&changed_path(dir, config.rule_set.fingerprint()), config)
}

fn write_rules(path: &Path, config: &Config) -> anyhow::Result<()> {
    let file = |section: &RulesSection| {
        let RulesSection { file, text, tables } = section.clone();
        RuleFile { path: file, text, tables }
    };
    let files = RuleFiles { file: config.rules.iter().map(file).collect() };
    write(path, &toml::to_string(&files).context("rule files")?)
}

/// Reads the configuration and the rules that a journal began with.
///
/// # Errors
/// If they are not there, or cannot be used by this program.
pub fn load(dir: &Path, registry: &Registry) -> anyhow::Result<Config> {
    let path = dir.join(CONFIG);
    let text = read(&path).with_context(|| {
        format!("cannot read {}: say which configuration decided", path.display())
    })?;
    let mut config = Config::parse(&path.display().to_string(), &text, registry)?;
    read_rules(&dir.join(RULES), &mut config)?;
    Ok(config)
}

/// Puts the rules of a name in the place of a configuration's own.
///
/// # Errors
/// If they are not there, or are not understood.
pub fn load_rules(dir: &Path, fingerprint: u64, config: &mut Config) -> anyhow::Result<()> {
    read_rules(&changed_path(dir, fingerprint), config)
}

fn read_rules(path: &Path, config: &mut Config) -> anyhow::Result<()> {
    let text = read(path)
        .with_context(|| format!("cannot read the rules that decided: {}", path.display()))?;
    let files: RuleFiles =
        toml::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    let sections = files.file.into_iter();
    let sections =
        sections.map(|RuleFile { path, text, tables }| RulesSection { file: path, text, tables });
    config.set_rules(sections.collect())
}
