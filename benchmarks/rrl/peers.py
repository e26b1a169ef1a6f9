"""Logistic regression, CART, random forest and gradient boosting on the same folds, at their defaults.

    python benchmarks/rrl/peers.py --uci ../shared/data/uci --work /tmp/rrl-uci --out benchmarks/results/rrl_peers.jsonl

Inputs are encoded as the reference implementation does: one-hot without the first category, columns of numbers
standardised, with statistics of the training fold only. Needs scikit-learn, LightGBM, pandas.
"""
import argparse
import json
import time
import warnings

import lightgbm
import numpy as np
import pandas
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

import data


def load(name, work):
    if name == "facebook":
        labels, rows, columns = [], [], []
        for row, line in enumerate(open(f"{work}/facebook.txt")):
            label, ids = line.rstrip("\n").split("\t")
            labels.append(label)
            ids = list(map(int, ids.split()))
            rows += [row] * len(ids)
            columns += ids
        shape = (len(labels), 4714)
        matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape)
        return lambda train: matrix, np.array(labels)
    info = [line.split() for line in open(f"{work}/{name}.info").read().splitlines() if line.strip()]
    columns, position = info[:-1], int(info[-1][1])
    frame = pandas.read_csv(f"{work}/{name}.data", header=None, dtype=str, skipinitialspace=True)
    label = frame.columns[position]
    labels = frame.pop(label).str.strip().to_numpy()
    kinds = [kind for at, (_, kind) in enumerate(columns) if at != position % len(columns)]
    names = list(frame.columns)
    discrete = [column for column, kind in zip(names, kinds) if kind == "discrete"]
    continuous = [column for column, kind in zip(names, kinds) if kind == "continuous"]
    numbers = frame[continuous].apply(pandas.to_numeric, errors="coerce")

    def encode(train):
        parts = []
        if discrete:
            coder = OneHotEncoder(drop="first", handle_unknown="ignore", sparse_output=False, dtype=np.float32)
            parts.append(coder.fit(frame[discrete].iloc[train]).transform(frame[discrete]))
        if continuous:
            mean = numbers.iloc[train].mean()
            filled = numbers.fillna(mean)
            parts.append(((filled - mean) / filled.iloc[train].std().replace(0, 1)).to_numpy(np.float32))
        return np.hstack(parts)

    return encode, labels


MODELS = {
    "logistic": lambda: LogisticRegression(max_iter=1000),
    "cart": lambda: DecisionTreeClassifier(random_state=0),
    "forest": lambda: RandomForestClassifier(100, random_state=0, n_jobs=1),
    "boosting": lambda: lightgbm.LGBMClassifier(n_estimators=100, random_state=0, n_jobs=1, verbose=-1),
}


def main():
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uci", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--sets", nargs="*", default=data.SETS)
    options = parser.parse_args()
    data.unpack(options.uci, options.work)
    done = set()
    try:
        done = {(r["name"], r["model"]) for r in map(json.loads, open(options.out))}
    except FileNotFoundError:
        pass
    for name in options.sets:
        encode, labels = load(name, options.work)
        folds = pandas.read_csv(f"{options.work}/folds/{name}.csv").sort_values("original_row").test_fold.to_numpy()
        for model, make in MODELS.items():
            if (name, model) in done:
                continue
            scores, seconds = [], []
            for fold in range(5):
                train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
                matrix = encode(train)
                start = time.perf_counter()
                fitted = make().fit(matrix[train], labels[train])
                seconds.append(time.perf_counter() - start)
                scores.append(f1_score(labels[test], fitted.predict(matrix[test]), average="macro"))
            result = {"name": name, "model": model, "f1": scores, "seconds": seconds}
            with open(options.out, "a") as out:
                out.write(json.dumps(result) + "\n")
            print(name, model, f"{100 * np.mean(scores):.2f}", flush=True)


if __name__ == "__main__":
    main()
