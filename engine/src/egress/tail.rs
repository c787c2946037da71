//! What a run that died wrote to a file of actions behind the place that it noted.
//!
//! Invariant: whole actions stay and are named, so that they are not written twice; an action that
//! was written in part is cut off, as it is going to be written again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use corelane_feeds::record::{RECORD_BYTES_MAX, RecordBuf};
use corelane_strategies::action::ActionId;

use super::Format;

/// How every action begins as JSON.
const JSON_START: &[u8] = b"{\"id\":\"";
/// Byte of a record that has its length, in 4-byte words.
const WORDS_AT: usize = 2;

/// Cuts off what is half an action at the end of `file`, if it lies behind byte `known`; returns
/// the actions between there and `known`.
pub(super) fn mend(
    path: &Path,
    file: &File,
    known: u64,
    format: Format,
) -> io::Result<Vec<ActionId>> {
    let mut bytes = Vec::new();
    let mut reader = File::open(path)?;
    if reader.metadata()?.len() <= known {
        return Ok(Vec::new());
    }
    reader.seek(SeekFrom::Start(known))?;
    reader.read_to_end(&mut bytes)?;
    let (ids, whole) = match format {
        Format::Json => lines(&bytes),
        Format::Binary => records(&bytes),
    };
    if whole < bytes.len() {
        file.set_len(known + whole as u64)?;
    }
    Ok(ids)
}

/// The id of an action as a line of JSON.
pub(crate) fn id_of_line(line: &[u8]) -> Option<ActionId> {
    let id = line.strip_prefix(JSON_START)?.split(|&byte| byte == b'"').next()?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// The actions in lines, and where half an action begins.
fn lines(bytes: &[u8]) -> (Vec<ActionId>, usize) {
    let ids = bytes.split(|&byte| byte == b'\n').filter_map(id_of_line).collect::<Vec<_>>();
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    let rest = &bytes[end..];
    if rest.is_empty() || !JSON_START.starts_with(&rest[..rest.len().min(JSON_START.len())]) {
        // Nothing, or what is not ours.
        return (ids, bytes.len());
    }
    let whole = ids.len() - usize::from(id_of_line(rest).is_some());
    (ids[..whole].to_vec(), end)
}

/// The actions in records, and where half an action begins.
fn records(bytes: &[u8]) -> (Vec<ActionId>, usize) {
    let (mut ids, mut at) = (Vec::new(), 0);
    while let Some(&words) = bytes.get(at + WORDS_AT) {
        let end = at + usize::from(words) * 4;
        let Some(record) = bytes.get(at..end) else { break };
        // Records are looked at in place only where they are aligned.
        let mut buf = RecordBuf::default();
        if record.len() > RECORD_BYTES_MAX {
            return (ids, bytes.len());
        }
        buf.put(0, record);
        let Some(id) = buf.record().and_then(ActionId::of) else { return (ids, bytes.len()) };
        ids.push(id);
        at = end;
    }
    (ids, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"{\"id\":\"0-0000000a-1-1-0\",\"x\":1}\n{\"id\":\"0-0000000a-2-1-0\"}\n";

    #[test]
    fn half_a_line_is_cut_wherever_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("actions");
        let first = LINES.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for cut in 0..=LINES.len() {
            std::fs::write(&path, [b"before\n", &LINES[..cut]].concat()).unwrap();
            let file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
            let ids = mend(&path, &file, 7, Format::Json).unwrap();
            let whole = if cut == LINES.len() {
                cut
            } else if cut >= first {
                first
            } else {
                0
            };
            assert_eq!(ids.len(), LINES[..whole].iter().filter(|&&byte| byte == b'\n').count());
            assert_eq!(std::fs::read(&path).unwrap()[7..], LINES[..whole], "cut at {cut}");
        }
        std::fs::write(&path, b"before\nsomebody else's").unwrap();
        let file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(mend(&path, &file, 7, Format::Json).unwrap(), []);
        assert_eq!(std::fs::read(&path).unwrap(), b"before\nsomebody else's");
    }
}
