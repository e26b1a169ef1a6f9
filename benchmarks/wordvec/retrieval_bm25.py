#!/usr/bin/env python3
"""BM25 and MiniLM on the same films and queries as the encoder (`retrieval_prepare.py`).

    python benchmarks/wordvec/retrieval_bm25.py SCRATCH bm25     words as the encoder gets them
    python benchmarks/wordvec/retrieval_bm25.py SCRATCH subset   after minilm_encode.py: which films it has encoded
    python benchmarks/wordvec/retrieval_bm25.py SCRATCH minilm   ranks inside them
    python benchmarks/wordvec/retrieval_bm25.py SCRATCH rrf      both by reciprocal rank fusion (k 60, 1,000 films each)

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


class Bm25:
    """Scores of all films, every occurrence of a word in the query counting, as in a bag-of-words query."""

    def __init__(self, scratch):
        with open(scratch / "docs.txt") as file:
            docs = [line.split() for line in file]
        self.vocabulary = {}
        rows, columns, counts = [], [], []
        for at, words in enumerate(docs):
            seen = {}
            for word in words:
                number = self.vocabulary.setdefault(word, len(self.vocabulary))
                seen[number] = seen.get(number, 0) + 1
            rows += [at] * len(seen)
            columns += seen.keys()
            counts += seen.values()
        self.n = len(docs)
        self.lengths = np.array([len(words) for words in docs], dtype=np.float32)
        self.rows, self.columns, self.tf = np.array(rows), np.array(columns), np.array(counts, dtype=np.float32)

    def weigh(self, k1, b):
        import scipy.sparse

        df = np.bincount(self.columns, minlength=len(self.vocabulary))
        idf = np.log(1 + (self.n - df + 0.5) / (df + 0.5)).astype(np.float32)
        relative = self.lengths[self.rows] / self.lengths.mean()
        weight = idf[self.columns] * self.tf * (k1 + 1) / (self.tf + k1 * (1 - b + b * relative))
        self.matrix = scipy.sparse.csc_matrix((weight, (self.rows, self.columns)), shape=(self.n, len(self.vocabulary)))

    def scores(self, text):
        known = [self.vocabulary[word] for word in text.split() if word in self.vocabulary]
        scores = np.zeros(self.n, dtype=np.float32)
        for number, time in zip(*np.unique(known, return_counts=True)):
            span = slice(self.matrix.indptr[number], self.matrix.indptr[number + 1])
            scores[self.matrix.indices[span]] += time * self.matrix.data[span]
        return scores


def bm25(scratch):
    index = Bm25(scratch)
    n = index.n
    subset = load_subset(scratch)
    for k1, b in ((1.2, 0.75), (0.9, 0.4)):
        index.weigh(k1, b)
        for name in SETS:
            full, inside, has_title = [], [], []
            for answer, titled, text in questions(scratch, name):
                scores = index.scores(text)
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


def minilm_scores(scratch, name, numbers, rows):
    """Cosines of every query with the encoded films; only queries whose answer is in the catalogue, in the order of the file."""
    queries = np.load(scratch / f"minilm/{name}_kept.npy").astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    wanted = list(questions(scratch, name))
    assert len(queries) == len(wanted)
    for query, (answer, titled, text) in zip(queries, wanted):
        yield rows @ query, answer, titled, text


def minilm_rows(scratch):
    numbers, rows = encoded(scratch)
    rows = rows.astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return numbers, rows


def minilm(scratch):
    numbers, rows = minilm_rows(scratch)
    place = {int(number): at for at, number in enumerate(numbers)}
    for name in SETS:
        found = [(rank(scores, place[answer]), titled) for scores, answer, titled, _ in minilm_scores(scratch, name, numbers, rows)]
        ranks, has_title = map(np.array, zip(*found))
        report("all-MiniLM-L6-v2", name, len(numbers), ranks, has_title)


def rrf(scratch):
    index = Bm25(scratch)
    index.weigh(1.2, 0.75)
    numbers, rows = minilm_rows(scratch)
    place = {int(number): at for at, number in enumerate(numbers)}
    for name in SETS:
        ranks, has_title = [], []
        for dense, answer, titled, text in minilm_scores(scratch, name, numbers, rows):
            fused = np.zeros(len(numbers))
            for scores in (dense, index.scores(text)[numbers]):
                best = np.argsort(-scores, kind="stable")[:1000]
                fused[best] += 1 / (60 + np.arange(1, len(best) + 1))
            ranks.append(rank(fused, place[answer]))
            has_title.append(titled)
        report("BM25 and all-MiniLM-L6-v2, RRF", name, len(numbers), np.array(ranks), np.array(has_title))


if __name__ == "__main__":
    {"bm25": bm25, "subset": subset, "minilm": minilm, "rrf": rrf}[sys.argv[2]](pathlib.Path(sys.argv[1]))
