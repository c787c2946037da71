//! Hostile bytes into the `json` driver; what must hold stands there.
#![no_main]
#![allow(dead_code, reason = "each target uses one driver")]

use libfuzzer_sys::fuzz_target;

#[path = "../../feeds/tests/survive/drive.rs"]
mod drive;

fuzz_target!(|data: &[u8]| drive::json(data));
