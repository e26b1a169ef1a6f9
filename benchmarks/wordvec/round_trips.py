#!/usr/bin/env python3
"""Round trips with gensim on the real files, both ways, and the same neighbours. Writes wordvec_round_trips.json.

    python benchmarks/wordvec/round_trips.py SHARED_DATA SCRATCH [--write benchmarks/results]

For every real file and every format: gensim writes, we read and write `.tcwv`, and from that every format again; gensim reads
what we wrote. Compared: words and their order, components, and the ten nearest of 200 words with their cosines.
"""

import argparse
import gzip
import json
import os
import pathlib
import subprocess

import numpy as np
import zstandard
from gensim.models import KeyedVectors

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = os.environ.get("WORDVEC_BENCH", ROOT / "target/release/examples/wordvec_bench")


def ours(*arguments):
    return subprocess.run([str(a) for a in (BENCH, *arguments)], capture_output=True, text=True, check=True).stdout


def neighbours(path, words):
    found = {}
    for line in ours("nearest", path, 10, *words).splitlines():
        entry = json.loads(line)
        found[entry["word"]] = entry["nearest"]
    return found


def compare(theirs, found):
    """Largest difference of cosines; words that differ count only where their cosines do."""
    largest, n_other = 0.0, 0
    for word, nearest in found.items():
        expected = theirs.most_similar(word, topn=len(nearest))
        for (name, cosine), (their_name, their_cosine) in zip(nearest, expected):
            largest = max(largest, abs(cosine - their_cosine))
            # Words of equal cosine may come in another order.
            n_other += name != their_name and abs(cosine - float(theirs.similarity(word, name))) > 1e-5
    return largest, int(n_other)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--write", type=pathlib.Path)
    args = parser.parse_args()
    work = args.scratch / "round_trips"
    work.mkdir(exist_ok=True)
    results = []
    for name, options in (
        ("glove.6B.50d.top9163.txt", {"binary": False, "no_header": True}),
        ("googlenews_300d_top1000.txt", {"binary": False}),
        ("emoji2vec.bin", {"binary": True}),
    ):
        original = args.data / "vectors" / name
        theirs = KeyedVectors.load_word2vec_format(str(original), **options)
        words = theirs.index_to_key[:: max(1, len(theirs) // 200)][:200]
        written = {"bin": work / "gensim.bin", "text": work / "gensim.txt", "glove": work / "gensim_glove.txt"}
        theirs.save_word2vec_format(str(written["bin"]), binary=True)
        theirs.save_word2vec_format(str(written["text"]), binary=False)
        theirs.save_word2vec_format(str(written["glove"]), binary=False, write_header=False)
        for kind in list(written):
            raw = written[kind].read_bytes()
            written[f"{kind}.gz"] = work / f"gensim_{kind}.gz"
            written[f"{kind}.gz"].write_bytes(gzip.compress(raw, 1))
            written[f"{kind}.zst"] = work / f"gensim_{kind}.zst"
            written[f"{kind}.zst"].write_bytes(zstandard.compress(raw, 1))
        written["original"] = original
        for kind, path in written.items():
            tcwv = work / "ours.tcwv"
            ours("convert", path, tcwv, "f32")
            largest, n_other = compare(theirs, neighbours(tcwv, words))
            back = 0.0
            for out, reading in (("bin", {"binary": True}), ("text", {"binary": False}), ("glove", {"binary": False, "no_header": True})):
                again = work / f"again.{out}"
                ours("export", tcwv, again, out)
                vectors = KeyedVectors.load_word2vec_format(str(again), **reading)
                assert vectors.index_to_key == theirs.index_to_key, (name, kind, out)
                back = max(back, float(np.abs(vectors.vectors - theirs.vectors).max()))
            results.append({"file": name, "as": kind, "words": len(theirs), "cosines_within": largest, "other_neighbours": n_other, "components_back_within": back})
            print(json.dumps(results[-1]), flush=True)
            assert largest < 1e-5 and n_other == 0 and back < 1e-6, results[-1]
    if args.write:
        (args.write / "wordvec_round_trips.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
