//! Reads the control data that comes with a datagram.
//!
//! ```text
//! | length u64 | level i32 | type i32 | data ... | padding to 8 |  next ...
//! ```
//!
//! Invariant: a length that does not fit ends the walk; nothing outside the slice is read.

use corelane_feeds::units::{NANOS_PER_SECOND, Nanos};

/// Bytes of a control message before its data.
const HEADER_BYTES: usize = 16;
const _: () = assert!(size_of::<libc::cmsghdr>() == HEADER_BYTES);

/// What the control messages of one datagram say.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Control {
    /// When the kernel received the datagram (SO_TIMESTAMPNS).
    pub(super) ts_kernel: Option<Nanos>,
    /// Datagrams that its socket dropped so far (SO_RXQ_OVFL).
    pub(super) dropped: Option<u32>,
}

/// Walks the control messages; unknown ones are passed over.
#[inline]
pub(super) fn parse(mut rest: &[u8]) -> Control {
    let mut control = Control::default();
    while let Some((head, _)) = rest.split_at_checked(HEADER_BYTES) {
        let length = word8(head, 0).unwrap_or(0) as usize;
        if length < HEADER_BYTES || length > rest.len() {
            break;
        }
        let data = &rest[HEADER_BYTES..length];
        let level = word4(head, 8).unwrap_or(0) as i32;
        let kind = word4(head, 12).unwrap_or(0) as i32;
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => control.ts_kernel = timespec(data),
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => control.dropped = word4(data, 0),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    control
}

#[inline]
fn timespec(data: &[u8]) -> Option<Nanos> {
    let (seconds, nanos) = (word8(data, 0)?, word8(data, 8)?);
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos).map(Nanos)
}

#[inline]
fn word8(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().map(u64::from_ne_bytes).ok()
}

#[inline]
fn word4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().map(u32::from_ne_bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER_BYTES + data.len()) as u64).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn sample() -> Vec<u8> {
        let mut time = 1_700_000_000u64.to_ne_bytes().to_vec();
        time.extend(42u64.to_ne_bytes());
        let mut all = message(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &7u32.to_ne_bytes());
        all.extend(message(libc::SOL_IP, 99, b"unknown"));
        all.extend(message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &time));
        all
    }

    #[test]
    fn finds_each_kind_among_unknown_ones() {
        let expected =
            Control { ts_kernel: Some(Nanos(1_700_000_000_000_000_042)), dropped: Some(7) };
        assert_eq!(parse(&sample()), expected);
    }

    #[test]
    fn every_truncation_and_every_damaged_byte_is_survived() {
        let good = sample();
        for end in 0..good.len() {
            parse(&good[..end]);
        }
        for at in 0..good.len() {
            for value in [0, 1, 15, 16, 17, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                parse(&bad);
            }
        }
    }
}
