#!/usr/bin/env python3
"""Trains the vectors whose quality `quality.py` compares: gensim and ours, same corpus and parameters, 3 seeds.

    python benchmarks/wordvec/quality_train.py SCRATCH full|sample [gensim|ours ...]

`full`: SCRATCH/corpus.txt (make_corpus.py), 40.1 M words. `sample`: 10 M words of it (every fourth line).
Skip-gram, 100-d, window 5, 5 negatives, min_count 5, subsampling 1e-3, 1 epoch, one thread. Existing outputs are kept.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"
ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = {"full": (1, 2, 3), "sample": (1, 2, 3)}


def train_gensim(corpus, out, seed):
    from gensim.models import Word2Vec

    model = Word2Vec(vector_size=100, window=5, negative=5, sg=1, min_count=5, sample=1e-3, workers=1, epochs=1, seed=seed)
    model.build_vocab(corpus_file=str(corpus))
    started, cpu = time.time(), time.process_time()
    model.train(corpus_file=str(corpus), total_words=model.corpus_total_words, total_examples=model.corpus_count, epochs=1)
    model.wv.save_word2vec_format(str(out), binary=True)
    return {"train_s": round(time.time() - started, 1), "cpu_s": round(time.process_time() - cpu, 1), "words": model.corpus_total_words}


def main():
    scratch, size = pathlib.Path(sys.argv[1]), sys.argv[2]
    corpus = scratch / "corpus.txt"
    if size == "sample":
        corpus = scratch / "corpus_sample.txt"
        if not corpus.exists():
            with open(scratch / "corpus.txt") as lines, open(corpus, "w") as out:
                out.writelines(line for at, line in enumerate(lines) if at % 4 == 0)
    for who in sys.argv[3:] or ["gensim", "ours"]:
        for seed in SEEDS[size]:
            if who == "gensim":
                out = scratch / f"quality_{size}_gensim_{seed}.bin"
                if not out.exists():
                    print(json.dumps({"who": who, "seed": seed} | train_gensim(corpus, out, seed)), flush=True)
                continue
            for mode, setting in (("fast", ["threads=1"]), ("reproducible", [])):
                out = scratch / f"quality_{size}_{mode}_{seed}.bin"
                if not out.exists():
                    command = [os.environ.get("WORDVEC_BENCH", ROOT / "target/release/examples/wordvec_bench"), "train", corpus, out, "dim=100", "epochs=1", f"seed={seed}", *setting]
                    environment = os.environ | {"RAYON_NUM_THREADS": "1"}
                    result = json.loads(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)
                    print(json.dumps({"who": mode, "seed": seed} | result), flush=True)


if __name__ == "__main__":
    main()
