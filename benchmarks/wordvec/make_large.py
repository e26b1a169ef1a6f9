#!/usr/bin/env python3
"""Writes a word2vec binary file of the size and shape of GoogleNews-vectors-negative300.bin.

    python benchmarks/wordvec/make_large.py OUT.bin [n_words]

3,000,000 words of 300 dimensions, 3.6 GB. Words have GoogleNews' traits: phrases with underscores, capitals,
some words that are no UTF-8. Values are random; their content does not matter for opening and reading.
"""

import sys

import numpy as np

SYLLABLES = ["an", "ber", "cor", "den", "el", "for", "gar", "hin", "is", "jo", "kal", "lor", "mi", "nor", "os", "per", "qui", "ra", "ser", "tor", "un", "ve", "wi", "xe", "yo", "zu"]


def main():
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 3_000_000
    rng = np.random.default_rng(1)
    block = rng.standard_normal((10_000, 300), dtype=np.float32) * 0.1
    with open(sys.argv[1], "wb", buffering=1 << 22) as out:
        out.write(f"{n} 300\n".encode())
        for at in range(n):
            digits, word = at, ""
            while True:
                word += SYLLABLES[digits % 26]
                digits //= 26
                if digits == 0:
                    break
            if at % 3 == 1:
                word = word.capitalize() + "_" + SYLLABLES[at % 7]
            name = word.encode()
            if at % 100_000 == 7:
                name += b"\xe9\xff"
            row = block[at % len(block)]
            if at % len(block) == 0:
                block = np.roll(block, 1, axis=1)
                row = block[0]
            out.write(name + b" " + row.tobytes())


if __name__ == "__main__":
    main()
