//! Reads and writes settings: of this machine, or of a recorded one.
//!
//! Invariant: a hand makes no file; what is not there cannot be set.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::doctor::card::{self, Card};

/// Where the settings of cards are among the files.
pub(super) const CARDS: &str = "ethtool/";

/// What a file that offers several values, as `always [madvise] never`, is set to; else its text.
pub(in crate::doctor) fn value(text: &str) -> &str {
    let text = text.trim();
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or(text, |(word, _)| word)
}

/// Reads and writes settings.
pub trait Hand: fmt::Debug {
    /// What a setting is, to the last byte.
    ///
    /// # Errors
    /// If there is no such setting, or it cannot be read.
    fn read(&self, path: &str) -> io::Result<String>;

    /// Sets it. Of a text that offers several values, the one in brackets is taken.
    ///
    /// # Errors
    /// If there is no such setting, or it refuses the value.
    fn write(&self, path: &str, text: &str) -> io::Result<()>;
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// One `write` call: the kernel takes a value whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// This machine.
#[derive(Copy, Clone, Debug)]
pub struct LiveHand;

fn card_setting(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix(CARDS)?.split_once('/')
}

impl Hand for LiveHand {
    fn read(&self, path: &str) -> io::Result<String> {
        let Some((interface, name)) = card_setting(path) else {
            return read(&Path::new("/").join(path));
        };
        let card = Card::ask(interface)?;
        card.text(name).map(str::to_owned).map_err(io::Error::other)
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        match card_setting(path) {
            Some((interface, name)) => card::set(interface, name, value(text)),
            None => write(&Path::new("/").join(path), &format!("{}\n", value(text))),
        }
    }
}

/// A recorded host below a folder, whose files take values as the kernel's would.
#[derive(Clone, Debug)]
pub struct TreeHand(pub PathBuf);

impl Hand for TreeHand {
    fn read(&self, path: &str) -> io::Result<String> {
        read(&self.0.join(path))
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let wanted = value(text);
        let before = self.read(path)?;
        let is_choice = before.contains('[');
        let mark = |word: &str| if word == wanted { format!("[{word}]") } else { word.to_owned() };
        let text = if is_choice {
            let words = before.split_whitespace().map(|word| mark(word.trim_matches(['[', ']'])));
            words.collect::<Vec<_>>().join(" ")
        } else {
            wanted.to_owned()
        };
        if is_choice && !text.contains('[') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        write(&self.0.join(path), &format!("{text}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_choice_is_in_brackets() {
        for (text, wanted) in [
            ("always [madvise] never\n", "madvise"),
            ("performance\n", "performance"),
            ("4\t4\t1\t7\n", "4\t4\t1\t7"),
            ("\n", ""),
        ] {
            assert_eq!(value(text), wanted);
        }
    }

    #[test]
    fn a_tree_takes_values_as_the_kernel_does() {
        let folder = tempfile::tempdir().unwrap();
        let hand = TreeHand(folder.path().to_owned());
        std::fs::write(folder.path().join("thp"), "always [madvise] never\n").unwrap();
        hand.write("thp", "[always] madvise never\n").unwrap();
        assert_eq!(hand.read("thp").unwrap(), "[always] madvise never\n");
        assert!(hand.write("thp", "sometimes").is_err());
        assert!(hand.write("not-there", "1").is_err());
        assert!(hand.read("not-there").is_err());
    }

    #[test]
    fn this_machine_tells_its_settings_and_makes_no_files() {
        assert!(!LiveHand.read("proc/sys/kernel/osrelease").unwrap().is_empty());
        assert_eq!(LiveHand.read("ethtool/lo/stamps").unwrap(), "software");
        assert!(LiveHand.read("ethtool/no-such-if/rx").is_err());
        assert!(LiveHand.write("proc/no-such-setting", "1").is_err());
        assert!(LiveHand.write("ethtool/no-such-if/rx", "1").is_err());
    }
}
