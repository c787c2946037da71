//! A network driver's settings: the ioctls behind `ethtool -g`, `-c`, `-l`, `-k`, `-T`, and behind
//! `-G`, `-C` and `-K`, which change them.
//!
//! Every structure asked for is an array of 32-bit words whose first one is the command
//! (`linux/ethtool.h`, a stable interface), so one function makes all calls.
//!
//! Invariant: only functions named `set` change a setting, and no other than the one they name.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of_val, zeroed};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const GCOALESCE: u32 = 0x0e;
const SCOALESCE: u32 = 0x0f;
const GRINGPARAM: u32 = 0x10;
const SRINGPARAM: u32 = 0x11;
const GSTRINGS: u32 = 0x1b;
const GSSET_INFO: u32 = 0x37;
const GFEATURES: u32 = 0x3a;
const SFEATURES: u32 = 0x3b;
const GCHANNELS: u32 = 0x3c;
const GET_TS_INFO: u32 = 0x41;
/// Words of the structures that are changed.
const RING_RX: usize = 5;
const COALESCE_RX_USECS: usize = 1;
const COALESCE_ADAPTIVE_RX: usize = 10;
/// The set of names of features.
const SS_FEATURES: u32 = 4;
/// Bytes of a name (ETH_GSTRING_LEN).
const NAME_BYTES: usize = 32;
/// More features than any kernel has: Linux 6.18 has about 70.
const FEATURES_MAX: u32 = 1_024;

/// Receive descriptors.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Ring {
    /// In use.
    pub rx: u32,
    /// The most that the card has.
    pub rx_max: u32,
}

/// When a card interrupts for what it received.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Coalescing {
    /// Microseconds that it may wait for more.
    pub usecs: u32,
    /// Whether the driver changes that as it sees fit.
    pub adaptive: bool,
}

/// Who can stamp received frames.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Stamps {
    /// The card.
    pub hardware: bool,
    /// The kernel.
    pub software: bool,
}

/// One network interface.
#[derive(Debug)]
pub struct Card {
    socket: UdpSocket,
    name: [libc::c_char; libc::IFNAMSIZ],
}

