//! Makes segments ahead of the writer, on a service thread off the hot core, and takes back those
//! that are full.
//!
//! ```text
//! service thread  ──ready──>   writer       number and map, in order, `segments_ahead` of them
//!                 <─retired──               full segments, to be flushed and unmapped
//! ```
//!
//! Invariant: each segment number is prepared once, by whoever moves `next` past it. The writer
//! makes a segment itself only if the service thread has not begun it; otherwise it waits, which is
//! shorter.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::{JournalConfig, JournalError, WhenFull, segment_path};
use crate::sys::affinity;
use crate::sys::fault::{self, FileOp};
use crate::sys::segment_map::SegmentMap;

/// How often the service thread looks whether a segment was taken, at most: a wake-up by the writer
/// would cost it a system call. Where no CPU is idle each look takes 10 to 20 us from a hot thread,
/// so the longer no segment was taken, the rarer they get.
const POLL_MIN: Duration = Duration::from_micros(500);
/// How often, at least, by the bytes of a segment: four times in what it lasts at 1 GB/s.
const POLL_BYTES_PER_US: usize = 4 * 1_000;
/// Looks while a segment lasts, once it is known for how long the last one did.
const POLLS_PER_SEGMENT: u32 = 4;

/// How much of a segment is warmed up: its header and the first entries.
const WARM_BYTES: usize = 512;

/// Creates segment files.
#[derive(Clone)]
struct Maker {
    dir: PathBuf,
    bytes: usize,
    segments_max: u64,
    when_full: WhenFull,
}

impl Maker {
    fn make(&self, segment: u64) -> Result<SegmentMap, JournalError> {
        self.retire_oldest(segment)?;
        let path = segment_path(&self.dir, segment);
        SegmentMap::create(&path, self.bytes).map_err(JournalError::io("allocate", &path))
    }

    /// Makes room for a segment, if there may be no more.
    fn retire_oldest(&self, segment: u64) -> Result<(), JournalError> {
        if let Some(oldest) = segment.checked_sub(self.segments_max) {
            if self.when_full == WhenFull::Stop {
                return Err(JournalError::Full { segments_max: self.segments_max });
            }
            let path = segment_path(&self.dir, oldest);
            match fs::remove_file(&path).map_err(JournalError::io("delete", &path)) {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the first segment of a writer, in the place of one that was never begun if there is
    /// such a one.
    fn make_first(&self, segment: u64) -> Result<SegmentMap, JournalError> {
        self.retire_oldest(segment)?;
        let (path, new) = (segment_path(&self.dir, segment), self.dir.join("segment.new"));
        match fs::remove_file(&new).map_err(JournalError::io("delete", &new)) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        let map = SegmentMap::create(&new, self.bytes);
        let map = map.map_err(JournalError::io("allocate", &new))?;
        fault::before(FileOp::Rename, &path)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(JournalError::io("name", &path))?;
        Ok(map)
    }
}

/// A segment, or why there is none.
type Made = (u64, Result<SegmentMap, JournalError>);

struct Shared {
    /// The next number to prepare. Whoever advances it prepares it.
    next: AtomicU64,
    stop: AtomicBool,
}

/// How a segment came to the writer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It was ready.
    Ready,
    /// The service thread was at it, and the writer waited.
    Waited,
    /// The writer made it.
    Inline,
}

/// The writer's end.
pub(super) struct Preparer {
    maker: Maker,
    ready: Consumer<Made>,
    /// Taken from `ready` a little before it is needed.
    warm: Option<(u64, SegmentMap)>,
    retired: Producer<SegmentMap>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    /// Makes segment `first` and starts the service thread, which makes those that follow.
    pub(super) fn start(
        config: &JournalConfig,
        dir: PathBuf,
        first: u64,
    ) -> Result<(Self, SegmentMap), JournalError> {
        if let Some(cpu) = config.service_cpu {
            let allowed = affinity::allowed().map_err(JournalError::io("list CPUs of", &dir))?;
            if !allowed.contains(&cpu) {
                return Err(JournalError::Config("the service CPU is not to be had"));
            }
        }
        let maker = Maker {
            dir,
            bytes: config.segment_bytes,
            segments_max: config.segments_max.map_or(u64::MAX, std::num::NonZero::get),
            when_full: config.when_full,
        };
        let map = maker.make_first(first)?;
        let (ready_in, ready) = RingBuffer::new(config.segments_ahead);
        let (retired, retired_out) = RingBuffer::new(config.segments_ahead + 2);
        let shared =
            Arc::new(Shared { next: AtomicU64::new(first + 1), stop: AtomicBool::new(false) });
        let service = Service {
            maker: maker.clone(),
            ready: ready_in,
            retired: retired_out,
            shared: shared.clone(),
            cpu: config.service_cpu,
        };
        let thread = (!config.stepped).then(|| {
            thread::Builder::new()
                .name(format!("journal-{}", config.shard))
                .spawn(move || service.run())
                .map_err(JournalError::io("start a thread for", &maker.dir))
        });
        let thread = thread.transpose()?;
        Ok((Self { maker, ready, warm: None, retired, shared, thread }, map))
    }

    /// Brings the next segment's first lines and their translations into the caches of this core,
    /// if it is ready. For the moment a few appends before it is taken.
    pub(super) fn warm(&mut self) {
        if self.warm.is_some() || !matches!(self.ready.peek(), Ok((_, Ok(_)))) {
            return;
        }
        if let Ok((number, Ok(map))) = self.ready.pop() {
            map.prefetch(0, WARM_BYTES);
            self.warm = Some((number, map));
        }
    }

    /// The segment of that number, which is the one after the last taken.
    pub(super) fn take(&mut self, segment: u64) -> Result<(SegmentMap, Taken), JournalError> {
        if let Some((number, map)) = self.warm.take() {
            assert_eq!(number, segment, "segments come in order");
            return Ok((map, Taken::Ready));
        }
        let mut taken = Taken::Ready;
        loop {
            match self.ready.pop() {
                Ok((number, Ok(map))) => {
                    assert_eq!(number, segment, "segments come in order");
                    return Ok((map, taken));
                }
                // What stood in the way then may be gone now.
                Ok((_, Err(_))) => break,
                Err(_) => {}
            }
            let (here, next) = (Ordering::AcqRel, segment + 1);
            let claim = self.shared.next.compare_exchange(segment, next, here, Ordering::Acquire);
            if claim.is_ok() {
                break;
            }
            if self.ready.is_abandoned() && self.ready.is_empty() {
                return Err(JournalError::Stopped);
            }
            taken = Taken::Waited;
            thread::yield_now();
        }
        Ok((self.maker.make(segment)?, Taken::Inline))
    }

    /// Gives a full segment to the service thread. If that is far behind, unmaps it here.
    pub(super) fn retire(&mut self, map: SegmentMap) {
        let _unmapped_here = self.retired.push(map);
    }

    /// Whether the writer could have a segment at once.
    pub(super) fn is_ready(&self) -> bool {
        self.warm.is_some() || !self.ready.is_empty()
    }
}

impl Drop for Preparer {
    /// Stops the service thread when it has flushed what was retired, and deletes what it prepared
    /// in vain.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic there was reported by the panic hook; here is nothing to mend.
            let _ = thread.join();
        }
        if let Some((segment, _)) = self.warm.take() {
            let _ = fs::remove_file(segment_path(&self.maker.dir, segment));
        }
        while let Ok((segment, made)) = self.ready.pop() {
            if made.is_ok() {
                let _ = fs::remove_file(segment_path(&self.maker.dir, segment));
            }
        }
    }
}

