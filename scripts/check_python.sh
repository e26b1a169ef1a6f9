#!/usr/bin/env bash
# The Python package: builds the wheel with what the workspace has compiled already, installs it in an environment of its
# own, checks types and stubs, runs its tests (scikit-learn's check_estimator among them) and the notebooks.
#
# Needs Python 3.10 or newer, the Rust toolchain, and PyPI (or a mirror pip knows of).
# PYTHON names the interpreter; what is made lies in the target folder, under `python`.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }

python=${PYTHON:-python3}
target=${CARGO_TARGET_DIR:-$PWD/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
made=$target/python

if ! command -v "$python" >/dev/null || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  echo "Python 3.10 or newer is missing; install it, or name it: PYTHON=/path/to/python3 scripts/check_python.sh" >&2
  exit 2
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    step "installing python3-venv"
    apt-get update -qq
    apt-get install -y -qq python3-venv
  else
    echo "the module venv is missing; install it (Debian: apt-get install python3-venv)" >&2
    exit 2
  fi
fi

step "Python environment"
mkdir -p "$made"
wanted=$("$python" -VV; cat python/requirements.txt)
if [ ! -x "$made/venv/bin/python" ] || [ "$(cat "$made/venv/wanted" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$made/venv"
  "$python" -m venv "$made/venv"
  "$made/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r python/requirements.txt
  printf '%s\n' "$wanted" > "$made/venv/wanted"
fi
export PATH="$made/venv/bin:$PATH" VIRTUAL_ENV="$made/venv"
unset PYTHONPATH

# Cargo gives a crate the features that what is built asks for. Where the wheel alone asks for fewer than the workspace,
# shared crates are compiled twice: minutes, not an error.
tree() { cargo tree --locked --prefix none -f '{p} [{f}]' "$@" | sed 's/ (\*)$//' | sort -u; }
twice=$(comm -23 <(tree -p titlecard-python -e normal,build) <(tree --workspace -e normal,build,dev))
if [ -n "$twice" ]; then
  printf 'these are compiled a second time for the wheel; add their features to python/Cargo.toml:\n%s\n' "$twice" >&2
fi

step "wheel"
rm -rf "$made/wheels"
CARGO_TARGET_DIR=$target maturin build --quiet --locked --manifest-path python/Cargo.toml \
  --interpreter "$made/venv/bin/python" --out "$made/wheels"
ls -l "$made/wheels"
pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$made"/wheels/*.whl

# Away from the sources, so that the package under test is the installed one.
cd "$made"

step "types and stubs"
mypy --config-file "$OLDPWD/python/pyproject.toml"
python -m mypy.stubtest titlecard._native --ignore-disjoint-bases

step "tests"
python -m pytest -q -rs -p no:cacheprovider --durations 5 "$OLDPWD/python/tests"

step "notebooks"
python "$OLDPWD/scripts/run_notebooks.py"
step "done"
