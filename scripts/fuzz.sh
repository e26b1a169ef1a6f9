#!/usr/bin/env bash
# Coverage-guided fuzzing, one target after the other: fuzz.sh [SECONDS [TARGET...]], a minute each if not said otherwise. What
# is found stays in fuzz/artifacts/; what libFuzzer learns, in fuzz/target/corpus/. What the tests try of the same targets: docs/reliability.md
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds=${1:-60}
shift || true
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "cargo-fuzz is missing; install it with \`cargo install cargo-fuzz --locked\`" >&2
  exit 2
fi
# The versions of the program itself.
cp ../Cargo.lock Cargo.lock
# The coverage passes are asked for by flags that a stable compiler only takes so; no sanitizer, which would need nightly.
export RUSTC_BOOTSTRAP=1
cargo fuzz build --sanitizer none >&2
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  mapfile -t targets < <(cargo fuzz list)
fi
# Working folders and files of the targets: in memory where there is such a place, and gone at the end.
TMPDIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" titlecard-fuzz-XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
failed=()
for target in "${targets[@]}"; do
  mkdir -p "target/corpus/$target"
  options=(-max_total_time="$seconds" -print_final_stats=1 -timeout=20 -rss_limit_mb=4096 -max_len=32768)
  if [ -f "$target.dict" ]; then options+=(-dict="$target.dict"); fi
  echo "== $target"
  if ! cargo fuzz run --sanitizer none "$target" "target/corpus/$target" "corpus/$target" -- "${options[@]}" \
    >"target/$target.log" 2>&1; then
    failed+=("$target")
    tail -n 40 "target/$target.log"
  fi
  grep -E '^(#[0-9]+\s+DONE|Done |stat::)' "target/$target.log" || true
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "found something: ${failed[*]}; see fuzz/artifacts/" >&2
  exit 1
fi
