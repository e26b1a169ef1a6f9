#!/usr/bin/env bash
# One file without dependencies, for any Linux on x86-64. Needs the target `x86_64-unknown-linux-musl` and Debian's `musl-tools`.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-musl
if ! command -v musl-gcc >/dev/null; then
  echo "musl-gcc is missing; install it (Debian: apt-get install musl-tools)" >&2
  exit 2
fi
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
  echo "the target $target is missing; install it with \`rustup target add $target\`" >&2
  exit 2
fi
CC_x86_64_unknown_linux_musl=musl-gcc cargo build --release --locked -p titlecard-cli --target "$target"
echo "${CARGO_TARGET_DIR:-target}/$target/release/titlecard"
