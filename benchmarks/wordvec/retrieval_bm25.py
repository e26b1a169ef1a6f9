#!/usr/bin/env python3
"""BM25 and MiniLM on the same films and queries as the encoder (`retrieval_prepare.py`).

    python benchmarks/wordvec/retrieval_bm25.py SCRATCH bm25     words as the encoder gets them
    python benchmarks/wordvec/retrieval_bm25.py SCRATCH subset   after minilm_encode.py: which films it has encoded
    python benchmarks/wordvec/retrieval_bm25.py SCRATCH minilm   ranks inside them

One JSON object a result. Ranks count the films of higher score and half of those of equal score.
"""

import json
import pathlib
import sys

import numpy as np

SETS = ("tot_dev", "descriptions_dev")


def questions(scratch, name):
    with open(scratch / f"query_{name}.tsv") as file:
        for line in file:
            answer, has_title, text = line.rstrip("\n").split("\t")
            yield int(answer), has_title == "1", text


def report(method, name, n_films, ranks, has_title):
    for without in (False, True):
        kept = ranks[~has_title] if without else ranks
        result = {"method": method, "set": name, "films": int(n_films), "without_own_title": without, "n": len(kept)}
        result |= {"mrr": round(float((1 / kept).mean()), 4)}
        result |= {f"{m}{k}": round(float((kept <= k).mean()), 4) for m, k in (("s", 10), ("r", 100), ("r", 1000))}
        print(json.dumps(result), flush=True)


def rank(scores, answer, subset=None):
    right = scores[answer]
    scores = scores if subset is None else scores[subset]
    return 0.5 + (scores > right).sum() + (scores == right).sum() / 2


def bm25(scratch):
    import scipy.sparse

    with open(scratch / "docs.txt") as file:
        docs = [line.split() for line in file]
    vocabulary = {}
    rows, columns, counts = [], [], []
    for at, words in enumerate(docs):
        seen = {}
        for word in words:
            number = vocabulary.setdefault(word, len(vocabulary))
            seen[number] = seen.get(number, 0) + 1
        rows += [at] * len(seen)
        columns += seen.keys()
        counts += seen.values()
    n = len(docs)
    lengths = np.array([len(words) for words in docs], dtype=np.float32)
    rows, columns, tf = np.array(rows), np.array(columns), np.array(counts, dtype=np.float32)
    df = np.bincount(columns, minlength=len(vocabulary))
    idf = np.log(1 + (n - df + 0.5) / (df + 0.5)).astype(np.float32)
    subset = load_subset(scratch)
    for k1, b in ((1.2, 0.75), (0.9, 0.4)):
        weight = idf[columns] * tf * (k1 + 1) / (tf + k1 * (1 - b + b * lengths[rows] / lengths.mean()))
        matrix = scipy.sparse.csc_matrix((weight, (rows, columns)), shape=(n, len(vocabulary)))
        for name in SETS:
            full, inside, has_title = [], [], []
            for answer, titled, text in questions(scratch, name):
                # Every occurrence counts, as in a bag-of-words query.
                known = [vocabulary[word] for word in text.split() if word in vocabulary]
                numbers, times = np.unique(known, return_counts=True)
                scores = np.zeros(n, dtype=np.float32)
                for number, time in zip(numbers, times):
                    span = slice(matrix.indptr[number], matrix.indptr[number + 1])
                    scores[matrix.indices[span]] += time * matrix.data[span]
                full.append(rank(scores, answer))
                if subset is not None:
                    inside.append(rank(scores, answer, subset))
                has_title.append(titled)
            method = f"BM25 (k1 {k1}, b {b})"
            report(method, name, n, np.array(full), np.array(has_title))
            if subset is not None:
                report(method, name, subset.sum(), np.array(inside), np.array(has_title))


def load_subset(scratch):
    path = scratch / "subset.txt"
    return np.loadtxt(path, dtype=np.int8).astype(bool) if path.exists() else None


def encoded(scratch):
    """Numbers and rows of the films MiniLM has encoded."""
    folder = scratch / "minilm"
    order = np.load(folder / "order.npy")
    numbers, rows = [], []
    for path in sorted(folder.glob("chunk_*.npy")):
        chunk = np.load(path)
        at = int(path.stem.split("_")[1])
        numbers.append(order[at : at + len(chunk)])
        rows.append(chunk)
    for path in folder.glob("answers_*.npz"):
        extra = np.load(path)
        numbers.append(extra["numbers"])
        rows.append(extra["rows"])
    return np.concatenate(numbers), np.concatenate(rows)


def subset(scratch):
    numbers, _ = encoded(scratch)
    n = len(np.load(scratch / "minilm/order.npy"))
    flags = np.zeros(n, dtype=np.int8)
    flags[numbers] = 1
    np.savetxt(scratch / "subset.txt", flags, fmt="%d")
    print(json.dumps({"films": int(flags.sum()), "of": n}))


def minilm(scratch):
    numbers, rows = encoded(scratch)
    place = {int(number): at for at, number in enumerate(numbers)}
    rows = rows.astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for name in SETS:
        # Only queries whose answer is in the catalogue, in the order of the file.
        wanted = list(questions(scratch, name))
        queries = np.load(scratch / f"minilm/{name}_kept.npy").astype(np.float32)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        assert len(queries) == len(wanted)
        ranks, has_title = [], []
        for query, (answer, titled, _) in zip(queries, wanted):
            ranks.append(rank(rows @ query, place[answer]))
            has_title.append(titled)
        report("all-MiniLM-L6-v2", name, len(numbers), np.array(ranks), np.array(has_title))


if __name__ == "__main__":
    {"bm25": bm25, "subset": subset, "minilm": minilm}[sys.argv[2]](pathlib.Path(sys.argv[1]))
