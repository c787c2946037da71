//! Files of a host as one text: what the doctor read on a machine, and what tuning has changed.
//!
//! ```text
//! # a comment
//! proc/sys/vm/swappiness: 60
//! proc/swaps:
//! | Filename   Type       Size     Used  Priority
//! | /dev/sda2  partition  8388604  0     -2
//! ```
//!
//! `corelane doctor --record FILE` writes one, [`unpack`] makes files of it, and `--root` looks at
//! those. Every file ends with a line feed, as those of sysfs and procfs do.
//!
//! Invariant: what is unpacked lies below the folder given, whatever the paths say.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Before each line of a file that has several.
const LINE: &str = "| ";

/// The text of these files: paths with contents.
#[must_use]
pub fn write<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (path, content) in files {
        let content = content.strip_suffix('\n').unwrap_or(content);
        if content.is_empty() {
            text += &format!("{path}:\n");
        } else if content.contains('\n') {
            let lines = content.split('\n').map(|line| format!("{LINE}{line}\n"));
            text += &format!("{path}:\n{}", lines.collect::<String>());
        } else {
            text += &format!("{path}: {content}\n");
        }
    }
    text
}

/// The files of a text, in its order.
///
/// # Errors
/// If a line is none of the three that there are, or a path could lead elsewhere.
pub fn parse(text: &str) -> io::Result<Vec<(String, String)>> {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for (number, line) in text.split('\n').enumerate() {
        let wrong = |what: &str| {
            let what = format!("line {}: {what}", number + 1);
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        // An editor may have cut the space after the bar of an empty line.
        let of_file = line.strip_prefix(LINE).or((line == "|").then_some(""));
        if let (Some(line), Some((_, content))) = (of_file, files.last_mut()) {
            if !open {
                return Err(wrong("a line of no file"));
            }
            if content == "\n" {
                content.clear();
            }
            *content += line;
            content.push('\n');
        } else if line.is_empty() || line.starts_with('#') {
            open = false;
        } else if let Some((path, content)) = line.split_once(": ") {
            check(path).map_err(wrong)?;
            files.push((path.to_owned(), format!("{content}\n")));
            open = false;
        } else if let Some(path) = line.strip_suffix(':') {
            check(path).map_err(wrong)?;
            files.push((path.to_owned(), "\n".to_owned()));
            open = true;
        } else {
            return Err(wrong("neither `path: content`, `path:` nor `| line`"));
        }
    }
    Ok(files)
}

/// Whether a path stays where it is put.
fn check(path: &str) -> Result<(), &'static str> {
    let mut parts = Path::new(path).components();
    let stays = !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)));
    if stays { Ok(()) } else { Err("a path that leaves the tree") }
}

/// Makes files below `folder`.
///
/// # Errors
/// If the text is not one, or a file cannot be written.
pub fn unpack(text: &str, folder: &Path) -> io::Result<()> {
    for (path, content) in parse(text)? {
        let path: PathBuf = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_parsed_to_the_same() {
        let files = [
            ("proc/a", "1\t2\\n: x\n"),
            ("proc/empty", "\n"),
            ("proc/lines", "one\n\n  | three\n"),
            ("proc/irq/0000:00:1f.2", "# 4\n"),
        ];
        let text = write(files);
        assert_eq!(text.lines().nth(2), Some("proc/lines:"));
        let parsed = parse(&text).unwrap();
        let parsed = parsed.iter().map(|(path, content)| (path.as_str(), content.as_str()));
        assert_eq!(parsed.collect::<Vec<_>>(), files);
    }

    #[test]
    fn no_path_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        for wrong in ["a/../../b: x\n", "/etc/passwd: x\n", ": x\n", "neither\n", "| x\n", "\n| x"]
        {
            assert!(unpack(wrong, folder.path()).is_err(), "{wrong}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        unpack("# a comment\n\nproc/x: 1\n", folder.path()).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("proc/x")).unwrap(), "1\n");
    }
}
