//! What several test files share: where real data lies.

use std::path::{Path, PathBuf};

/// A file of the real data; says so and gives `None` if it is absent.
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("CORELANE_DATA").map_or_else(default, PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        println!("skipped: {} is absent (CORELANE_DATA names its folder)", path.display());
        return None;
    }
    Some(path)
}
