//! A file that actions are appended to.
//!
//! Invariant: what was taken reaches the file in order, whole and once. A write that fails (a full
//! disk) is tried again every [`RETRY_NS`]; what waits meanwhile is bounded. Writing to a file may
//! block its thread: this sink does not belong on a hot one. Where notes must outlive a power cut
//! the sink is rid of an action when the file is synced, and of none any more once a sync failed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use corelane_feeds::units::Nanos;
use corelane_strategies::action::ActionId;

use super::queue::{FrameQueue, write_pieces};
use super::sink::{ActionSink, Ledger, Log, SinkStats};
use super::{Format, SinkConfig, tail};
use crate::sys::fault::{self, FileOp};

/// Bytes that are written at once while actions keep coming.
const BLOCK_BYTES: usize = 64 << 10;
/// The longest time that an action waits for others.
const FLUSH_NS: u64 = 10_000_000;
/// When a failed write is tried again.
const RETRY_NS: u64 = 1_000_000_000;
/// The least time between two syncs.
const SYNC_NS: u64 = 50_000_000;

pub(crate) struct FileSink {
    file: File,
    /// Length of the file, as far as this sink wrote it.
    written: u64,
    queue: FrameQueue,
    ledger: Ledger,
    idle: bool,
    flushed: Nanos,
    retry_at: Nanos,
    synced: Option<Synced>,
}

/// How far a file is synced, where that counts.
#[derive(Default)]
struct Synced {
    sent: u64,
    position: u64,
    at: Nanos,
    failed: bool,
}

impl FileSink {
    /// Opens the file, of which an earlier run is known to have written `known` bytes; and which
    /// actions it wrote behind that.
    pub(crate) fn open(
        config: &SinkConfig,
        path: &Path,
        log: Log,
        known: Option<u64>,
        is_synced: bool,
    ) -> io::Result<(Self, Vec<ActionId>)> {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        let is_file = file.metadata()?.is_file();
        if is_synced
            && is_file
            && let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty())
        {
            // A file that is made now is found after a power cut.
            File::open(dir)?.sync_all()?;
        }
        let behind = match known {
            Some(known) if is_file => tail::mend(path, &file, known, config.format)?,
            _ => Vec::new(),
        };
        if config.format == Format::Json {
            end_torn_line(path, &mut file)?;
        }
        let written = if is_file { file.metadata()?.len() } else { 0 };
        if is_synced && is_file && written > 0 {
            // An earlier run may have died before it did.
            sync(&file, path)?;
        }
        let sink = Self {
            written,
            file,
            queue: FrameQueue::new(config.buffer_bytes.max(BLOCK_BYTES), 0),
            ledger: Ledger::new(&config.name, path.display().to_string(), log),
            idle: true,
            flushed: Nanos(0),
            retry_at: Nanos(0),
            synced: (is_synced && is_file)
                .then(|| Synced { position: written, ..Synced::default() }),
        };
        Ok((sink, behind))
    }

    /// Syncs what is new, if it is time.
    fn sync(&mut self, now: Nanos, at_once: bool) {
        let position = self.position_written();
        let Some(synced) = &mut self.synced else { return };
        let is_due = at_once || now.since(synced.at) >= SYNC_NS;
        if synced.failed || !is_due || synced.sent == self.ledger.stats.sent {
            return;
        }
        synced.at = now;
        let path = Path::new(&self.ledger.stats.target);
        match sync(&self.file, path) {
            Ok(()) => (synced.sent, synced.position) = (self.ledger.stats.sent, position),
            Err(error) => {
                synced.failed = true;
                self.ledger.failed("cannot sync", &error);
            }
        }
    }

    fn position_written(&self) -> u64 {
        self.written - self.queue.partial_bytes() as u64
    }

    fn flush(&mut self, now: Nanos) {
        self.flushed = now;
        while self.queue.pending_bytes() > 0 {
            let (first, second) = self.queue.pending();
            let path = Path::new(&self.ledger.stats.target);
            let written = fault::before(FileOp::Write, path);
            match written.and_then(|()| write_pieces(&mut self.file, first, second)) {
                Ok(0) => return self.fail(&io::ErrorKind::WriteZero.into(), now),
                Ok(bytes) => {
                    self.ledger.stats.sent += self.queue.advance(bytes) as u64;
                    self.ledger.stats.sent_bytes += bytes as u64;
                    self.written += bytes as u64;
                    self.ledger.works("writes again");
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.fail(&error, now),
            }
        }
    }

    fn fail(&mut self, error: &io::Error, now: Nanos) {
        self.ledger.failed("cannot write", error);
        self.retry_at = Nanos(now.0.saturating_add(RETRY_NS));
    }
}

fn sync(file: &File, path: &Path) -> io::Result<()> {
    fault::before(FileOp::Sync, path)?;
    file.sync_data()?;
    fault::synced(path);
    Ok(())
}

/// A crash may have left half a line: ends it, so that it spoils no other.
fn end_torn_line(path: &Path, file: &mut File) -> io::Result<()> {
    if !file.metadata()?.is_file() || file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    let mut reader = File::open(path)?;
    reader.seek(SeekFrom::End(-1))?;
    reader.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

impl ActionSink for FileSink {
    fn send(&mut self, frame: &[u8], now: Nanos) -> bool {
        self.ledger.stats.taken += 1;
        self.idle = false;
        let retry = now >= self.retry_at;
        if self.queue.pending_bytes() + frame.len() > BLOCK_BYTES && retry {
            self.flush(now);
        }
        let taken = self.queue.push(frame);
        if taken {
            self.ledger.kept(&self.queue);
        } else {
            self.ledger.dropped(1, "the buffer is full");
        }
        taken
    }

    fn settled(&self) -> u64 {
        self.synced.as_ref().map_or(self.ledger.stats.sent, |synced| synced.sent)
    }

    fn position(&self) -> u64 {
        self.synced.as_ref().map_or_else(|| self.position_written(), |synced| synced.position)
    }

    fn poll(&mut self, now: Nanos) {
        let quiet = std::mem::replace(&mut self.idle, true);
        let waited = now.since(self.flushed) >= FLUSH_NS;
        if self.queue.pending_bytes() > 0 && (quiet || waited) && now >= self.retry_at {
            self.flush(now);
        }
        self.sync(now, false);
    }

    fn pending(&self) -> usize {
        self.queue.pending_frames()
    }

    fn is_calm(&self) -> bool {
        self.queue.is_calm()
    }

    fn close(&mut self, now: Nanos) {
        self.flush(now);
        self.sync(now, true);
        let left = self.queue.clear() as u64;
        self.ledger.dropped(left, "the run is over and the file does not take them");
        self.ledger.end_drops();
    }

    fn stats(&self) -> SinkStats {
        self.ledger.stats.clone()
    }
}
