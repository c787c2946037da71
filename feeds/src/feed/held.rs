//! Packets that wait behind a hole until another line fills it.
//!
//! Invariant: memory is taken once; a packet that finds no room, or is larger than a place, is
//! refused and the caller counts it.

use crate::sequence::Place;
use crate::units::Nanos;

/// The largest packet that is held: a jumbo frame.
const HELD_BYTES_MAX: usize = 9_216;

#[derive(Clone, Debug)]
struct Slot {
    place: Option<(Place, Nanos)>,
    bytes: Vec<u8>,
}

/// A bounded set of packets, looked up by lowest sequence.
#[derive(Clone, Debug)]
pub(super) struct Held {
    slots: Box<[Slot]>,
    taken: usize,
}

impl Held {
    pub(super) fn new(capacity: usize) -> Self {
        let slot = |_| Slot { place: None, bytes: Vec::with_capacity(HELD_BYTES_MAX) };
        Self { slots: (0..capacity).map(slot).collect(), taken: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Keeps a packet; false if there is no room for it.
    pub(super) fn push(&mut self, place: &Place, ts_recv: Nanos, payload: &[u8]) -> bool {
        if payload.len() > HELD_BYTES_MAX {
            return false;
        }
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.place.is_none()) else {
            return false;
        };
        slot.place = Some((*place, ts_recv));
        slot.bytes.clear();
        slot.bytes.extend_from_slice(payload);
        self.taken += 1;
        true
    }

    /// Where the packet with the lowest sequence lies, and that sequence.
    pub(super) fn first(&self) -> Option<(usize, u64)> {
        let taken = self.slots.iter().enumerate();
        let taken = taken.filter_map(|(i, slot)| Some((i, slot.place?.0.seq())));
        taken.min_by_key(|(_, seq)| *seq)
    }

    /// Takes a packet out, with the time it arrived. Its buffer is to be given back.
    pub(super) fn take(&mut self, index: usize) -> (Place, Vec<u8>, Nanos) {
        let slot = &mut self.slots[index];
        let (place, ts_recv) = slot.place.take().expect("an index that `first` gave");
        self.taken -= 1;
        (place, std::mem::take(&mut slot.bytes), ts_recv)
    }

    pub(super) fn give_back(&mut self, index: usize, bytes: Vec<u8>) {
        self.slots[index].bytes = bytes;
    }

    /// Forgets every packet.
    pub(super) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.place = None);
        self.taken = 0;
    }
}