/// The service thread's end.
struct Service {
    maker: Maker,
    ready: Producer<Made>,
    retired: Consumer<SegmentMap>,
    shared: Arc<Shared>,
    cpu: Option<usize>,
}

impl Service {
    fn run(mut self) {
        leave_the_hot_core(self.cpu);
        let bytes = self.maker.bytes;
        let poll_max = Duration::from_micros((bytes / POLL_BYTES_PER_US) as u64).max(POLL_MIN);
        let mut taken = Instant::now();
        loop {
            // Asked before the ring is emptied: what was retired before the stop is seen.
            let stop = self.shared.stop.load(Ordering::Acquire);
            while let Ok(map) = self.retired.pop() {
                // Without a disk there is nothing to write; with one, the next segment reports too.
                let _ = map.finish();
            }
            if stop {
                return;
            }
            if !self.ready.is_full() && self.prepare_next() {
                taken = Instant::now();
                continue;
            }
            let poll = taken.elapsed() / POLLS_PER_SEGMENT;
            thread::park_timeout(poll.clamp(POLL_MIN, poll_max));
        }
    }

    /// Makes the next segment, unless the writer has just begun it itself.
    fn prepare_next(&mut self) -> bool {
        let segment = self.shared.next.load(Ordering::Acquire);
        let (here, next) = (Ordering::AcqRel, segment + 1);
        let claim = self.shared.next.compare_exchange(segment, next, here, Ordering::Acquire);
        if claim.is_err() {
            return false;
        }
        let made = self.maker.make(segment);
        self.ready.push((segment, made)).is_ok()
    }
}

/// A thread inherits the CPU of the hot thread that starts it: undo that.
pub(super) fn leave_the_hot_core(cpu: Option<usize>) {
    if let Some(cpu) = cpu {
        // Checked at the start; if the cpuset shrank since, any CPU serves.
        let _ = affinity::pin(cpu);
        return;
    }
    let Ok(allowed) = affinity::allowed() else { return };
    let mut set = CpuSet::new();
    for cpu in allowed {
        set.set(cpu);
    }
    let _ = sched_setaffinity(None, &set);
}
