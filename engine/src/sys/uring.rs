//! An io_uring instance for receiving: multishot receives into provided buffers, completions
//! drained in batches, the kernel entered only when it says that it has work for us.
//!
//! Set up with SINGLE_ISSUER | DEFER_TASKRUN | TASKRUN_FLAG: nothing interrupts the thread, and
//! whether there is anything to do stands in a flag in memory shared with the kernel.
//!
//! Invariants: only operations that name a buffer group are submitted, so the kernel writes to
//! nothing but [`BufRing`] memory and the queues. Both outlive every operation: dropping the ring
//! cancels what is in flight first, and leaks the memory if the kernel will not say that it is
//! done.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, zeroed};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};

use super::buf_ring::BufRing;
use super::recvmmsg::CONTROL_BYTES;

/// Bytes before the payload in a buffer that a multishot recvmsg filled: the kernel's
/// `io_uring_recvmsg_out` and the control data.
pub const RECVMSG_OVERHEAD: usize = 16 + CONTROL_BYTES;
/// Buffers given back between two publications: few enough that the kernel rarely runs dry.
const PUBLISH_EVERY: usize = 16;
/// Where a completion's buffer group stands in its user data.
const GROUP_SHIFT: u32 = 56;
/// The token's part of the user data.
const TOKEN_MASK: u64 = (1 << GROUP_SHIFT) - 1;
/// How long dropping a ring waits for its operations to end, and how often it asks.
const CANCEL_TIMEOUT_S: u64 = 2;
const CANCEL_ROUNDS: usize = 8;

/// A ring, its queues and its buffers. Belongs to the thread that made it.
pub struct Ring {
    // These three borrow `*ring`, and are gone before it is freed.
    submitter: ManuallyDrop<Submitter<'static>>,
    submissions: ManuallyDrop<SubmissionQueue<'static>>,
    completions: ManuallyDrop<CompletionQueue<'static>>,
    ring: NonNull<IoUring>,
    groups: ManuallyDrop<Vec<BufRing>>,
    /// What every multishot recvmsg is submitted with; the kernel copies it on submission.
    header: Box<libc::msghdr>,
    enters: u64,
    /// SINGLE_ISSUER: the kernel refuses other threads, so the type does too.
    _one_thread: PhantomData<*const ()>,
}

/// One completion.
#[derive(Copy, Clone, Debug)]
pub struct Completion<'a> {
    /// What the operation was submitted with.
    pub token: u64,
    /// Bytes received, or the error.
    pub result: Result<usize, i32>,
    /// The operation goes on; if not, it must be submitted again.
    pub more: bool,
    /// The bytes received, if there are any.
    pub buffer: &'a [u8],
}

/// What a multishot recvmsg put into a buffer.
#[derive(Copy, Clone, Debug)]
pub struct RecvMsg<'a> {
    /// Control messages, as the kernel wrote them.
    pub control: &'a [u8],
    /// The datagram, or its beginning if `truncated`.
    pub payload: &'a [u8],
    /// The datagram was longer than its buffer.
    pub truncated: bool,
}

