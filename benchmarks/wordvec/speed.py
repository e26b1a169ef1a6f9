#!/usr/bin/env python3
"""Words per second of training and texts per second of pooling: gensim and ours, one run. Writes wordvec_speed.json.

    python benchmarks/wordvec/speed.py train SCRATCH [--words 5000000] [--write benchmarks/results]
    python benchmarks/wordvec/speed.py pool SCRATCH [--rounds 3] [--write benchmarks/results]

`train`: skip-gram 300-d, window 5, 5 negatives, min_count 5, subsampling 1e-3, 1 epoch over the first words of corpus.txt;
gensim's own corpus_file reader, one worker. Words per second are of wall time and of processor time of the training alone.
`pool`: mean and max-abs of the words of 282,884 films' tags, 300-d: the research project's loop over gensim's KeyedVectors
(`if word in vectors`, `vectors[word]`, numpy mean or max of absolutes) on 20,000 films spread over all, ours on all; one thread. Ratios are
of the best rounds, in wall time and in processor time.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"
ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = os.environ.get("WORDVEC_BENCH", ROOT / "target/release/examples/wordvec_bench")


def ours(*arguments, threads="1"):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run([str(a) for a in (BENCH, *arguments)], capture_output=True, text=True, check=True, env=os.environ | {"RAYON_NUM_THREADS": threads}).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(output) | {"process_cpu_s": round(cpu, 2)}


def train(args):
    sample = args.scratch / "speed.txt"
    n = 0
    with open(args.scratch / "corpus.txt") as corpus, open(sample, "w") as out:
        for line in corpus:
            out.write(line)
            n += line.count(" ") + 1
            if n >= args.words:
                break
    from gensim.models import Word2Vec

    out = args.scratch / "speed.bin"
    results = {"words": n, "load_1min": os.getloadavg()[0]}

    def run_gensim():
        model = Word2Vec(vector_size=300, window=5, negative=5, sg=1, min_count=5, sample=1e-3, workers=1, epochs=1, seed=1)
        model.build_vocab(corpus_file=str(sample))
        started, cpu = time.time(), time.process_time()
        model.train(corpus_file=str(sample), total_words=model.corpus_total_words, total_examples=model.corpus_count, epochs=1)
        wall, cpu = time.time() - started, time.process_time() - cpu
        return {"train_s": round(wall, 2), "cpu_s": round(cpu, 2), "words_per_s": round(n / wall), "words_per_cpu_s": round(n / cpu), "vocabulary": len(model.wv)}

    def run_ours(*settings, threads="1"):
        result = ours("train", sample, out, "dim=300", "epochs=1", *settings, threads=threads)
        # Reading the text and writing the vectors run on one thread and are not part of the training.
        cpu = result["process_cpu_s"] - result["read_s"]
        return result | {"words_per_cpu_s": round(n / cpu) if cpu > 0 else None}

    for round_number in range(args.rounds):
        for name, run in (
            ("gensim, one worker", run_gensim),
            ("ours, fast, one thread", lambda: run_ours("threads=1")),
            ("ours, fast, two threads", lambda: run_ours("threads=2", threads="2")),
            ("ours, reproducible, one thread", run_ours),
            ("ours, reproducible, two threads", lambda: run_ours(threads="2")),
        ):
            results.setdefault(name, []).append(run())
            print(name, results[name][-1], flush=True)
    best = {name: max(run["words_per_s"] for run in runs) for name, runs in results.items() if isinstance(runs, list)}
    cpu = {name: max(run["words_per_cpu_s"] for run in runs) for name, runs in results.items() if isinstance(runs, list)}
    one, two = best["ours, fast, one thread"], best["ours, fast, two threads"]
    results["ratios"] = {
        "fast, one thread / gensim, wall": round(one / best["gensim, one worker"], 2),
        "fast, one thread / gensim, processor time": round(cpu["ours, fast, one thread"] / cpu["gensim, one worker"], 2),
        "reproducible, one thread / gensim, wall": round(best["ours, reproducible, one thread"] / best["gensim, one worker"], 2),
        "fast, two threads / one": round(two / one, 2),
        "reproducible, two threads / one": round(best["ours, reproducible, two threads"] / best["ours, reproducible, one thread"], 2),
    }
    return results


def pool(args):
    import numpy as np
    from gensim.models import KeyedVectors

    vectors_path, texts = args.scratch / "speed.bin", args.scratch / "tags.txt"
    vectors = KeyedVectors.load_word2vec_format(str(vectors_path), binary=True)
    with open(texts) as file:
        lines = [line.split() for line in file]
    part = lines[:: len(lines) // 20_000][:20_000]
    results = {"films": len(lines), "loop_films": len(part), "load_1min": os.getloadavg()[0], "rounds": args.rounds}
    combines = {"mean": lambda rows: np.mean(rows, axis=0), "max_abs": lambda rows: np.max(np.abs(rows), axis=0)}
    for _ in range(args.rounds):
        for name, combine in combines.items():
            started, cpu = time.time(), time.process_time()
            for words in part:
                rows = []
                for word in words:
                    if word in vectors:
                        rows.append(vectors[word])
                if rows:
                    combine(rows)
            wall, cpu = time.time() - started, time.process_time() - cpu
            results.setdefault(f"gensim loop, {name}", []).append({"films_per_s": round(len(part) / wall), "films_per_cpu_s": round(len(part) / cpu)})
        run = ours("pool", vectors_path, texts)
        for name in combines:
            results.setdefault(f"ours, {name}", []).append({"films_per_s": round(run["texts"] / run[f"{name}_s"]), "films_per_cpu_s": round(run["texts"] / run[f"{name}_cpu_s"]), "look_up_cpu_s": run["look_up_cpu_s"]})
    for name in combines:
        for per in ("films_per_s", "films_per_cpu_s"):
            best = {who: max(round_[per] for round_ in results[f"{who}, {name}"]) for who in ("ours", "gensim loop")}
            results[f"ratio, {name}, {per}"] = round(best["ours"] / best["gensim loop"], 1)
    return results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("train", "pool"))
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--words", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--write", type=pathlib.Path)
    args = parser.parse_args()
    results = (train if args.what == "train" else pool)(args)
    print(json.dumps(results, indent=1))
    if args.write:
        name = {"train": "wordvec_speed.json", "pool": "wordvec_pooling.json"}[args.what]
        (args.write / name).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
