#!/usr/bin/env python3
"""What retrofitting does to the similarity items: before, and after moving vectors along WordNet or the keyword graph.

    python benchmarks/wordvec/retrofit.py SHARED_DATA SCRATCH VECTORS.bin [VECTORS.bin ...] [--write benchmarks/results]

Links, with `wordvec_bench retrofit` at its default settings (those of Faruqui et al.):
- WordNet: words of a synset, of nouns, verbs, adjectives and adverbs;
- keywords: one-word keywords that share at least 12 films and e^1.5 times as many as chance has it, as in quality_items.py.

The gold of the items is from these same graphs, so the two words of an item (and a word and its right answer) are
never linked directly; words linked to both still pull them together, so what is left of the gain is not all generalisation.
The other graph's items show what is lost elsewhere. Nothing was tuned.
"""

import argparse
import collections
import csv
import itertools
import json
import math
import os
import pathlib
import subprocess

import numpy as np
from make_corpus import lines
from quality import load, score
from quality_items import wordnet

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
BENCH = os.environ.get("WORDVEC_BENCH", ROOT / "target/release/examples/wordvec_bench")


def wordnet_pairs(data):
    for synsets in wordnet(data).values():
        for lemmas, _ in synsets.values():
            yield from itertools.combinations(sorted({lemma for lemma in lemmas if lemma.isalpha()}), 2)


def keyword_pairs(data):
    csv.field_size_limit(1 << 30)
    films = collections.defaultdict(set)
    for at, row in enumerate(csv.DictReader(lines(data / "catalogue/tmdb_tags.csv.zst"))):
        for keyword in row["keywords"].split("|"):
            if keyword.isalpha() and len(keyword) > 2:
                films[keyword].add(at)
    # As in quality_items.py.
    n_films = 27290
    keywords = sorted(word for word, those in films.items() if len(those) >= 40)
    for a, b in itertools.combinations(keywords, 2):
        together = len(films[a] & films[b])
        if together >= 12 and math.log(together * n_films / (len(films[a]) * len(films[b]))) > 1.5:
            yield a, b


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("vectors", type=pathlib.Path, nargs="+")
    parser.add_argument("--write", type=pathlib.Path)
    args = parser.parse_args()
    items = json.loads((HERE / "quality_items.json").read_text())
    asked = {frozenset(item["words"]) for item in items["similarity"]} | {frozenset((item["word"], item["right"])) for item in items["triplet"]}
    results = {"vectors": [path.name for path in args.vectors], "links": {}, "scores": {"before": [score(load(path), items) for path in args.vectors]}}
    for name, pairs in (("WordNet", wordnet_pairs(args.data)), ("keywords", keyword_pairs(args.data))):
        pairs = [pair for pair in pairs if frozenset(pair) not in asked]
        groups = args.scratch / f"links_{name}.txt"
        groups.write_text("".join(f"{a} {b}\n" for a, b in pairs))
        for path in args.vectors:
            out = args.scratch / "retrofitted.bin"
            told = subprocess.run([str(a) for a in (BENCH, "retrofit", path, groups, out)], capture_output=True, check=True, text=True).stdout
            results["links"].setdefault(name, []).append(json.loads(told))
            results["scores"].setdefault(name, []).append(score(load(out), items))
    rows = list(results["scores"]["before"][0])
    for row in rows:
        print(row, *(f"{name} {np.mean([seed[row] for seed in seeds]):.3f}" for name, seeds in results["scores"].items()))
    if args.write:
        (args.write / "wordvec_retrofit.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
