#!/usr/bin/env python3
"""Scores vectors of gensim and ours on quality_items.json, over three seeds, and writes the table.

    python benchmarks/wordvec/quality_train.py SCRATCH && python benchmarks/wordvec/quality.py SCRATCH [--write benchmarks/results]
"""

import argparse
import json
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
AMONG = 30_000
METHODS = {
    "gensim": "gensim 4.4.0, one thread",
    "fast": "ours, fast mode, one thread",
    "reproducible": "ours, reproducible mode",
}


def load(path):
    from gensim.models import KeyedVectors

    return KeyedVectors.load_word2vec_format(str(path), binary=True)


def spearman(a, b):
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


def score(vectors, items):
    result, n_missing = {}, 0
    for kind in sorted({item["kind"] for item in items["similarity"]}):
        of_kind = [item for item in items["similarity"] if item["kind"] == kind]
        known = [item for item in of_kind if all(word in vectors for word in item["words"])]
        n_missing += len(of_kind) - len(known)
        result[f"similarity, {kind}"] = spearman([vectors.similarity(*item["words"]) for item in known], [item["gold"] for item in known])
    for kind in sorted({item["kind"] for item in items["triplet"]}):
        right = []
        for item in items["triplet"]:
            if item["kind"] == kind:
                cosines = [vectors.similarity(item["word"], word) for word in [item["right"]] + item["wrong"]]
                right.append(np.argmax(cosines) == 0)
        result[f"triplets, {kind}"] = float(np.mean(right))
    for kind in sorted({item["kind"] for item in items["analogy"]}):
        right = []
        for item in items["analogy"]:
            if item["kind"] == kind:
                a, b, c = item["words"]
                found = vectors.most_similar(positive=[b, c], negative=[a], topn=1, restrict_vocab=AMONG)
                right.append(found[0][0] == item["right"])
        result[f"analogies, {kind}"] = float(np.mean(right))
    assert n_missing == 0, n_missing
    result["mean of all"] = float(np.mean(list(result.values())))
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--write", type=pathlib.Path)
    args = parser.parse_args()
    items = json.loads((HERE / "quality_items.json").read_text())
    results = {}
    for method in METHODS:
        for seed in (1, 2, 3):
            path = args.scratch / f"quality_{method}_{seed}.bin"
            if path.exists():
                results.setdefault(method, {})[seed] = score(load(path), items)
    rows = list(next(iter(next(iter(results.values())).values())))
    lines = [
        "| score | " + " | ".join(f"{METHODS[m]} (n = {len(results[m])})" for m in results) + " |",
        "|---|" + "---|" * len(results),
    ]
    for row in rows:
        cells = []
        for method in results:
            values = [seed[row] for seed in results[method].values()]
            cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.3f}")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    table = "\n".join(lines)
    print(table)
    if args.write:
        counts = {name: len(part) for name, part in items.items()}
        (args.write / "wordvec_quality.json").write_text(json.dumps({"items": counts, "scores": results}, indent=1) + "\n")
        (args.write / "wordvec_quality.md").write_text(
            "# Quality of word vectors, ours and gensim's\n\n"
            "`python benchmarks/wordvec/quality_train.py SCRATCH && python benchmarks/wordvec/quality.py SCRATCH --write benchmarks/results`, 2026-11-24.\n"
            "Corpus: TMDB overviews and Wikipedia plots, 40.1 M words; skip-gram, 100-d, window 5, 5 negatives, min_count 5,\n"
            "subsampling 1e-3, 2 epochs; mean and standard deviation over seeds. Items "
            f"(`quality_items.py`): {counts['similarity']} similarity pairs (Spearman), {counts['triplet']} triplets (right one nearest of four), "
            f"{counts['analogy']} analogies (3CosAdd, first of {AMONG:,} words).\n\n{table}\n"
        )


if __name__ == "__main__":
    main()
