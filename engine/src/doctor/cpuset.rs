//! Sets of CPUs, in the two forms that the kernel writes them: lists (`0-3,8`) and hexadecimal
//! masks in groups of 32 (`ff,ffffffff`).
//!
//! ```
//! use corelane::doctor::Cpus;
//! assert_eq!(Cpus::from_list("0-2,8").unwrap().to_string(), "0-2,8");
//! assert_eq!(Cpus::from_mask("1,00000003").unwrap().to_string(), "0-1,32");
//! ```

use std::collections::BTreeSet;
use std::fmt;

use crate::sys::affinity::CpuList;

/// More CPUs than Linux supports: a number beyond it is a mistake.
const CPUS_MAX: usize = 8_192;

/// A set of the kernel's CPU numbers.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Cpus(pub BTreeSet<usize>);

impl Cpus {
    /// Reads a list. Nothing, and what older kernels print for nothing, is the empty set.
    #[must_use]
    pub fn from_list(text: &str) -> Option<Self> {
        let mut cpus = BTreeSet::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty() && *part != "(null)") {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            if last < first || last >= CPUS_MAX {
                return None;
            }
            cpus.extend(first..=last);
        }
        Some(Self(cpus))
    }

    /// Reads a mask.
    #[must_use]
    pub fn from_mask(text: &str) -> Option<Self> {
        let mut cpus = BTreeSet::new();
        for (group, word) in text.trim().rsplit(',').enumerate() {
            let word = u32::from_str_radix(word, 16).ok()?;
            cpus.extend((0..32).filter(|bit| word >> bit & 1 == 1).map(|bit| group * 32 + bit));
        }
        Some(Self(cpus))
    }

    /// As a mask; `0` for none.
    #[must_use]
    pub fn mask(&self) -> String {
        let groups = self.0.last().map_or(1, |last| last / 32 + 1);
        let mut words = vec![0_u32; groups];
        for cpu in &self.0 {
            words[cpu / 32] |= 1 << (cpu % 32);
        }
        let mut text = words.pop().map_or_else(String::new, |word| format!("{word:x}"));
        for word in words.iter().rev() {
            text += &format!(",{word:08x}");
        }
        text
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// Those of this set that are not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        CpuList(self.0.iter().copied().collect()).fmt(f)
    }
}

impl FromIterator<usize> for Cpus {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_masks_are_read_as_the_kernel_writes_them() {
        for (list, mask) in [
            ("none", "0"),
            ("0-1", "3"),
            ("2-5", "0000003c"),
            ("0,32,63", "80000001,00000001"),
            ("64", "1,00000000,00000000"),
        ] {
            let text = if list == "none" { "" } else { list };
            let cpus = Cpus::from_list(text).unwrap();
            assert_eq!(cpus.to_string(), list);
            assert_eq!(Cpus::from_mask(mask).unwrap(), cpus);
            assert_eq!(cpus.mask(), mask.trim_start_matches("000000"));
        }
        assert_eq!(Cpus::from_list("(null)\n"), Some(Cpus::default()));
        for wrong in ["a", "3-1", "1-", "99999", "1 2"] {
            assert_eq!(Cpus::from_list(wrong), None, "{wrong}");
        }
        assert_eq!(Cpus::from_mask("xyz"), None);
    }
}
