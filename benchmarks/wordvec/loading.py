#!/usr/bin/env python3
"""Time and memory to a first look-up in a GoogleNews-sized file: gensim's load against ours, one run.

    python benchmarks/wordvec/make_large.py SCRATCH/large.bin
    python benchmarks/wordvec/loading.py SCRATCH [--write benchmarks/results]

Every step is a process of its own; memory is its peak resident size. The file is read once beforehand, so all
steps find it in the page cache as far as memory allows.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORD = "garracor"  # word 1800

GENSIM = """
import json, resource, sys, time
from gensim.models import KeyedVectors
started, cpu = time.time(), time.process_time()
vectors = KeyedVectors.load_word2vec_format(sys.argv[1], binary=True, unicode_errors="replace")
row = vectors[sys.argv[2]]
print(json.dumps({"first_lookup_ms": round((time.time() - started) * 1e3), "cpu_ms": round((time.process_time() - cpu) * 1e3), "peak_resident_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1), "words": len(vectors), "sum": float(row.sum())}))
"""


def run(command):
    before = os.times()
    output = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return json.loads(output.splitlines()[-1]) | {"process_cpu_ms": round(cpu * 1e3)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--write", type=pathlib.Path)
    args = parser.parse_args()
    large = args.scratch / "large.bin"
    bench = os.environ.get("WORDVEC_BENCH", ROOT / "target/release/examples/wordvec_bench")
    with open(large, "rb") as file:
        while file.read(1 << 24):
            pass
    index = pathlib.Path(f"{large}.tcwi")
    index.unlink(missing_ok=True)
    results = {"machine": os.cpu_count(), "load_1min": os.getloadavg()[0], "file_bytes": large.stat().st_size}
    results["ours, file as it is, first time"] = run([bench, "open", large, WORD])
    results["gensim load_word2vec_format"] = run([sys.executable, "-c", GENSIM, large, WORD])
    results["ours, file as it is, first time, again"] = (index.unlink(), run([bench, "open", large, WORD]))[1]
    results["ours, file as it is, index cached"] = run([bench, "open", large, WORD])
    for precision in ("f32", "f16", "int8"):
        converted = args.scratch / f"large_{precision}.tcwv"
        results[f"convert to {precision}"] = run([bench, "convert", large, converted, precision])
        results[f"ours, converted to {precision}"] = run([bench, "open", converted, WORD])
        converted.unlink()
    ours, theirs = results["ours, file as it is, first time, again"], results["gensim load_word2vec_format"]
    results["ratios"] = {
        "first look-up, first time": round(theirs["first_lookup_ms"] / ours["first_lookup_ms"], 1),
        "resident memory": round(theirs["peak_resident_mib"] / ours["peak_resident_mib"], 1),
    }
    text = json.dumps(results, indent=1)
    print(text)
    if args.write:
        (args.write / "wordvec_loading.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
