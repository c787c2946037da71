//! Where the journal lies: hot segments belong on a memory filesystem.

use std::path::{Path, PathBuf};

use super::host::Host;
use super::{Check, Fix, Judged, Verdict, settle};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "journal_fs",
        title: "filesystem of the journal",
        wanted: "tmpfs or hugetlbfs for the segments that hot cores write",
        why: "write-back of a mapped file protects its pages again and again, and the writer \
              faults on each",
        effect: "p99 / p99.9 of an append: 20 / 50 ns in memory, 9-20 / 50-158 us in a mapped \
                 file on ext4 that another core syncs",
        source: "measured on a two-core VM (tuning/README.md)",
        fix: Fix::Hand("dir of [journal] below /dev/shm, the default"),
        judge: |host| settle(filesystem(host)),
    },
    Check {
        id: "journal_mount",
        title: "mount options of the journal",
        wanted: "no sync, dirsync, discard or strictatime; on tmpfs room for the segments",
        why: "sync waits for the disk on every write, discard stalls on every freed segment, \
              access times are written for nothing",
        effect: "no writes that nobody asked for; no run that ends because a filesystem is full",
        source: "mount(8); filesystems/ext4; filesystems/tmpfs.rst, size",
        fix: Fix::Hand("mount -o remount,... and the line in /etc/fstab"),
        judge: |host| settle(mount_options(host)),
    },
];

struct Mount {
    point: PathBuf,
    kind: String,
    /// Options of the mount and of the filesystem.
    options: Vec<String>,
}

/// The mount that holds the journal.
fn mount(host: &Host) -> Result<Mount, Verdict> {
    let Some(journal) = &host.needs.journal else {
        return Err(Verdict::info("the journal is off: nothing can be replayed or explained"));
    };
    let journal = std::path::absolute(journal).unwrap_or_else(|_| journal.clone());
    let text = host.root.text("proc/self/mountinfo").map_err(Verdict::unknown)?;
    // id parent major:minor root point options [tags ...] - kind source super-options
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let point = left.split(' ').nth(4)?.replace("\\040", " ");
        let mut right = right.split(' ');
        let kind = right.next()?.to_owned();
        let options = left.split(' ').nth(5)?.split(',').chain(right.nth(1)?.split(','));
        let options = options.map(str::to_owned).collect();
        Some(Mount { point: PathBuf::from(point), kind, options })
    };
    let mounts = text.lines().filter_map(parse).filter(|mount| journal.starts_with(&mount.point));
    // Of several on one point the last one hides the others.
    let found = mounts.max_by_key(|mount| mount.point.components().count());
    found.ok_or_else(|| Verdict::unknown(format!("no mount holds {}", journal.display())))
}

fn filesystem(host: &Host) -> Judged {
    let Mount { point, kind, .. } = mount(host)?;
    let what = format!("{kind} at {}", point.display());
    Ok(match kind.as_str() {
        "tmpfs" | "ramfs" | "hugetlbfs" => Verdict::ok(what),
        "ext4" | "ext3" | "xfs" => Verdict::warn(what),
        _ => Verdict::bad(format!("{what}: never measured, and mapped writes may not be local")),
    })
}

/// A size as tmpfs prints it.
fn size(text: &str) -> Option<u64> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().ok()?;
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    number.checked_shl(shift)
}

fn mount_options(host: &Host) -> Judged {
    let Mount { point, kind, options } = mount(host)?;
    let bad = ["sync", "dirsync", "discard", "strictatime"];
    let wrong: Vec<_> =
        options.iter().map(String::as_str).filter(|name| bad.contains(name)).collect();
    let at = point_name(&point);
    if !wrong.is_empty() {
        return Ok(Verdict::warn(format!("{at}: {}", wrong.join(", "))));
    }
    let room = options.iter().find_map(|option| size(option.strip_prefix("size=")?));
    let needed = host.needs.journal_bytes;
    Ok(match room {
        Some(room) if kind == "tmpfs" && room < needed => Verdict::bad(format!(
            "{at}: size {} MiB, the first two segments of every shard take {} MiB",
            room >> 20,
            needed >> 20
        )),
        Some(room) if kind == "tmpfs" => Verdict::ok(format!("{at}: size {} MiB", room >> 20)),
        _ => Verdict::ok(format!("{at}: none of them")),
    })
}

fn point_name(point: &Path) -> String {
    point.display().to_string()
}
