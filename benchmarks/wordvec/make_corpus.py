#!/usr/bin/env python3
"""Writes the corpora of the comparisons, one text a line, lower-case words between spaces.

    python benchmarks/wordvec/make_corpus.py SHARED_DATA SCRATCH

- `corpus.txt`: TMDB overviews and Wikipedia plots, one sentence-like piece (at `.!?`) a line.
- `corpus_train.txt`: the same without films whose queries are in the dev or test split (first byte of
  sha256("titlecard-v1:" + id) at least 128), for everything the encoder learns from.
- `tags.txt`: the tags of the 282,884 films in catalogue order, one film a line.
"""

import csv
import hashlib
import io
import json
import pathlib
import re
import sys

import zstandard

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def words(text):
    return [word.replace("'", "").replace("’", "") for word in WORD.findall(text.lower())]


def is_train(tmdb_id, wikipedia_id=None):
    key = tmdb_id if tmdb_id else wikipedia_id
    return hashlib.sha256(f"titlecard-v1:{key}".encode()).digest()[0] < 128


def lines(path):
    with open(path, "rb") as file:
        yield from io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8", newline="")


def main():
    data, scratch = map(pathlib.Path, sys.argv[1:3])
    csv.field_size_limit(1 << 30)
    n_words = n_train = 0
    with open(scratch / "corpus.txt", "w") as out, open(scratch / "corpus_train.txt", "w") as train, open(scratch / "tags.txt", "w") as tags:

        def put(text, in_train):
            nonlocal n_words, n_train
            for piece in re.split(r"[.!?]+\s", text):
                found = words(piece)
                if len(found) < 2:
                    continue
                n_words += len(found)
                line = " ".join(found) + "\n"
                out.write(line)
                if in_train:
                    n_train += len(found)
                    train.write(line)

        for row in csv.DictReader(lines(data / "catalogue/tmdb_tags.csv.zst")):
            put(row["overview"], is_train(row["id"]))
            tags.write(" ".join(words(row["tags"])) + "\n")
        for line in lines(data / "catalogue/wiki_plots.jsonl.zst"):
            film = json.loads(line)
            put(film["plot"], is_train(film["tmdb_id"], film["wikipedia_page_id"]))
    print(json.dumps({"words": n_words, "train_words": n_train}))


if __name__ == "__main__":
    main()