impl Ring {
    /// A ring with room for `submissions` operations and `completions` unread completions.
    ///
    /// # Errors
    /// If the kernel refuses: io_uring is switched off, filtered out, or older than 6.1.
    pub fn new(submissions: u32, completions: u32) -> io::Result<Self> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(completions.max(submissions))
            .build(submissions)?;
        let ring = NonNull::from(Box::leak(Box::new(ring)));
        // SAFETY: the allocation was just leaked, so it is valid for 'static until `drop` frees it,
        // and this is the only reference to it: all use goes through the three parts from now on.
        let whole: &'static mut IoUring = unsafe { &mut *ring.as_ptr() };
        let (mut submitter, submissions, completions) = whole.split();
        // Spares a lookup on each enter; without it (before 5.18) the ring works all the same.
        let _ = submitter.register_ring_fd();
        // SAFETY: msghdr is integers and raw pointers only, for which zero is a value.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_controllen = CONTROL_BYTES as _;
        Ok(Self {
            submitter: ManuallyDrop::new(submitter),
            submissions: ManuallyDrop::new(submissions),
            completions: ManuallyDrop::new(completions),
            ring,
            groups: ManuallyDrop::new(Vec::new()),
            header: Box::new(header),
            enters: 0,
            _one_thread: PhantomData,
        })
    }

    /// Adds a group of `count` buffers of `bytes` each and returns its number.
    ///
    /// # Errors
    /// If there is no memory, or the kernel knows no buffer rings.
    pub fn add_group(&mut self, count: u16, bytes: usize) -> io::Result<u8> {
        let group = u8::try_from(self.groups.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut buffers = BufRing::new(count, bytes)?;
        // SAFETY: the buffers go into `groups` below, which is freed only when nothing is in
        // flight (see `drop`); on error nothing was registered.
        unsafe { buffers.register(&self.submitter, group.into())? };
        self.groups.push(buffers);
        Ok(group)
    }

    /// Queues a multishot recvmsg. The socket must be in blocking mode, or it ends at once.
    ///
    /// # Errors
    /// If the submission queue is full.
    pub fn recvmsg_multi(
        &mut self,
        socket: impl AsFd,
        group: u8,
        token: u64,
    ) -> Result<(), squeue::PushError> {
        let socket = Fd(socket.as_fd().as_raw_fd());
        let entry = opcode::RecvMsgMulti::new(socket, &raw const *self.header, group.into());
        self.push(&entry.build(), group, token)
    }

    /// Queues a multishot recv on a stream. The socket must be in blocking mode.
    ///
    /// # Errors
    /// If the submission queue is full.
    pub fn recv_multi(
        &mut self,
        socket: impl AsFd,
        group: u8,
        token: u64,
    ) -> Result<(), squeue::PushError> {
        let socket = Fd(socket.as_fd().as_raw_fd());
        self.push(&opcode::RecvMulti::new(socket, group.into()).build(), group, token)
    }

    fn push(
        &mut self,
        entry: &squeue::Entry,
        group: u8,
        token: u64,
    ) -> Result<(), squeue::PushError> {
        assert!(token <= TOKEN_MASK && usize::from(group) < self.groups.len());
        let entry = entry.clone().user_data(u64::from(group) << GROUP_SHIFT | token);
        // SAFETY: both operations write to buffers of a registered group only, which live as long
        // as anything is in flight, and read `header`, which lives as long as the ring and is
        // copied on submission. A descriptor that was closed is refused by the kernel.
        unsafe { self.submissions.push(&entry) }?;
        self.submissions.sync();
        Ok(())
    }

    /// Enters the kernel if it has work for us, or we for it; else one load from shared memory.
    ///
    /// # Errors
    /// If the ring is beyond use.
    #[inline]
    pub fn advance(&mut self) -> io::Result<()> {
        if !self.submissions.taskrun()
            && self.submissions.is_empty()
            && !self.submissions.cq_overflow()
        {
            return Ok(());
        }
        self.enters += 1;
        let result = self.submitter.submit();
        self.submissions.sync();
        forgive(result)
    }

    /// Sleeps until there is a completion, or for `timeout`.
    ///
    /// # Errors
    /// If the ring is beyond use.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.completions.sync();
        if !self.completions.is_empty() {
            return Ok(());
        }
        self.enters += 1;
        let timeout = Timespec::from(timeout);
        let result = self.submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timeout));
        self.submissions.sync();
        forgive(result)
    }

    /// Calls `each` for up to `max` completions, in order, and gives their buffers back to the
    /// kernel after each call. Returns how many there were.
    #[inline]
    pub fn drain(&mut self, max: usize, mut each: impl FnMut(Completion<'_>)) -> usize {
        self.completions.sync();
        let mut done = 0;
        while done < max {
            let Some(entry) = self.completions.next() else { break };
            done += 1;
            let token = entry.user_data() & TOKEN_MASK;
            let group = (entry.user_data() >> GROUP_SHIFT) as usize;
            let result = usize::try_from(entry.result()).map_err(|_| -entry.result());
            let more = cqueue::more(entry.flags());
            let taken = cqueue::buffer_select(entry.flags());
            let Some((bid, buffers)) = taken.zip(self.groups.get_mut(group)) else {
                each(Completion { token, result, more, buffer: &[] });
                continue;
            };
            // SAFETY: the completion, read just now and for the only time, names `bid` in the
            // group that its operation was submitted with.
            unsafe { buffers.take(bid) };
            let buffer = buffers.bytes(bid, result.unwrap_or(0));
            each(Completion { token, result, more, buffer });
            buffers.give_back(bid);
            if done % PUBLISH_EVERY == 0 {
                buffers.publish();
            }
        }
        if done > 0 {
            self.groups.iter_mut().for_each(BufRing::publish);
            self.completions.sync();
        }
        done
    }

    /// How often the kernel was entered.
    #[must_use]
    pub const fn enters(&self) -> u64 {
        self.enters
    }
}

