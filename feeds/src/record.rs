//! The one record format: the same plain bytes in a ring slot, in the journal, under a rule, in a
//! strategy and in an export.
//!
//! ```text
//! 0        2       3     4      5       6            8      16         24        32 ...      256
//! | stream | words | tag | feed | flags | instrument | seq  | ts_event | ts_recv | fields ... |
//! ```
//!
//! - `stream` names the [schema](crate::schema); `words` is the record's length in 4-byte words.
//! - `tag` is one byte that belongs to the stream: a schema may declare it as its field (an order's
//!   side, an event's code). It is what lets an attributed ITCH order fit one cache line.
//! - `feed` is the feed's number in the configuration, `instrument` the feed's own dense number for
//!   an instrument (the ITCH stock locate), 0 for a record that concerns no single instrument.
//! - `seq` is the source's own sequence number, `ts_event` the venue's time, `ts_recv` ours.
//!
//! Invariant: a [`Record`] is 8-byte aligned, 32 to 256 bytes long, and its `words` equals its
//! length. In rings it takes whole 64-byte [`Slot`]s; messages that build books fit one.
//!
//! ```
//! use corelane_feeds::record::{Record, Slot};
//! use corelane_feeds::streams::sys::Tick;
//! use corelane_feeds::record::{Stamp, View};
//! let tick = Tick::new(Stamp::default(), 0);
//! use zerocopy::IntoBytes;
//! let bytes = tick.as_record().as_bytes();
//! assert_eq!(Record::from_bytes(bytes).unwrap().slots(), 1);
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::schema::Schema;
use crate::units::{Nanos, Seq};

/// Bytes of a [`Header`].
pub const HEADER_BYTES: usize = 32;
/// Bytes of a ring slot: one cache line.
pub const SLOT_BYTES: usize = 64;
/// The most slots that one record takes.
pub const SLOTS_MAX: usize = 4;
/// The most bytes that one record has.
pub const RECORD_BYTES_MAX: usize = SLOT_BYTES * SLOTS_MAX;

/// `Header::flags`: the feed lost at least one message directly before this record.
pub const FLAG_AFTER_GAP: u8 = 1;
/// `Header::flags`: derived inside the shard (a book's best prices), never journalled.
pub const FLAG_DERIVED: u8 = 2;
/// `Header::flags`: an action that was decided and is not taken: journalled, counted, never sent.
pub const FLAG_SHADOW: u8 = 4;

/// `Header::flags`: sent to a shard that does not own its instrument, for rules by another key.
pub const FLAG_EXCHANGED: u8 = 8;

/// Names a stream, and with it a schema. The high byte is the family (see [`crate::streams`]).
#[derive(
    Copy,
    Clone,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
)]
#[repr(transparent)]
pub struct StreamId(pub u16);

/// What every record starts with.
#[derive(
    Copy, Clone, Default, PartialEq, Eq, Debug, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Header {
    /// Which schema the fields follow.
    pub stream: StreamId,
    /// Length of the record, this header included, in 4-byte words.
    pub words: u8,
    /// One byte that belongs to the stream.
    pub tag: u8,
    /// The feed's number in the configuration.
    pub feed: u8,
    /// `FLAG_*` bits.
    pub flags: u8,
    /// The feed's dense instrument number; 0 concerns no single instrument.
    pub instrument: u16,
    /// The source's own sequence number.
    pub seq: Seq,
    /// The venue's time.
    pub ts_event: Nanos,
    /// When this machine (or the capture) received it.
    pub ts_recv: Nanos,
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);

/// Everything of a [`Header`] that the source decides, not the schema.
#[derive(Copy, Clone, Default, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// See [`Header::feed`].
    pub feed: u8,
    /// See [`Header::flags`].
    pub flags: u8,
    /// See [`Header::instrument`].
    pub instrument: u16,
    /// See [`Header::seq`].
    pub seq: Seq,
    /// See [`Header::ts_event`].
    pub ts_event: Nanos,
    /// See [`Header::ts_recv`].
    pub ts_recv: Nanos,
}

