#!/usr/bin/env bash
# Load on loopback with real questions: load.sh PROGRAM FOLDER BODIES [SECONDS]. BODIES has one JSON body of POST /v1/search a
# line (make_bodies.py). Needs wrk (Debian) and Python. FOLDER is not written into: a folder of links is served.
# Prints a line a run: requests a second, p50 and p99 at 1, 8 and 64 connections; at 8 with 10,000 idle connections and with
# 1,000 clients that send a byte a second; resident memory.
set -euo pipefail
program=$1 folder=$2 seconds=${4:-8} port=${PORT:-7979}
here=$(cd "$(dirname "$0")" && pwd)
QUERIES=$(realpath "$3")
export QUERIES
command -v wrk >/dev/null || { echo "wrk is missing (Debian: apt-get install wrk)" >&2; exit 2; }
# Folders of the working folder as links, its own folder `server` beside them.
work=$(mktemp -d)
for name in "$folder"/*; do
  case $name in */server | */tmp) ;; *) ln -s "$(realpath "$name")" "$work/" ;; esac
done
"$program" -C "$work" serve --address "127.0.0.1:$port" --set server.rate_per_second=0 --set server.queue=256 \
  --set server.header_timeout_ms=${HEADER_MS:-30000} -q 2>"$work/log" &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do curl -sf "localhost:$port/readyz" >/dev/null && break; sleep 0.1; done
memory() { awk '/VmRSS/ {printf "%.0f MB", $2 / 1024}' "/proc/$server/status"; }
load() {
  local name=$1 connections=$2
  printf '%s: ' "$name"
  wrk -t1 -c"$connections" -d"${seconds}s" --timeout 30s -s "$here/post.lua" "http://127.0.0.1:$port" | sed -n 's/^RESULT //p' | tr -d '\n'
  printf '  memory %s\n' "$(memory)"
}
echo "memory at the start: $(memory)"
wrk -t1 -c2 -d3s --timeout 30s -s "$here/post.lua" "http://127.0.0.1:$port" >/dev/null
for connections in ${CONNECTIONS:-1 8 64}; do load "$connections connections" "$connections"; done
if [ "${BAD:-1}" = 1 ]; then
  python3 "$here/clients.py" idle "$port" 10000 $((seconds + 12)) >"$work/idle" &
  idle=$!
  for _ in $(seq 200); do grep -q answered "$work/idle" && break; sleep 0.1; done
  load "8 connections, 10,000 idle ones" 8
  wait $idle && cat "$work/idle"
  python3 "$here/clients.py" slow "$port" 1000 $((seconds + 3)) >"$work/slow" &
  slow=$!
  sleep 1
  load "8 connections, 1,000 slow clients" 8
  wait $slow && cat "$work/slow"
fi
