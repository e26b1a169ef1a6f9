#!/usr/bin/env python3
"""Builds the items of the quality comparison from WordNet 3.0 and the catalogue. Writes quality_items.json.

    python benchmarks/wordvec/quality_items.py SHARED_DATA SCRATCH

All words occur at least 30 times in SCRATCH/corpus.txt.

- `similarity`: pairs of nouns, verbs and adjectives with the path similarity of their closest senses in WordNet
  as gold: synonyms, co-hyponyms, hypernyms and random pairs in equal parts (general), and the same of catalogue keywords
  (film). Score: Spearman's correlation of cosines with the gold.
- `triplet`: a word, a synonym or member of its lexical family, and three random words of like frequency; or a film keyword,
  one that shares at least 12 films with it beyond chance, and three random ones. Score: share in which the right
  one is nearest.
- `analogy`: noun : plural, verb : -ing form, adjective : adverb in -ly. Score: 3CosAdd, the right word first among
  the 30,000 most frequent.
"""

import collections
import csv
import io
import json
import math
import pathlib
import random
import sys
import tarfile

import zstandard

from make_corpus import lines

HERE = pathlib.Path(__file__).parent
LEAST = 30


def wordnet(data):
    """Synsets by part of speech: {offset: (lemmas, {relation: [offset]})}, and derivations between words."""
    raw = zstandard.ZstdDecompressor().stream_reader(open(data / "knowledge/wordnet-3.0-debian.tar.zst", "rb"))
    result = {}
    with tarfile.open(fileobj=io.BytesIO(raw.read())) as tar:
        for member in tar.getmembers():
            name = pathlib.Path(member.name).name
            if name in ("data.noun", "data.verb", "data.adj", "data.adv"):
                synsets = {}
                for line in io.TextIOWrapper(tar.extractfile(member), encoding="latin-1"):
                    if line.startswith("  "):
                        continue
                    fields = line.split("|")[0].split()
                    n_words = int(fields[3], 16)
                    lemmas = [fields[4 + 2 * at].lower() for at in range(n_words)]
                    at = 4 + 2 * n_words
                    relations = []
                    for pointer in range(int(fields[at])):
                        kind, offset, pos, which = fields[at + 1 + 4 * pointer : at + 5 + 4 * pointer]
                        relations.append((kind, offset, pos, which))
                    synsets[fields[0]] = (lemmas, relations)
                result[name[5:]] = synsets
    return result


def hypernym_paths(synsets):
    cache = {}

    def up(offset):
        if offset not in cache:
            cache[offset] = {offset: 0}
            for kind, other, pos, _ in synsets[offset][1]:
                if kind in ("@", "@i") and other in synsets:
                    for place, steps in up(other).items():
                        cache[offset][place] = min(cache[offset].get(place, 99), steps + 1)
        return cache[offset]

    return up


