//! Durable files through io_uring, on a glommio executor of the calling thread: written past the
//! page cache (O_DIRECT) where place and length are whole blocks, then synced by fdatasync.
//!
//! Invariant: every call returns when the kernel has done it: nothing is left to the executor
//! between two of them.

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use glommio::io::{DmaFile, OpenOptions};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use super::{BLOCK_BYTES, Disk, DiskFile, PlainDisk};

/// Memory that is registered with the ring, within what may be locked by default.
const IO_BYTES: usize = 1 << 20;
/// Room for what is on its way at once: two writes.
const RING_DEPTH: usize = 8;
/// The most bytes of one write.
const PIECE_BYTES: usize = 512 << 10;

/// After so long the executor would interrupt who runs, and it has one to run at a time. It must
/// not come to that: an executor that waits for its CPU so long that the interrupt is there before
/// it gets to what it could run takes that for nothing to run, and sleeps for ever (glommio 0.9,
/// `LocalExecutor::run_task_queues`; its default is 100 ms).
const NEVER: Duration = Duration::from_secs(86_400);

/// The system's files by io_uring. Belongs to the thread that made it.
pub struct UringDisk {
    executor: Rc<LocalExecutor>,
}

impl UringDisk {
    /// An executor on the calling thread, kept to a CPU if one is named.
    ///
    /// # Errors
    /// If io_uring is refused, or too little memory may be locked.
    pub fn new(cpu: Option<usize>) -> io::Result<Self> {
        let placement = cpu.map_or(Placement::Unbound, Placement::Fixed);
        let builder = LocalExecutorBuilder::new(placement).name("durable");
        let builder = builder.io_memory(IO_BYTES).ring_depth(RING_DEPTH).preempt_timer(NEVER);
        let executor = builder.make().map_err(io::Error::from)?;
        Ok(Self { executor: Rc::new(executor) })
    }

    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let plain = PlainDisk.open(path)?;
        let opened = self.executor.run(async {
            OpenOptions::new().read(true).write(true).dma_open(path).await.map_err(io::Error::from)
        });
        let (executor, path) = (Rc::clone(&self.executor), path.to_owned());
        Ok(Box::new(UringFile { executor, direct: Some(opened?), plain, path }))
    }
}

impl std::fmt::Debug for UringDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UringDisk")
    }
}

impl Disk for UringDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        PlainDisk.make_dir(dir)
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        drop(PlainDisk.create(path, bytes)?);
        self.open_direct(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open_direct(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        PlainDisk.read(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        PlainDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        PlainDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        PlainDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        PlainDisk.sync_dir(dir)
    }

    fn describe(&self) -> String {
        "io_uring, past the page cache, and fdatasync".to_owned()
    }
}

struct UringFile {
    executor: Rc<LocalExecutor>,
    /// Until it is dropped.
    direct: Option<DmaFile>,
    /// For what is no whole block.
    plain: Box<dyn DiskFile>,
    path: PathBuf,
}

impl std::fmt::Debug for UringFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UringFile({})", self.path.display())
    }
}

/// Waits for two, each of which goes on when it can.
async fn both<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> (T, T) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(move |cx| {
        if first.is_none()
            && let Poll::Ready(done) = one.as_mut().poll(cx)
        {
            first = Some(done);
        }
        if second.is_none()
            && let Poll::Ready(done) = other.as_mut().poll(cx)
        {
            second = Some(done);
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (done, other) => {
                (first, second) = (done, other);
                Poll::Pending
            }
        }
    })
    .await
}

/// Whether all of it is whole blocks.
fn is_whole(at: u64, bytes: &[u8]) -> bool {
    at.is_multiple_of(BLOCK_BYTES) && (bytes.len() as u64).is_multiple_of(BLOCK_BYTES)
}

/// Writes whole blocks and returns how many bytes of them.
async fn write(file: &DmaFile, at: u64, bytes: &[u8]) -> io::Result<usize> {
    let mut buffer = file.alloc_dma_buffer(bytes.len());
    buffer.as_bytes_mut().copy_from_slice(bytes);
    Ok(file.write_at(buffer, at).await?)
}

/// What a write left out, whose error a plain one tells.
fn write_rest(plain: &mut dyn DiskFile, at: u64, bytes: &[u8], written: usize) -> io::Result<()> {
    match bytes.get(written..) {
        Some(rest) if !rest.is_empty() => plain.write_at(at + written as u64, rest),
        _ => Ok(()),
    }
}

impl DiskFile for UringFile {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let Some(direct) = self.direct.as_ref().filter(|_| is_whole(at, bytes)) else {
            return self.plain.write_at(at, bytes);
        };
        let mut at = at;
        for piece in bytes.chunks(PIECE_BYTES) {
            let written = self.executor.run(write(direct, at, piece))?;
            write_rest(&mut *self.plain, at, piece, written)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn write_both(&mut self, one: (u64, &[u8]), other: (u64, &[u8])) -> io::Result<()> {
        let is_short =
            |(at, bytes): (u64, &[u8])| is_whole(at, bytes) && bytes.len() <= PIECE_BYTES;
        let Some(direct) = self.direct.as_ref().filter(|_| is_short(one) && is_short(other)) else {
            self.write_at(one.0, one.1)?;
            return self.write_at(other.0, other.1);
        };
        let writes = both(write(direct, one.0, one.1), write(direct, other.0, other.1));
        let (first, second) = self.executor.run(writes);
        write_rest(&mut *self.plain, one.0, one.1, first?)?;
        write_rest(&mut *self.plain, other.0, other.1, second?)
    }

    fn sync(&mut self) -> io::Result<()> {
        match &self.direct {
            Some(direct) => Ok(self.executor.run(direct.fdatasync())?),
            None => self.plain.sync(),
        }
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.plain.set_len(bytes)
    }
}

impl Drop for UringFile {
    fn drop(&mut self) {
        if let Some(direct) = self.direct.take() {
            // By hand: glommio complains of files that are not closed. What matters is synced.
            let _ = self.executor.run(direct.close());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_pieces_of_blocks_are_written_side_by_side() {
        let dir = tempfile::tempdir().unwrap();
        let Ok(disk) = UringDisk::new(None) else {
            println!("skipped: io_uring is refused here");
            return;
        };
        let path = dir.path().join("segment");
        let mut file = disk.create(&path, 4 << 20).unwrap();
        let bytes: Vec<u8> = (0..PIECE_BYTES + 8192).map(|i| (i / 7) as u8).collect();
        file.write_at(4096, &bytes).unwrap();
        file.write_at(5, b"within").unwrap();
        file.sync().unwrap();
        let read = disk.read(&path).unwrap();
        assert!(read[4096..4096 + bytes.len()] == bytes && &read[5..11] == b"within");
        assert!(read.len() == 4 << 20 && read[4096 + bytes.len()..].iter().all(|&b| b == 0));
        file.set_len(8192).unwrap();
        drop(file);
        disk.open(&path).unwrap().write_at(4096, &[1; 4096]).unwrap();
        assert_eq!(disk.read(&path).unwrap()[4096..], [1; 4096]);
    }
}
