//! A network card's settings, by the names that `ethtool` prints.
//!
//! They are text, as sysfs would have them if it had them: `rx` 256 and `rx-max` 4096 descriptors,
//! `rx-usecs` 3, `adaptive-rx` on, `rx-queues` 8, `rx-lro` off, `stamps` hardware. A recorded host
//! has a file for each in `ethtool/IF/`.
//!
//! Invariant: a setting is known, or why it is not.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::sys::ethtool;

/// Receive descriptors in use.
pub(super) const RX: &str = "rx";
/// The most receive descriptors that the card has.
pub(super) const RX_MAX: &str = "rx-max";
/// Microseconds that the card may wait for more frames before it interrupts.
pub(super) const RX_USECS: &str = "rx-usecs";
/// Whether the driver changes that as it sees fit.
pub(super) const ADAPTIVE_RX: &str = "adaptive-rx";
/// Queues that receive.
pub(super) const RX_QUEUES: &str = "rx-queues";
/// Who stamps received frames: `hardware`, `software` or `none`.
pub(super) const STAMPS: &str = "stamps";
pub(super) const GRO: &str = "rx-gro";
pub(super) const LRO: &str = "rx-lro";
pub(super) const GRO_LIST: &str = "rx-gro-list";
pub(super) const FORWARDING: &str = "rx-udp-gro-forwarding";
pub(super) const NTUPLE: &str = "rx-ntuple-filter";
/// The offloads that are looked at, by the kernel's names.
const FEATURES: &[&str] = &[GRO, LRO, GRO_LIST, FORWARDING, NTUPLE];
/// Before the reason in the file of a setting that could not be read.
const WHY: &str = "unknown: ";

/// What is known of one card.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Card(pub BTreeMap<String, Result<String, String>>);

fn on(is: bool) -> String {
    if is { "on" } else { "off" }.to_owned()
}

impl Card {
    /// Asks the driver.
    ///
    /// # Errors
    /// If there is no such interface.
    pub fn ask(name: &str) -> io::Result<Self> {
        let card = ethtool::Card::open(name)?;
        let mut all = BTreeMap::new();
        let mut keep = |names: &[&str], told: io::Result<Vec<String>>| match told {
            Ok(values) => {
                let pairs = names.iter().zip(values);
                all.extend(pairs.map(|(name, value)| ((*name).to_owned(), Ok(value))));
            }
            Err(error) => {
                let why = || Err(error.to_string());
                all.extend(names.iter().map(|name| ((*name).to_owned(), why())));
            }
        };
        let ring = card.ring().map(|ring| vec![ring.rx.to_string(), ring.rx_max.to_string()]);
        keep(&[RX, RX_MAX], ring);
        let coalescing = card.coalescing();
        let coalescing = coalescing.map(|found| vec![found.usecs.to_string(), on(found.adaptive)]);
        keep(&[RX_USECS, ADAPTIVE_RX], coalescing);
        keep(&[RX_QUEUES], card.rx_queues().map(|queues| vec![queues.to_string()]));
        keep(&[STAMPS], card.stamps().map(|stamps| vec![word(stamps).to_owned()]));
        match card.features() {
            Ok(features) => {
                let wanted = features.into_iter().filter(|(name, _)| FEATURES.contains(&&**name));
                all.extend(wanted.map(|(name, is)| (name, Ok(on(is)))));
            }
            Err(error) => keep(FEATURES, Err(error)),
        }
        Ok(Self(all))
    }

    /// Reads a recorded card: the files of a folder.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn recorded(folder: &Path) -> io::Result<Self> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let text = fs::read_to_string(entry.path())?;
            let text = text.trim();
            let told =
                text.strip_prefix(WHY).map_or_else(|| Ok(text.to_owned()), |why| Err(why.into()));
            all.insert(entry.file_name().to_string_lossy().into_owned(), told);
        }
        Ok(Self(all))
    }

    /// The files of its record.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, told)| {
            let text =
                told.as_ref().map_or_else(|why| format!("{WHY}{why}\n"), |v| format!("{v}\n"));
            (name.as_str(), text)
        })
    }

    /// A setting.
    ///
    /// # Errors
    /// Why it is not known.
    pub(super) fn text(&self, name: &str) -> Result<&str, String> {
        match self.0.get(name) {
            Some(Ok(value)) => Ok(value),
            Some(Err(why)) => Err(format!("{name}: {why}")),
            None => Err(format!("{name}: the driver does not tell")),
        }
    }

    /// A setting that is a number.
    pub(super) fn number(&self, name: &str) -> Result<u32, String> {
        let text = self.text(name)?;
        text.parse().map_err(|_| format!("{name}: `{text}` is no number"))
    }

    /// Whether a setting is known, and on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.text(name) == Ok("on")
    }
}

fn word(stamps: ethtool::Stamps) -> &'static str {
    match stamps {
        ethtool::Stamps { hardware: true, .. } => "hardware",
        ethtool::Stamps { software: true, .. } => "software",
        _ => "none",
    }
}

/// Changes one setting of a card.
///
/// # Errors
/// What the driver answers; `Unsupported` if it is none of those that tuning changes.
pub(super) fn set(interface: &str, name: &str, value: &str) -> io::Result<()> {
    let card = ethtool::Card::open(interface)?;
    let number = || value.parse().map_err(|_| io::ErrorKind::InvalidInput);
    match name {
        RX => card.set_ring(number()?),
        RX_USECS => card.set_coalescing(Some(number()?), None),
        ADAPTIVE_RX => card.set_coalescing(None, Some(value == "on")),
        feature if FEATURES.contains(&feature) => card.set_feature(feature, value == "on"),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_card_is_the_card() {
        let card = Card::ask("lo").unwrap();
        assert_eq!(card.text(STAMPS), Ok("software"));
        assert!(card.number(RX).unwrap_err().starts_with("rx: "));
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in card.files() {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(Card::recorded(folder.path()).unwrap(), card);
    }

    #[test]
    fn what_is_no_setting_is_not_set() {
        for (name, value) in [("rx-max", "1"), ("rx", "many"), ("", "")] {
            assert!(set("lo", name, value).is_err(), "{name}");
        }
    }
}
