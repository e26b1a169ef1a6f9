#!/usr/bin/env bash
# Kills, failing writes, flipped bytes and odd input, as often as asked, and search beside brute force on 50 times as many
# catalogues: faults.sh [CASES]. Figures: docs/reliability.md
set -euo pipefail
cd "$(dirname "$0")/.."
export TITLECARD_FAULTS=${1:-200}
export TITLECARD_CATALOGUES=$((50 * TITLECARD_FAULTS))
cargo test --locked -p titlecard-engine --test it -- --nocapture faults:: brute_force::
cargo test --locked -p titlecard-cli --test it -- --nocapture nothing_lost::
