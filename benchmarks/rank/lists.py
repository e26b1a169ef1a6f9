"""Lists written by `titlecard train ranker --dump FOLDER`, and ranks of the films sought by given scores."""

import pathlib
import re

import numpy as np

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "crates/titlecard-engine/src/rank/literals.rs"


def names():
    """Names of facts and numbers, in their order."""
    facts, numbers = SOURCE.read_text().split("Number, N_NUMBERS")
    find = lambda text: re.findall(r'^    \w+ "([^"]+)" \w+ "', text, re.M)
    return find(facts), find(numbers)


class Lists:
    def __init__(self, folder):
        self.facts, self.numbers = names()
        read = lambda name, kind: np.fromfile(pathlib.Path(folder) / name, kind)
        bits = read("facts.u64", "<u8")
        self.truth = ((bits[:, None] >> np.arange(len(self.facts), dtype=np.uint64)) & 1).astype(np.float32)
        self.values = read("numbers.f32", "<f4").reshape(-1, len(self.numbers))
        self.first = read("first.f32", "<f4")
        self.stands_for = read("stands_for.f32", "<f4")
        self.sizes = read("sizes.u32", "<u4").astype(int)
        self.sought = read("sought.i32", "<i4")
        self.first_rank = read("first_rank.f64", "<f8")
        self.start = np.concatenate([[0], np.cumsum(self.sizes)])

    def features(self):
        return np.hstack([self.values, self.truth])

    def found(self):
        """Numbers of the lists that hold the film sought."""
        return np.where(self.sought >= 0)[0]

    def ranks(self, scores):
        """Rank of the film sought in every list; equal scores in the order of the first stage."""
        ranks = []
        for at, (sought, size) in enumerate(zip(self.sought, self.sizes)):
            if sought < 0:
                ranks.append(max(self.first_rank[at], size + 1))
                continue
            own = scores[self.start[at] : self.start[at] + size]
            tied = own == own[sought]
            ranks.append(1 + (own > own[sought]).sum() + tied[:sought].sum())
        return np.array(ranks, float)
