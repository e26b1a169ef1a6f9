#!/usr/bin/env bash
# Compresses the sample catalogue and its queries for the binary; run it after editing either.
# With --check it only says whether the packed files are up to date. Needs the `zstd` command.
set -euo pipefail
cd "$(dirname "$0")/../data/sample"
command -v zstd >/dev/null || { echo "the command zstd is missing; install the package zstd" >&2; exit 2; }
for file in films.jsonl queries.jsonl; do
  if [ "${1:-}" = --check ]; then
    zstd -dcq "$file.zst" | cmp -s - "$file" || { echo "$file.zst is out of date; run scripts/pack_sample.sh" >&2; exit 1; }
  else
    zstd -q -19 -f "$file" -o "$file.zst"
  fi
done