def main():
    data, scratch = map(pathlib.Path, sys.argv[1:3])
    csv.field_size_limit(1 << 30)
    rng = random.Random(11)
    counts = collections.Counter()
    with open(scratch / "corpus.txt") as file:
        for line in file:
            counts.update(line.split())
    common = {word for word, n in counts.items() if n >= LEAST and word.isalpha() and len(word) > 2}
    by_rank = [word for word, _ in counts.most_common() if word in common]
    rank = {word: at for at, word in enumerate(by_rank)}
    net = wordnet(data)
    similarity, triplets, analogies = [], [], []

    for pos in ("noun", "verb"):
        synsets = net[pos]
        up = hypernym_paths(synsets)
        senses = collections.defaultdict(list)
        for offset, (lemmas, _) in synsets.items():
            for lemma in lemmas:
                if lemma in common:
                    senses[lemma].append(offset)
        # Words with few senses, or the gold says little.
        clear = [word for word in senses if len(senses[word]) <= 3 and rank[word] < 15000]
        clear.sort()

        def path(a, b):
            best = 0.0
            for x in senses[a]:
                for y in senses[b]:
                    ups = up(y)
                    shared = [steps + ups[place] for place, steps in up(x).items() if place in ups]
                    if shared:
                        best = max(best, 1 / (1 + min(shared)))
            return best

        wanted = {"synonym": 60, "near": 60, "random": 60}
        children = collections.defaultdict(list)
        for offset, (_, relations) in synsets.items():
            for kind, other, _, _ in relations:
                if kind == "@":
                    children[other].append(offset)
        clear_set = set(clear)
        for kind, n in wanted.items():
            found = set()
            for _ in range(200000):
                if len(found) == n:
                    break
                word = rng.choice(clear)
                if kind == "random":
                    other = rng.choice(clear)
                elif kind == "synonym":
                    other = rng.choice(synsets[rng.choice(senses[word])][0])
                else:
                    parents = [o for k, o, _, _ in synsets[rng.choice(senses[word])][1] if k == "@" and o in synsets]
                    if not parents:
                        continue
                    family = [lemma for child in children[parents[0]] for lemma in synsets[child][0]] + synsets[parents[0]][0]
                    other = rng.choice(family)
                if other in clear_set and other != word and word[:4] != other[:4] and (other, word) not in found:
                    found.add((word, other))
            for word, other in sorted(found):
                similarity.append({"kind": f"general {pos}", "words": [word, other], "gold": round(path(word, other), 4)})
                if kind == "synonym":
                    near = [w for w in by_rank[max(0, rank[other] - 200) : rank[other] + 200] if path(word, w) < 0.15 and w in clear_set]
                    if len(near) >= 3:
                        triplets.append({"kind": f"general {pos}", "word": word, "right": other, "wrong": rng.sample(near, 3)})

    # Forms: by rule, where WordNet knows the word as that part of speech alone and the form is frequent.
    nouns = {lemma for lemmas, _ in net["noun"].values() for lemma in lemmas}
    verbs = {lemma for lemmas, _ in net["verb"].values() for lemma in lemmas}
    adjectives = {lemma for lemmas, _ in net["adj"].values() for lemma in lemmas}
    adverbs = {lemma for lemmas, _ in net["adv"].values() for lemma in lemmas}
    forms = {
        "plural": [(w, w + "s") for w in by_rank[:8000] if w in nouns and w not in verbs and w + "s" in common and w + "s" not in nouns],
        "gerund": [(w, w + "ing") for w in by_rank[:8000] if w in verbs and w not in nouns and w + "ing" in common],
        "adverb": [(w, w + "ly") for w in by_rank[:12000] if w in adjectives and w + "ly" in adverbs and w + "ly" in common],
    }
    for kind, pairs in forms.items():
        for _ in range(60):
            (a, b), (c, d) = rng.sample(pairs, 2)
            analogies.append({"kind": kind, "words": [a, b, c], "right": d})

    # Film items: keywords that are one word, related if they share more films than chance has it.
    films = collections.defaultdict(set)
    for at, row in enumerate(csv.DictReader(lines(data / "catalogue/tmdb_tags.csv.zst"))):
        for keyword in row["keywords"].split("|"):
            if keyword in common:
                films[keyword].add(at)
    n_films = 27290
    keywords = sorted(word for word, those in films.items() if len(those) >= 40)
    related = []
    for a in keywords:
        for b in keywords:
            together = len(films[a] & films[b])
            if a < b and a[:4] != b[:4] and together >= 12:
                lift = math.log(together * n_films / (len(films[a]) * len(films[b])))
                if lift > 1.5:
                    related.append((a, b, lift))
    unrelated = [(a, b) for a, b in (rng.sample(keywords, 2) for _ in range(4000)) if not films[a] & films[b]]
    for a, b, lift in rng.sample(related, min(90, len(related))):
        similarity.append({"kind": "film keywords", "words": [a, b], "gold": round(lift, 4)})
    for a, b in rng.sample(unrelated, 90):
        similarity.append({"kind": "film keywords", "words": [a, b], "gold": 0.0})
    for a, b, _ in rng.sample(related, min(150, len(related))):
        wrong = [w for w in keywords if not films[a] & films[w] and w != a]
        if len(wrong) >= 3:
            triplets.append({"kind": "film keywords", "word": a, "right": b, "wrong": rng.sample(wrong, 3)})
    items = {"similarity": similarity, "triplet": triplets, "analogy": analogies}
    parts = [f'"{name}": [\n' + ",\n".join(json.dumps(item) for item in part) + "\n]" for name, part in items.items()]
    (HERE / "quality_items.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")
    print({name: len(part) for name, part in items.items()}, len(related), {k: len(v) for k, v in forms.items()})


if __name__ == "__main__":
    main()
