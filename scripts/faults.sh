#!/usr/bin/env bash
# Kills, failing writes, flipped bytes and odd input, as often as asked: faults.sh [CASES]. Figures: docs/reliability.md
set -euo pipefail
cd "$(dirname "$0")/.."
export TITLECARD_FAULTS=${1:-200}
cargo test --locked -p titlecard-engine --test it -- --nocapture faults::
cargo test --locked -p titlecard-cli --test it -- --nocapture nothing_lost::
