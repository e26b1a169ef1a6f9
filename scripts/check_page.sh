#!/usr/bin/env bash
# The page in real Chromium: search, why, compare, chips, keyboard, narrow, dark, errors, offline, axe. Screenshots stay in
# target/page (or $PAGE_OUT). Needs Node and Chromium; as root on Debian it installs them. Node packages (fixed versions) go
# into a folder outside of the repository. Give the program to check as the first argument, or it is built.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$chromium" ] || missing+=(chromium)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing what is missing: ${missing[*]}"
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null || {
      echo "cannot install ${missing[*]}; the page is NOT checked" >&2
      exit 3
    }
    chromium=$(command -v chromium)
  else
    echo "missing: ${missing[*]}; install them (Debian: apt-get install ${missing[*]}); the page is NOT checked" >&2
    exit 3
  fi
fi

modules=${TITLECARD_NODE:-${XDG_CACHE_HOME:-$HOME/.cache}/titlecard-page-1}
if [ ! -d "$modules/node_modules/playwright-core" ] || [ ! -d "$modules/node_modules/axe-core" ]; then
  mkdir -p "$modules"
  npm install --prefix "$modules" --no-audit --no-fund --silent playwright-core@1.65.1 axe-core@4.14.1 || {
    echo "npm cannot fetch playwright-core and axe-core; the page is NOT checked" >&2
    exit 3
  }
fi

program=${1:-}
if [ -z "$program" ]; then
  cargo build --locked -p titlecard-cli
  program=${CARGO_TARGET_DIR:-target}/debug/titlecard
fi
out=${PAGE_OUT:-${CARGO_TARGET_DIR:-target}/page}
mkdir -p "$out"
work=$(mktemp -d)
server=
cleanup() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
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
NODE_PATH="$modules/node_modules" CHROMIUM="$chromium" ADDRESS="$address" OUT="$out" ADMIN="$admin" SERVER="$server" \
  node scripts/check_page.cjs
server=
