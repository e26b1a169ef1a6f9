#!/usr/bin/env python3
"""Scores vectors of gensim and ours on quality_items.json, over three seeds, and writes the table.

    python benchmarks/wordvec/quality_train.py SCRATCH full; python benchmarks/wordvec/quality_train.py SCRATCH sample
    python benchmarks/wordvec/quality.py SCRATCH [--write benchmarks/results]
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
    # Scores written before are kept: delete the file after a change of items or scores.
    written = args.write / "wordvec_quality.json" if args.write else None
    results, tables = json.loads(written.read_text())["scores"] if written and written.exists() else {}, []
    for size, title in (("sample", "10 M words"), ("full", "40.1 M words")):
        of_size = results.setdefault(size, {})
        for method in METHODS:
            for seed in (1, 2, 3):
                path = args.scratch / f"quality_{size}_{method}_{seed}.bin"
                if path.exists() and str(seed) not in of_size.get(method, {}):
                    of_size.setdefault(method, {})[str(seed)] = score(load(path), items)
        if not of_size:
            continue
        heads = (f"{METHODS[method]} ({len(seeds)} seed{'s' if len(seeds) > 1 else ''})" for method, seeds in of_size.items())
        lines = [f"## {title}: mean ± standard deviation over seeds", "", "| score | " + " | ".join(heads) + " |", "|---|" + "---|" * len(of_size)]
        for row in next(iter(next(iter(of_size.values())).values())):
            cells = []
            for seeds in of_size.values():
                values = [seed[row] for seed in seeds.values()]
                cells.append(f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""))
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    table = "\n\n".join(tables)
    print(table)
    if args.write:
        counts = {name: len(part) for name, part in items.items()}
        (args.write / "wordvec_quality.json").write_text(json.dumps({"items": counts, "scores": results}, indent=1) + "\n")
        (args.write / "wordvec_quality.md").write_text(
            "# Quality of word vectors, ours and gensim's\n\n"
            "`python benchmarks/wordvec/quality_train.py SCRATCH full|sample`, then `python benchmarks/wordvec/quality.py SCRATCH --write\n"
            "benchmarks/results`, 2026-11-24. Corpus: TMDB overviews and Wikipedia plots; skip-gram, 100-d, window 5, 5 negatives, min_count 5,\n"
            "subsampling 1e-3, 1 epoch. Items "
            f"(`quality_items.py`): {counts['similarity']} similarity pairs (Spearman), {counts['triplet']} triplets (right one nearest of four), "
            f"{counts['analogy']} analogies (3CosAdd, first of {AMONG:,} words).\n\n{table}\n"
        )


if __name__ == "__main__":
    main()