impl Header {
    /// The stamp this header was made from.
    #[inline]
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        Stamp {
            feed: self.feed,
            flags: self.flags,
            instrument: self.instrument,
            seq: self.seq,
            ts_event: self.ts_event,
            ts_recv: self.ts_recv,
        }
    }

    /// A header for a record of `bytes` bytes.
    #[inline]
    #[must_use]
    pub const fn new(stream: StreamId, bytes: usize, tag: u8, stamp: Stamp) -> Self {
        assert!(bytes >= HEADER_BYTES && bytes <= RECORD_BYTES_MAX && bytes.is_multiple_of(8));
        Self {
            stream,
            words: (bytes / 4) as u8,
            tag,
            feed: stamp.feed,
            flags: stamp.flags,
            instrument: stamp.instrument,
            seq: stamp.seq,
            ts_event: stamp.ts_event,
            ts_recv: stamp.ts_recv,
        }
    }

    /// Length of the record in bytes, this header included.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.words as usize * 4
    }
}

/// One record in place: a header and the fields behind it.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Record {
    /// What every record starts with.
    pub header: Header,
    /// The fields, at the offsets (less 32) that the schema names; whole words, so that a record
    /// never ends in hidden padding.
    pub fields: [u64],
}

/// Why bytes are not a record.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than a header, or than the header says.
    #[error("record cut short: {have} bytes of {want}")]
    Truncated {
        /// Bytes at hand.
        have: usize,
        /// Bytes that the header (or its absence) asks for.
        want: usize,
    },
    /// `words` is below a header, above the maximum, or no multiple of 8 bytes.
    #[error("record length {bytes} is not a multiple of 8 from 32 to 256")]
    BadLength {
        /// What the header says.
        bytes: usize,
    },
    /// The bytes do not start at an 8-byte boundary.
    #[error("record is not 8-byte aligned")]
    Misaligned,
}

impl Record {
    /// The record at the start of `bytes`; what follows it is left alone.
    ///
    /// # Errors
    /// If the bytes are cut short, misaligned, or say an impossible length.
    #[inline]
    pub fn from_bytes(bytes: &[u8]) -> Result<&Record, RecordError> {
        let have = bytes.len();
        if !bytes.as_ptr().addr().is_multiple_of(8) {
            return Err(RecordError::Misaligned);
        }
        let Ok((header, _)) = Header::ref_from_prefix(bytes) else {
            return Err(RecordError::Truncated { have, want: HEADER_BYTES });
        };
        let want = header.bytes();
        if !(HEADER_BYTES..=RECORD_BYTES_MAX).contains(&want) || !want.is_multiple_of(8) {
            return Err(RecordError::BadLength { bytes: want });
        }
        if have < want {
            return Err(RecordError::Truncated { have, want });
        }
        Record::ref_from_bytes(&bytes[..want]).map_err(|_| RecordError::Misaligned)
    }

    /// The record at the start of `slots`.
    ///
    /// # Errors
    /// As [`Record::from_bytes`].
    #[inline]
    pub fn from_slots(slots: &[Slot]) -> Result<&Record, RecordError> {
        Self::from_bytes(slots.as_bytes())
    }

    /// The record as the typed view of its stream; `None` if it is of another stream or shorter.
    #[inline]
    #[must_use]
    pub fn view<T: View>(&self) -> Option<&T> {
        if self.header.stream != T::SCHEMA.stream {
            return None;
        }
        T::ref_from_prefix(self.as_bytes()).ok().map(|(view, _)| view)
    }

    /// How many ring slots the record takes.
    #[inline]
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.header.bytes().div_ceil(SLOT_BYTES)
    }

    /// A copy that owns its bytes.
    #[must_use]
    pub fn to_buf(&self) -> RecordBuf {
        let mut buf = RecordBuf::default();
        buf.set(self);
        buf
    }
}

/// One ring slot: a cache line that holds a record or a part of one.
#[derive(Copy, Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct Slot(pub [u8; SLOT_BYTES]);

impl Default for Slot {
    fn default() -> Self {
        Self([0; SLOT_BYTES])
    }
}

/// A record that owns its bytes, on the stack.
#[derive(Clone, Default)]
pub struct RecordBuf {
    slots: [Slot; SLOTS_MAX],
}

