"""Other learners on the same facts and numbers: LambdaMART, a GAM of stumps, and a small net.

    python benchmarks/rank/peers.py TRAIN DEV OUT.jsonl

TRAIN and DEV are folders written by `titlecard train ranker --dump`; lines are added to OUT as `rank_bench` does.
Needs numpy, lightgbm and torch. Nothing is tuned on DEV: settings are the libraries' usual ones, 300 trees.
"""

import json
import sys

import lightgbm as lgb
import numpy as np
import torch

from lists import Lists


def main():
    train, dev = Lists(sys.argv[1]), Lists(sys.argv[2])
    x, x_dev = train.features(), dev.features()
    rows, labels, groups = [], [], []
    for at in train.found():
        first, size = train.start[at], train.sizes[at]
        rows.append(np.arange(first, first + size))
        labels.append((np.arange(size) == train.sought[at]).astype(float))
        groups.append(size)
    rows, labels = np.concatenate(rows), np.concatenate(labels)
    with open(sys.argv[3], "a") as out:

        def show(name, scores, info):
            ranks = dev.ranks(scores)
            mrr = float((1 / ranks).mean())
            print(f"{name:28} MRR {mrr:.4f} S@10 {(ranks <= 10).mean():.3f} R@100 {(ranks <= 100).mean():.3f}", flush=True)
            print(json.dumps({"name": name, "mrr": round(mrr, 4), "info": info, "ranks": ranks.tolist()}), file=out)

        for name, leaves in (("LambdaMART", 15), ("GAM (stumps)", 2)):
            model = lgb.LGBMRanker(
                n_estimators=300, num_leaves=leaves, learning_rate=0.05, min_child_samples=100, subsample=0.8,
                subsample_freq=1, colsample_bytree=0.5, n_jobs=1, verbose=-1, lambdarank_truncation_level=50, seed=7,
            )
            # A candidate drawn counts for those left out.
            model.fit(x[rows], labels, group=groups, sample_weight=train.stands_for[rows])
            show(name, model.predict(x_dev), {"trees": 300, "leaves": leaves})
        show("MLP 32", perceptron(train, x, x_dev), {"hidden": 32})


def perceptron(train, x, x_dev):
    torch.manual_seed(7)
    torch.set_num_threads(1)
    filled = np.nan_to_num(x, nan=-1.0)
    mean, spread = filled.mean(0), filled.std(0) + 1e-6
    scale = lambda values: torch.tensor((np.nan_to_num(values, nan=-1.0) - mean) / spread, dtype=torch.float32)
    inputs = scale(x)
    offsets = torch.tensor(np.log(train.stands_for))
    net = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    adam = torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-4)
    order = np.random.default_rng(7)
    for _ in range(8):
        for batch in np.array_split(order.permutation(train.found()), 60):
            loss = 0
            for at in batch:
                rows = slice(train.start[at], train.start[at] + train.sizes[at])
                scores = net(inputs[rows])[:, 0] + offsets[rows]
                loss = loss + torch.logsumexp(scores, 0) - scores[train.sought[at]]
            adam.zero_grad()
            (loss / len(batch)).backward()
            adam.step()
    with torch.no_grad():
        return np.concatenate([net(scale(part))[:, 0].numpy() for part in np.array_split(x_dev, 20)])


if __name__ == "__main__":
    main()