impl Card {
    /// The interface of this name.
    ///
    /// # Errors
    /// If the name is longer than the kernel allows, or no socket can be opened.
    pub fn open(name: &str) -> io::Result<Self> {
        let mut bytes = [0; libc::IFNAMSIZ];
        if name.is_empty() || name.len() >= bytes.len() || name.contains('\0') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no interface name"));
        }
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        Ok(Self { socket: UdpSocket::bind(("127.0.0.1", 0))?, name: bytes })
    }

    /// Receive descriptors: now and at most.
    ///
    /// # Errors
    /// What the driver answers; `Unsupported` if it does not know the question.
    pub fn ring(&self) -> io::Result<Ring> {
        let words = self.ring_words()?;
        Ok(Ring { rx: words[RING_RX], rx_max: words[1] })
    }

    fn ring_words(&self) -> io::Result<[u32; 9]> {
        // cmd, rx_max, rx_mini_max, rx_jumbo_max, tx_max, rx, rx_mini, rx_jumbo, tx
        let mut words = [0; 9];
        self.ask(GRINGPARAM, &mut words)?;
        Ok(words)
    }

    /// Sets the receive descriptors. Many drivers take the link down and up for it.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn set_ring(&self, rx: u32) -> io::Result<()> {
        let mut words = self.ring_words()?;
        words[RING_RX] = rx;
        self.ask(SRINGPARAM, &mut words)
    }

    /// Interrupt moderation of what is received.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn coalescing(&self) -> io::Result<Coalescing> {
        let words = self.coalescing_words()?;
        Ok(Coalescing {
            usecs: words[COALESCE_RX_USECS],
            adaptive: words[COALESCE_ADAPTIVE_RX] != 0,
        })
    }

    fn coalescing_words(&self) -> io::Result<[u32; 23]> {
        // cmd, rx_usecs, rx_frames, 2 more for rx, 4 for tx, stats, adaptive_rx, 12 more
        let mut words = [0; 23];
        self.ask(GCOALESCE, &mut words)?;
        Ok(words)
    }

    /// Sets interrupt moderation; what is `None` stays as it is.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn set_coalescing(&self, usecs: Option<u32>, adaptive: Option<bool>) -> io::Result<()> {
        let mut words = self.coalescing_words()?;
        words[COALESCE_RX_USECS] = usecs.unwrap_or(words[COALESCE_RX_USECS]);
        words[COALESCE_ADAPTIVE_RX] = adaptive.map_or(words[COALESCE_ADAPTIVE_RX], u32::from);
        self.ask(SCOALESCE, &mut words)
    }

    /// Queues that receive.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn rx_queues(&self) -> io::Result<u32> {
        // cmd, max_rx, max_tx, max_other, max_combined, rx, tx, other, combined
        let mut words = [0; 9];
        self.ask(GCHANNELS, &mut words)?;
        Ok(words[5].saturating_add(words[8]))
    }

    /// Who can stamp received frames.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn stamps(&self) -> io::Result<Stamps> {
        // cmd, so_timestamping, phc_index, tx_types, 3 reserved, rx_filters, 3 reserved
        let mut words = [0; 11];
        self.ask(GET_TS_INFO, &mut words)?;
        Ok(Stamps {
            hardware: words[1] & libc::SOF_TIMESTAMPING_RX_HARDWARE != 0,
            software: words[1] & libc::SOF_TIMESTAMPING_RX_SOFTWARE != 0,
        })
    }

    /// Every offload that the kernel knows, and whether it is on.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn features(&self) -> io::Result<Vec<(String, bool)>> {
        let names = self.feature_names()?;
        // cmd, number of blocks, blocks of 32: available, requested, active, never changed
        let blocks = names.len().div_ceil(32);
        let mut states = vec![0; 2 + 4 * blocks];
        states[1] = blocks as u32;
        self.ask(GFEATURES, &mut states)?;
        let on = |bit: usize| states[2 + bit / 32 * 4 + 2] >> (bit % 32) & 1 == 1;
        Ok(names.into_iter().enumerate().map(|(bit, name)| (name, on(bit))).collect())
    }

    /// The names of offloads; the place of a name is the number of its bit.
    fn feature_names(&self) -> io::Result<Vec<String>> {
        // cmd, reserved, mask of sets in two words, number of names of each set
        let mut sets = [0, 0, 1 << SS_FEATURES, 0, 0];
        self.ask(GSSET_INFO, &mut sets)?;
        let count = sets[4];
        if sets[2] == 0 || count == 0 || count > FEATURES_MAX {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // cmd, set, number of names, the names
        let mut names = vec![0; 3 + count as usize * NAME_BYTES / 4];
        (names[1], names[2]) = (SS_FEATURES, count);
        self.ask(GSTRINGS, &mut names)?;
        let name = |words: &[u32]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        Ok(names[3..].chunks(NAME_BYTES / 4).map(name).collect())
    }

    /// Switches one offload on or off.
    ///
    /// # Errors
    /// If there is no such offload, or it cannot be switched.
    pub fn set_feature(&self, name: &str, on: bool) -> io::Result<()> {
        let names = self.feature_names()?;
        let bit = names.iter().position(|known| known == name);
        let bit = bit.ok_or(io::ErrorKind::Unsupported)?;
        // cmd, number of blocks, blocks of 32: valid, requested
        let blocks = names.len().div_ceil(32);
        let mut words = vec![0; 2 + 2 * blocks];
        words[1] = blocks as u32;
        let block = 2 + bit / 32 * 2;
        words[block] = 1 << (bit % 32);
        words[block + 1] = u32::from(on) << (bit % 32);
        self.ask(SFEATURES, &mut words)?;
        // What a driver cannot do is no error to the kernel.
        let now = self.features()?;
        if now.get(bit).is_some_and(|(_, is)| *is == on) {
            Ok(())
        } else {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// Sends one command; the answer is written over `words`.
    fn ask(&self, command: u32, words: &mut [u32]) -> io::Result<()> {
        words[0] = command;
        // SAFETY: `ifreq` is integers, byte arrays and pointers only, for which zero is a value.
        let mut request: libc::ifreq = unsafe { zeroed() };
        request.ifr_name = self.name;
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        debug_assert!(size_of_val(words) >= 20);
        // SAFETY: `request` and `words` live across the call and are borrowed by nobody else. The
        // kernel reads the request and writes at most the structure of the command at `ifru_data`:
        // callers in this module pass as many words as `linux/ethtool.h` gives the structure, and
        // for those of variable length they state the room in the words that the kernel heeds
        // (GFEATURES, SFEATURES) or take it from the kernel's own count of names, which is a
        // constant of a running kernel (GSTRINGS of the feature names). Any bit pattern is a `u32`.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL, &mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_tells_its_features_and_stamps() {
        let card = Card::open("lo").unwrap();
        let features = card.features().unwrap();
        assert!(features.iter().any(|(name, _)| name == "rx-gro"), "{features:?}");
        assert!(features.iter().any(|(name, on)| name == "loopback" && *on), "{features:?}");
        assert_eq!(card.stamps().unwrap(), Stamps { hardware: false, software: true });
        assert!(card.ring().is_err() && card.coalescing().is_err());
        assert!(card.set_ring(256).is_err() && card.set_coalescing(Some(0), None).is_err());
        assert!(card.set_feature("no-such-offload", true).is_err());
    }

    #[test]
    fn what_is_no_interface_is_an_error() {
        for name in ["", "a-name-that-is-far-too-long", "a\0b"] {
            assert!(Card::open(name).is_err(), "{name:?}");
        }
        assert!(Card::open("no-such-if").unwrap().ring().is_err());
    }
}