impl RecordBuf {
    /// Overwrites the buffer with `record`.
    #[inline]
    pub fn set(&mut self, record: &Record) {
        let bytes = record.as_bytes();
        let place = self.slots.as_mut_bytes();
        // Nearly every record is one slot: a copy of a length that the compiler knows.
        if let Ok(line) = <&[u8; SLOT_BYTES]>::try_from(bytes) {
            place[..SLOT_BYTES].copy_from_slice(line);
        } else {
            place[..bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Overwrites the buffer with a view: a copy of a length that the compiler knows.
    #[inline]
    pub fn set_view<V: View>(&mut self, view: &V) {
        self.slots.as_mut_bytes()[..size_of::<V>()].copy_from_slice(view.as_bytes());
    }

    /// Begins a record with this header and every field zero; returns all of its bytes.
    #[inline]
    pub fn begin(&mut self, header: &Header) -> &mut [u8] {
        let bytes = header.bytes().clamp(HEADER_BYTES, RECORD_BYTES_MAX);
        let place = &mut self.slots.as_mut_bytes()[..bytes];
        place.fill(0);
        place[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        place
    }

    /// Overwrites bytes at an offset; those that lie beyond the buffer are left out.
    #[inline]
    pub fn put(&mut self, offset: usize, bytes: &[u8]) {
        if let Some(place) = self.slots.as_mut_bytes().get_mut(offset..offset + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// All bytes that a record may take, whatever of them is in use.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.slots.as_mut_bytes()
    }

    /// The record, or `None` before the first [`RecordBuf::set`].
    #[inline]
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        Record::from_slots(&self.slots).ok()
    }

    /// The header, to change what the engine itself decides: flags and stamps.
    #[inline]
    pub fn header_mut(&mut self) -> Option<&mut Header> {
        Header::mut_from_prefix(self.slots.as_mut_bytes()).ok().map(|(header, _)| header)
    }

    /// The record as the slots it takes in a ring.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        let taken = self.record().map_or(0, Record::slots);
        &self.slots[..taken]
    }
}

impl std::fmt::Debug for RecordBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.record() {
            Some(record) => write!(f, "{:?} {:02x?}", record.header, &record.fields),
            None => f.write_str("RecordBuf(empty)"),
        }
    }
}

/// A typed view of one stream's records. Made by [`crate::stream!`], never by hand.
pub trait View: FromBytes + IntoBytes + KnownLayout + Immutable + Copy {
    /// The schema that the same declaration gave.
    const SCHEMA: &'static Schema;

    /// The view as a record, in place.
    #[inline]
    fn as_record(&self) -> &Record {
        Record::ref_from_bytes(self.as_bytes())
            .expect("a view is at least a header, 8-byte aligned")
    }
}

/// Takes records one at a time, in order. A decoder writes to it; a shard, a router or a test is
/// it.
pub trait RecordSink {
    /// Takes one record. It is valid only during the call.
    fn record(&mut self, record: &Record);

    /// Sees the bytes of a message of the feed's sequence, before the record it may give. For tools
    /// that look at the wire; it costs nothing where it is not implemented.
    #[inline]
    fn message(&mut self, seq: Seq, bytes: &[u8]) {
        let _ = (seq, bytes);
    }
}

impl<F: FnMut(&Record)> RecordSink for F {
    #[inline]
    fn record(&mut self, record: &Record) {
        self(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::itch::{AddOrder, Noii};
    use crate::units::Qty;

    #[test]
    fn a_record_survives_the_round_trip_through_slots() {
        let stamp = Stamp { feed: 3, instrument: 9, seq: Seq(5), ..Stamp::default() };
        let mut noii = Noii::new(stamp, 0);
        noii.paired_qty = Qty(77);
        let buf = noii.as_record().to_buf();
        assert_eq!(buf.slots().len(), 2);
        let record = Record::from_slots(buf.slots()).unwrap();
        assert_eq!(record.view::<Noii>().unwrap().paired_qty, Qty(77));
        assert_eq!(record.header.stamp(), stamp);
        assert!(record.view::<AddOrder>().is_none());
    }

    #[test]
    fn bad_bytes_are_errors_not_panics() {
        let mut slot = Slot::default();
        let bytes = slot.as_bytes();
        assert_eq!(
            Record::from_bytes(&bytes[..8]).err(),
            Some(RecordError::Truncated { have: 8, want: HEADER_BYTES })
        );
        assert_eq!(Record::from_bytes(bytes).err(), Some(RecordError::BadLength { bytes: 0 }));
        assert_eq!(Record::from_bytes(&bytes[4..]).err(), Some(RecordError::Misaligned));
        slot.0[2] = 20; // 80 bytes
        assert_eq!(
            Record::from_slots(std::slice::from_ref(&slot)).err(),
            Some(RecordError::Truncated { have: 64, want: 80 })
        );
    }
}
