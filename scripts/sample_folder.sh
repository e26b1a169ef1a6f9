#!/usr/bin/env bash
# Makes a working folder of the 414 films inside the program, ready to be served: sample_folder.sh PROGRAM FOLDER
set -euo pipefail
program=$1 folder=$2
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$folder"
cat >"$folder/titlecard.toml" <<'T'
[regressor]
epochs = 3
[search]
year = 2020
[server]
rate_per_second = 0
T
for step in prepare "train regressor" "graph build" index; do
  # shellcheck disable=SC2086
  "$program" -q -C "$folder" $step >/dev/null
done
cp "$here/data/sample/rules.json" "$folder/models/rules.json"