impl Ring {
    /// Ends every operation. False if the kernel does not say that all have ended.
    fn cancel_all(&mut self) -> bool {
        let timeout = Timespec::new().sec(CANCEL_TIMEOUT_S);
        for _ in 0..CANCEL_ROUNDS {
            match self.submitter.register_sync_cancel(Some(timeout), CancelBuilder::any()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
                Err(_) => return false,
                // Some are cancelled: let them complete, then ask whether any is left.
                Ok(()) => {
                    let _ = self.submitter.submit();
                    self.completions.sync();
                    self.completions.by_ref().for_each(drop);
                }
            }
        }
        false
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.submissions.sync();
        let quiet = self.cancel_all();
        // The registered descriptor would keep the ring alive as long as this thread.
        let _ = self.submitter.unregister_ring_fd();
        // SAFETY: dropped once, here, and not used after.
        unsafe { ManuallyDrop::drop(&mut self.completions) };
        // SAFETY: as above.
        unsafe { ManuallyDrop::drop(&mut self.submissions) };
        // SAFETY: as above.
        unsafe { ManuallyDrop::drop(&mut self.submitter) };
        // SAFETY: `ring` came from `Box::leak` in `new`, and the three borrows of it are gone.
        let ring = unsafe { Box::from_raw(self.ring.as_ptr()) };
        drop(ring);
        if quiet {
            // SAFETY: nothing is in flight and the ring is closed, so the kernel writes to no
            // buffer any more. Dropped once, here. If not quiet, the memory is leaked instead.
            unsafe { ManuallyDrop::drop(&mut self.groups) };
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("groups", &self.groups.len())
            .field("enters", &self.enters)
            .finish_non_exhaustive()
    }
}

/// The parts of a buffer that a multishot recvmsg filled; `None` if it makes no sense.
///
/// ```text
/// | name bytes u32 = 0 | control bytes u32 | payload bytes u32 | flags u32 | control | payload |
/// 0                     4                    8                    12          16        128
/// ```
#[inline]
#[must_use]
pub fn parse_recvmsg(buffer: &[u8]) -> Option<RecvMsg<'_>> {
    let (head, payload) = buffer.split_at_checked(RECVMSG_OVERHEAD)?;
    let word = |at: usize| head[at..at + 4].try_into().map(u32::from_ne_bytes).ok();
    let control = word(4)? as usize;
    let payload_len = word(8)? as usize;
    let flags = word(12)?;
    Some(RecvMsg {
        control: head[16..].get(..control)?,
        payload: &payload[..payload_len.min(payload.len())],
        truncated: flags & libc::MSG_TRUNC as u32 != 0,
    })
}

/// Passes over what only means that there is nothing to do right now.
fn forgive(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Err(error)
            if !matches!(
                error.raw_os_error(),
                Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ETIME)
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn pair() -> (UdpSocket, UdpSocket) {
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        from.connect(to.local_addr().unwrap()).unwrap();
        (to, from)
    }

    /// A thread may register 16 rings: more than that, one after the other, proves that dropping
    /// one takes its registration back, with receives armed and completions unread.
    #[test]
    fn rings_come_and_go_with_receives_armed() {
        for _ in 0..40 {
            let (to, from) = pair();
            let Ok(mut ring) = Ring::new(4, 8) else { return println!("skips: no io_uring") };
            let group = ring.add_group(4, RECVMSG_OVERHEAD + 16).unwrap();
            ring.recvmsg_multi(&to, group, 1).unwrap();
            ring.advance().unwrap();
            from.send(b"unread").unwrap();
            drop(to);
            drop(ring);
        }
    }

    #[test]
    fn every_buffer_goes_back_to_the_kernel() {
        let (to, from) = pair();
        let Ok(mut ring) = Ring::new(4, 8) else { return println!("skips: no io_uring") };
        let group = ring.add_group(2, RECVMSG_OVERHEAD + 16).unwrap();
        ring.recvmsg_multi(&to, group, 7).unwrap();
        let mut received = 0u8;
        for n in 0..100u8 {
            from.send(&[n]).unwrap();
            while received <= n {
                ring.advance().unwrap();
                ring.drain(8, |completion| {
                    assert_eq!((completion.token, completion.more), (7, true));
                    assert_eq!(parse_recvmsg(completion.buffer).unwrap().payload, [n]);
                    received += 1;
                });
            }
            assert_eq!(ring.groups[0].held(), 0);
        }
    }

    #[test]
    fn damaged_buffers_are_survived() {
        let mut buffer = [0u8; RECVMSG_OVERHEAD + 4];
        for at in 0..16 {
            buffer[at] = 0xff;
            if let Some(message) = parse_recvmsg(&buffer) {
                assert!(message.payload.len() <= 4 && message.control.len() <= CONTROL_BYTES);
            }
        }
        assert!(parse_recvmsg(&buffer[..RECVMSG_OVERHEAD - 1]).is_none());
    }
}
