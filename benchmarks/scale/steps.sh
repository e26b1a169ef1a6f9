#!/usr/bin/env bash
# Time, peak memory and room of every step over made-up films: steps.sh PROGRAM MAKE_CATALOGUE FOLDER ROWS... MAKE_CATALOGUE is the example
# of the engine, built with `cargo build --release -p titlecard-engine --example make_catalogue`; needs GNU time.
set -euo pipefail
program=$1 make=$2 folder=$3
shift 3
step() { # ROWS ARGUMENTS...
  local rows=$1
  shift
  printf '%s\t%s\t' "$rows" "$*"
  /usr/bin/time -o "$folder/time" -f '%e s\t%M KB' "$program" -q -C "$folder/$rows" "$@" >"$folder/said" 2>&1
  cat "$folder/time"
}
for rows in "$@"; do
  mkdir -p "$folder/$rows"
  "$make" "$rows" "$folder/films.csv"
  step "$rows" prepare "$folder/films.csv"
  rm "$folder/films.csv"
  step "$rows" train word2vec --epochs 1
  step "$rows" train regressor --epochs 1
  step "$rows" graph build
  step "$rows" index
  step "$rows" search "a lighthouse keeper finds a letter"
  du -m --max-depth=1 "$folder/$rows"
done
