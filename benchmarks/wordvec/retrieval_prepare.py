#!/usr/bin/env python3
"""Writes what the retrieval comparison reads: texts as words between spaces, one a line.

    python benchmarks/wordvec/retrieval_prepare.py SHARED_DATA SCRATCH

- `docs.txt`: `title. tags` of the 282,884 films; `docs_train.txt`: 1 for films of the train split, else 0.
- `query_{tot,descriptions}_{train,dev}.tsv`: number of the answer, 1 if the text holds the title, words.
- `pairs_*.tsv`, from films of the train split only: document (a number, or words) TAB query.
    plot: pieces of a Wikipedia plot against the film's record
    rest: a sentence or two of an overview against the rest of the record
    totplot: train questions against pieces of the Wikipedia plot of the answer
"""

import csv
import json
import pathlib
import random
import re
import sys

from make_corpus import is_train, lines, words

PIECE_WORDS = (40, 120)


def sentences(text):
    return [s for s in re.split(r"(?<=[.!?])\s+", text) if s]


def pieces(text, rng, n):
    """Up to n runs of sentences of 40 to 120 words."""
    parts = [words(s) for s in sentences(text)]
    parts = [p for p in parts if p]
    for _ in range(n):
        start, length = rng.randrange(max(1, len(parts))), rng.randint(*PIECE_WORDS)
        piece = []
        for part in parts[start:]:
            piece += part
            if len(piece) >= length:
                break
        if len(piece) >= 15:
            yield piece[: PIECE_WORDS[1]]


def main():
    data, scratch = map(pathlib.Path, sys.argv[1:3])
    csv.field_size_limit(1 << 30)
    rng = random.Random(1)
    number, titles, train = {}, [], []
    with open(scratch / "docs.txt", "w") as docs, open(scratch / "docs_train.txt", "w") as flags, open(scratch / "pairs_rest.tsv", "w") as rest:
        for row in csv.DictReader(lines(data / "catalogue/tmdb_tags.csv.zst")):
            at = len(titles)
            number[row["id"]] = at
            titles.append(row["title"])
            docs.write(" ".join(words(f"{row['title']}. {row['tags']}")) + "\n")
            in_train = is_train(row["id"])
            train.append(in_train)
            flags.write(f"{int(in_train)}\n")
            parts = sentences(row["overview"])
            if in_train and len(parts) >= 3:
                first = rng.randrange(len(parts))
                last = min(len(parts) - 1, first + rng.randint(1, 2))
                query = words(" ".join(parts[first:last]))
                tail = row["tags"][len(row["overview"]) :]
                others = words(" ".join([row["title"] + "."] + parts[:first] + parts[last:]) + " " + tail)
                if len(query) >= 8 and len(others) >= 12:
                    rest.write(" ".join(others) + "\t" + " ".join(query) + "\n")
    plots = {}
    with open(scratch / "pairs_plot.tsv", "w") as out:
        for line in lines(data / "catalogue/wiki_plots.jsonl.zst"):
            film = json.loads(line)
            at = number.get(str(film["tmdb_id"]))
            if at is None or not train[at]:
                continue
            plots[at] = film["plot"]
            for piece in pieces(film["plot"], rng, 3):
                out.write(f"{at}\t{' '.join(piece)}\n")
    kept = {}
    with open(scratch / "pairs_totplot.tsv", "w") as totplot:
        for name in ("tot_train", "tot_dev", "descriptions_train", "descriptions_dev"):
            with open(scratch / f"query_{name}.tsv", "w") as out:
                for line in lines(data / f"queries/{name}.jsonl.zst"):
                    query = json.loads(line)
                    at = number.get(str(query["ids"].get("tmdb")))
                    if at is None:
                        continue
                    kept[name] = kept.get(name, 0) + 1
                    # The split of the queries is that of the films: nothing of dev is ever trained on.
                    assert train[at] == name.endswith("_train"), query["query_id"]
                    text = " ".join(words(query["text"]))
                    out.write(f"{at}\t{int(query['title_in_text'])}\t{text}\n")
                    if name == "tot_train" and at in plots:
                        for piece in pieces(plots[at], rng, 2):
                            totplot.write(f"{' '.join(piece)}\t{text}\n")
    print(json.dumps({"films": len(titles), "train films": sum(train)} | kept))


if __name__ == "__main__":
    main()
