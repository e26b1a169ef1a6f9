#!/usr/bin/env bash
# The running server against its OpenAPI document, with schemathesis (PyPI, in a virtual environment of its own outside of
# the repository). Give the program to check as the first argument, or it is built.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
command -v python3 >/dev/null || { echo "python3 is missing; the API is NOT checked" >&2; exit 3; }
venv=${TITLECARD_SCHEMATHESIS:-${XDG_CACHE_HOME:-$HOME/.cache}/titlecard-schemathesis-4}
if [ ! -x "$venv/bin/schemathesis" ]; then
  { python3 -m venv "$venv" && "$venv/bin/pip" -q install 'schemathesis==4.32.5'; } || {
    echo "schemathesis cannot be installed from PyPI (Debian needs python3-venv); the API is NOT checked" >&2
    exit 3
  }
fi
program=${1:-}
if [ -z "$program" ]; then
  cargo build --locked -p titlecard-cli
  program=${CARGO_TARGET_DIR:-target}/debug/titlecard
fi
program=$(realpath "$program")
work=$(mktemp -d)
server=
cleanup() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT
scripts/sample_folder.sh "$program" "$work"
admin=$("$program" -q -C "$work" serve --new-key admin)
"$program" -C "$work" serve --address 127.0.0.1:0 2>"$work/log" &
server=$!
for _ in $(seq 200); do grep -q 'serving on' "$work/log" && break; sleep 0.1; done
address=$(sed -n 's|.*serving on \(http://[^/]*\)/.*|\1|p' "$work/log" | head -1)
[ -n "$address" ] || { cat "$work/log" >&2; exit 1; }
cd "$work"
"$venv/bin/schemathesis" --config-file "$root/scripts/schemathesis.toml" run "$address/openapi.json" \
  -H "Authorization: Bearer $admin" --max-examples "${EXAMPLES:-15}" --workers 2 --seed "${SEED:-7}" \
  --phases examples,coverage,fuzzing --no-color
if grep -E ' (ERROR|panicked)' "$work/log"; then
  echo "the log of the server has errors" >&2
  exit 1
fi
