"""What a search from Python costs beside the engine's own time: `python overhead.py FOLDER` (a working folder with an index).

Asks the questions of the sample; prints milliseconds.
"""

from __future__ import annotations

import statistics
import sys
import time

import titlecard


def main(folder: str) -> None:
    started = time.perf_counter()
    retriever = titlecard.open(folder)
    print(f"open: {1e3 * (time.perf_counter() - started):.1f} ms, {len(retriever)} films")
    questions = [row["query"] for row in titlecard.Workspace.sample_queries()]
    for question in questions[:20]:
        retriever.search(question)
    for k in (5, 100):
        whole, engine = [], []
        for question in questions:
            started = time.perf_counter()
            answer = retriever.search(question, k=k)
            whole.append(1e3 * (time.perf_counter() - started))
            engine.append(answer.latency_ms)
        beside = sorted(w - e for w, e in zip(whole, engine))
        print(
            f"k = {k}: p50 {statistics.median(whole):.3f} ms, of it engine {statistics.median(engine):.3f}; beside it "
            f"p50 {statistics.median(beside):.3f}, p95 {beside[len(beside) * 95 // 100]:.3f}"
        )
    started = time.perf_counter()
    retriever.rank(questions, k=1000)
    print(f"rank, k = 1000: {1e3 * (time.perf_counter() - started) / len(questions):.2f} ms a question")


if __name__ == "__main__":
    main(sys.argv[1])
