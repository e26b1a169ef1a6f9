"""A table of rankers with bootstrap intervals and paired randomisation tests.

    python benchmarks/rank/compare.py RANKS.jsonl [BASELINE ...]

RANKS.jsonl is what `rank_bench` and `peers.py` wrote. For every line: MRR with a 95 % interval (10,000 bootstrap samples
of the questions), success and recall, and for each baseline the difference of the reciprocal ranks with the p value
of a paired randomisation test (20,000 sign flips). Seed 1.
"""

import json
import sys

import numpy as np


def main():
    rng = np.random.default_rng(1)
    lines = [json.loads(line) for line in open(sys.argv[1])]
    ranks = {}
    for line in lines:
        ranks.setdefault(line["name"], np.array(line["ranks"]))
    baselines = [name for name in sys.argv[2:] if name in ranks]
    n = len(next(iter(ranks.values())))
    print(f"{n} questions\n")
    head = ["ranker", "S@1", "S@10", "R@100", "R@1000", "MRR", "95 %"] + [f"against {name}" for name in baselines]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for name, own in ranks.items():
        reciprocal = 1 / own
        samples = rng.integers(0, n, (10_000, n), dtype=np.int32)
        means = np.array([reciprocal[sample].mean() for sample in samples])
        low, high = np.quantile(means, [0.025, 0.975])
        cells = [name] + [f"{(own <= k).mean():.3f}" for k in (1, 10, 100, 1000)]
        cells += [f"{reciprocal.mean():.4f}", f"{low:.3f}-{high:.3f}"]
        for baseline in baselines:
            if baseline == name:
                cells.append("")
                continue
            difference = reciprocal - 1 / ranks[baseline]
            observed = difference.mean()
            signs = rng.integers(0, 2, (20_000, n), dtype=np.int8) * 2 - 1
            p = (np.abs(signs @ difference / n) >= abs(observed) - 1e-12).mean()
            cells.append(f"{observed:+.4f} (p {p:.3f})")
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
