#!/usr/bin/env bash
# A Debian package: the program, its manual page, the systemd unit, the documents. Needs `cargo install cargo-deb`. Arguments go to
# `cargo deb`: `--no-build` packs the release program that is there.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo deb --version >/dev/null 2>&1; then
  echo "cargo-deb is missing; install it with \`cargo install cargo-deb --locked\`" >&2
  exit 2
fi
cargo deb -p titlecard-cli --locked "$@"
