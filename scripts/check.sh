#!/usr/bin/env bash
# All checks: sample data, format, lints, documentation, tests, the Python package with its notebooks, the page in Chromium, the
# API against its OpenAPI document. Network is needed for crates, PyPI and npm, the first time. Needs the Rust toolchain
# (1.90 or newer, with rustfmt and clippy), a C compiler (for zstd) and Python 3.10 or newer; the page needs Node and Chromium, and
# says so where it cannot have them (`TITLECARD_NO_BROWSER=1` leaves page and API out).
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

missing=()
for tool in cc python3 zstd; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    step "installing what is missing: ${missing[*]}"
    apt-get update -qq
    apt-get install -y -qq gcc libc6-dev python3 zstd
  else
    echo "missing: ${missing[*]}; install them (Debian: apt-get install gcc libc6-dev python3 zstd)" >&2
    exit 2
  fi
fi
if ! command -v cargo >/dev/null; then
  echo "the Rust toolchain is missing; install it from https://rustup.rs (1.90 or newer)" >&2
  exit 2
fi

step "sample catalogue"
python3 scripts/check_sample.py
python3 scripts/test_check_sample.py
scripts/pack_sample.sh --check

step "format"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

step "tests"
cargo test --workspace --locked

step "Python package"
scripts/check_python.sh

program=${CARGO_TARGET_DIR:-target}/debug/titlecard
if [ -z "${TITLECARD_NO_BROWSER:-}" ]; then
  step "page in Chromium"
  scripts/check_page.sh "$program"
  step "API against its OpenAPI document"
  scripts/check_api.sh "$program"
fi
