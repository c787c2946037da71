# Shared by the scripts in this folder: find the project, install what is missing.
# Sourced, never run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$HOME/.cargo/bin:$PATH"

# What cargo builds: everything, optional parts included, and always the same, so that nothing is
# built twice.
everything=(--workspace --features corelane/parquet)

say() { printf '\n== %s\n' "$*"; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# apt_need COMMAND PACKAGE: installs a Debian package if its command is missing.
apt_need() {
  command -v "$1" >/dev/null && return
  say "installing $2"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2" >/dev/null
}

# A C compiler links Rust programs and builds zstd; rustc and cargo must be at least the version
# that Cargo.toml names.
need_toolchain() {
  apt_need cc gcc
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  if ! command -v cargo >/dev/null; then
    apt_need curl curl
    say "installing Rust (rustup, minimal profile)"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
      sh -s -- -y -q --profile minimal -c clippy,rustfmt
  fi
  found=$(rustc --version | cut -d' ' -f2)
  if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "Rust $found is too old: $wanted or newer is needed (rustup update)" >&2
    exit 69
  fi
}

# cargo_need COMMAND CRATE [ARG ...]: installs a cargo tool if it is missing.
cargo_need() {
  local command=$1 crate=$2
  shift 2
  command -v "$command" >/dev/null && return
  say "installing $crate"
  cargo install --quiet --locked "$crate" "$@"
}
