#!/usr/bin/env python3
"""Checks the sample catalogue and its queries; exits 1 with one line per problem.

    scripts/check_sample.py                          the shipped files, with the totals they must reach
    scripts/check_sample.py FILMS.jsonl QUERIES.jsonl  any two files, without the totals
    scripts/check_sample.py --facts tmdb.csv.zst     also compares id, title, year and overview with a TMDB-like table

Only the standard library is used (and the `zstdcat` command for `--facts` on a `.zst` file).
"""

import argparse
import collections
import csv
import hashlib
import io
import json
import pathlib
import re
import subprocess
import sys
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"

GENRES = {
    "Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Family", "Fantasy",
    "History", "Horror", "Music", "Mystery", "Romance", "Science Fiction", "TV Movie", "Thriller", "War",
    "Western",
}
FILM_FIELDS = {
    "id": int, "title": str, "year": int, "genres": list, "keywords": list, "directors": list, "cast": list,
    "countries": list, "languages": list, "overview": str,
}
OPTIONAL_FILM_FIELDS = {"original_title": str}
QUERY_FIELDS = {"query_id": str, "text": str, "film_id": int, "kind": str}
OPTIONAL_QUERY_FIELDS = {"split": str, "note": str}
# Too common to count as "a word of the title" inside a query.
FUNCTION_WORDS = set(
    "a an and are as at be but by for from had has have he her him his i in into is it its me my no not of off on "
    "or our out she so than that the their them then there they this to too up us was we were what when where which "
    "who will with you your do did does all der die das le la les el los un une il lo de del di du des et en".split()
)

# Country names that TMDB spells otherwise.
WRONG_COUNTRIES = {
    "USA", "US", "United States", "America", "UK", "Great Britain", "England", "Korea", "Czechia", "USSR",
    "West Germany", "Russian Federation",
}

MIN_FILMS, MIN_QUERIES, MIN_COUNTRIES = 405, 305, 25
MIN_IN_SPLIT = {"train": 70, "dev": 70, "test": 70}
DECADES = range(1900, 2030, 10)


def words(text):
    """Lower-cased words without diacritics."""
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c)).lower().replace("'", "").replace("\u2019", "")
    return re.findall(r"\w+", text)


def stem(word):
    """Just enough to see a plural or a tense of a title word."""
    for ending in ("ies", "ing", "es", "ed", "s", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def split_of(film_id):
    """train, dev or test: by the first byte of sha256("titlecard-v1:" + id)."""
    byte = hashlib.sha256(f"titlecard-v1:{film_id}".encode()).digest()[0]
    return "train" if byte < 128 else "dev" if byte < 192 else "test"


def no_repeated_keys(pairs):
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a field is given twice")
    return row


def read_jsonl(path, problems):
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line, object_pairs_hook=no_repeated_keys)
        except ValueError as error:
            problems.append(f"{path.name}:{number}: not JSON: {error}")
            continue
        if isinstance(row, dict):
            rows.append((f"{path.name}:{number}", row))
        else:
            problems.append(f"{path.name}:{number}: not a JSON object")
    return rows


def check_fields(where, row, required, optional, problems):
    good = True
    for name, kind in required.items():
        value = row.get(name)
        if not isinstance(value, kind) or isinstance(value, bool) or value in ("", [], 0):
            problems.append(f"{where}: field `{name}` is missing, empty or not a {kind.__name__}")
            good = False
        elif kind is list and not all(isinstance(item, str) and item.strip() for item in value):
            problems.append(f"{where}: field `{name}` has an empty or non-text item")
            good = False
        elif kind is list and len(set(value)) != len(value):
            problems.append(f"{where}: field `{name}` repeats an item")
    for name, value in row.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and (text != " ".join(text.split()) or re.search("\u00c3|\u00c5\u00a1|\ufffd", text)):
                problems.append(f"{where}: field `{name}` has stray spaces or wrongly decoded letters: {text!r}")
    for name in row.keys() - required.keys() - optional.keys():
        problems.append(f"{where}: unknown field `{name}`")
    for name, kind in optional.items():
        if name in row and (not isinstance(row[name], kind) or not row[name]):
            problems.append(f"{where}: field `{name}` is empty or not a {kind.__name__}")
    return good


def runs(tokens, length):
    return {tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1)}


def repeated_runs(named_texts, length, what, problems):
    """Each run of `length` words may stand in one text only."""
    owner = {}
    for name, text in named_texts:
        for run in runs(words(text), length):
            if owner.setdefault(run, name) != name:
                problems.append(f"{name}: {what} shares the words `{' '.join(run)}` with {owner[run]}")
                break


def check_films(rows, problems):
    seen = {"id": {}, "title and year": {}, "overview": {}, "opening": {}}
    films = {}
    for where, film in rows:
        if not check_fields(where, film, FILM_FIELDS, OPTIONAL_FILM_FIELDS, problems):
            continue
        films[film["id"]] = film
        name = f"{where} ({film['title']})"
        tokens = words(film["overview"])
        for what, key in {
            "id": film["id"],
            "title and year": (tuple(words(film["title"])), film["year"]),
            "overview": tuple(tokens),
            "opening": tuple(tokens[:3]),
        }.items():
            if key in seen[what]:
                problems.append(f"{name}: same {what} as {seen[what][key]}: {key if what == 'opening' else ''}")
            seen[what][key] = name
        count = len(film["overview"].split())
        if not 40 <= count <= 80:
            problems.append(f"{name}: overview has {count} words, wanted 40 to 80")
        spaced = f" {' '.join(tokens)} "
        for title in {film["title"], film.get("original_title", film["title"])}:
            if f" {' '.join(words(title))} " in spaced:
                problems.append(f"{name}: overview contains the title `{title}`")
        for genre in film["genres"]:
            if genre not in GENRES:
                problems.append(f"{name}: `{genre}` is not a TMDB genre")
        for country in film["countries"]:
            if country in WRONG_COUNTRIES:
                problems.append(f"{name}: `{country}` is not TMDB's name of the country")
        if not 4 <= len(film["keywords"]) <= 7 or any(word != word.lower() for word in film["keywords"]):
            problems.append(f"{name}: wanted 4 to 7 keywords in lower case")
        if len(film["cast"]) > 5:
            problems.append(f"{name}: {len(film['cast'])} names in the cast, wanted at most 5")
        if words(film.get("original_title", "")) == words(film["title"]):
            problems.append(f"{name}: `original_title` repeats the title")
        if not 1890 <= film["year"] <= 2030:
            problems.append(f"{name}: year {film['year']}")
    overviews = [(f"{film['title']} ({film['year']})", film["overview"]) for film in films.values()]
    repeated_runs(overviews, 7, "overview", problems)
    return films


def check_queries(rows, films, problems):
    seen_ids, seen_texts, per_film = set(), set(), collections.Counter()
    kinds = collections.Counter()
    for where, query in rows:
        if not check_fields(where, query, QUERY_FIELDS, OPTIONAL_QUERY_FIELDS, problems):
            continue
        film = films.get(query["film_id"])
        if film is None:
            problems.append(f"{where}: film {query['film_id']} is not in the catalogue")
            continue
        name = f"{where} ({film['title']})"
        tokens = words(query["text"])
        if not re.fullmatch(r"s\d{3}", query["query_id"]):
            problems.append(f"{name}: query id `{query['query_id']}` is not an s and three digits")
        if query["query_id"] in seen_ids:
            problems.append(f"{name}: query id `{query['query_id']}` is used twice")
        if tuple(tokens) in seen_texts:
            problems.append(f"{name}: same text as another query")
        seen_ids.add(query["query_id"])
        seen_texts.add(tuple(tokens))
        per_film[query["film_id"]] += 1
        if per_film[query["film_id"]] > 2:
            problems.append(f"{name}: more than two queries for one film")
        if query["kind"] not in ("clear", "vague"):
            problems.append(f"{name}: kind is `{query['kind']}`, wanted clear or vague")
        if (query["kind"] == "vague") != ("note" in query):
            problems.append(f"{name}: a vague query needs a note on what is wrong or missing, a clear one has none")
        kinds[query["kind"]] += 1
        if not 12 <= len(query["text"].split()) <= 60 or len(tokens) < 12:
            problems.append(f"{name}: {len(tokens)} words, wanted 12 to 60")
        if "split" in query and query["split"] != split_of(query["film_id"]):
            problems.append(f"{name}: split is `{query['split']}`, the hash of the film says {split_of(query['film_id'])}")
        stems = {stem(token) for token in tokens}
        for title in {film["title"], film.get("original_title", film["title"])}:
            for word in words(title):
                if word not in FUNCTION_WORDS and stem(word) in stems:
                    problems.append(f"{name}: query uses the title word `{word}`")
        shared = runs(tokens, 4) & runs(words(film["overview"]), 4)
        if shared:
            problems.append(f"{name}: shares the words `{' '.join(sorted(shared)[0])}` with the overview")
    texts = [(where, query["text"]) for where, query in rows if isinstance(query.get("text"), str)]
    repeated_runs(texts, 7, "query", problems)
    return kinds


def check_totals(films, n_queries, kinds, queries, problems):
    countries = {country for film in films.values() for country in film["countries"]}
    genres = {genre for film in films.values() for genre in film["genres"]}
    decades = {film["year"] // 10 * 10 for film in films.values()}
    splits = collections.Counter(split_of(query["film_id"]) for _, query in queries if query.get("film_id") in films)
    for what, found, wanted in (
        ("films", len(films), MIN_FILMS),
        ("queries", n_queries, MIN_QUERIES),
        ("countries", len(countries), MIN_COUNTRIES),
        ("genres", len(genres), len(GENRES)),
        ("decades", len(decades & set(DECADES)), len(DECADES)),
        ("vague queries", kinds["vague"], (n_queries + 1) // 2),
        *((f"{split} queries", splits[split], wanted) for split, wanted in MIN_IN_SPLIT.items()),
    ):
        if found < wanted:
            problems.append(f"totals: {found} {what}, wanted at least {wanted}")
    for where, query in queries:
        if "split" not in query:
            problems.append(f"{where}: field `split` is missing")


def check_facts(path, films, problems):
    if path.suffix == ".zst":
        text = subprocess.run(["zstdcat", str(path)], check=True, capture_output=True).stdout.decode("utf-8")
        stream = io.StringIO(text)
    else:
        stream = path.open(encoding="utf-8", newline="")
    known = {}
    csv.field_size_limit(1 << 30)
    for row in csv.DictReader(stream):
        if row["id"].isdigit() and int(row["id"]) in films:
            known[int(row["id"])] = row
    for film_id, film in films.items():
        row = known.get(film_id)
        if row is None:
            print(f"note: {film_id} {film['title']} ({film['year']}) is not in the table", file=sys.stderr)
            continue
        titles = {tuple(words(film["title"])), tuple(words(film.get("original_title", "")))}
        if tuple(words(row["title"])) not in titles:
            problems.append(f"facts: {film_id} is `{row['title']}` there, `{film['title']}` here")
        if row["year"] and abs(int(float(row["year"])) - film["year"]) > 1:
            problems.append(f"facts: {film_id} {film['title']} is of {row['year']} there, {film['year']} here")
        shared = runs(words(film["overview"]), 6) & runs(words(row.get("overview") or ""), 6)
        if shared:
            problems.append(f"facts: {film_id} {film['title']}: the overview there has `{' '.join(sorted(shared)[0])}` too")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--facts", type=pathlib.Path, metavar="CSV")
    options = parser.parse_args()
    if len(options.files) not in (0, 2):
        parser.error("give a films file and a queries file, or neither")
    films_path, queries_path = options.files or (SAMPLE / "films.jsonl", SAMPLE / "queries.jsonl")

    problems = []
    films = check_films(read_jsonl(films_path, problems), problems)
    queries = read_jsonl(queries_path, problems)
    kinds = check_queries(queries, films, problems)
    if not options.files:
        check_totals(films, len(queries), kinds, queries, problems)
    if options.facts:
        check_facts(options.facts, films, problems)

    for problem in problems:
        print(problem)
    countries = {country for film in films.values() for country in film["countries"]}
    print(
        f"{len(films)} films, {len(countries)} countries, {len(queries)} queries "
        f"({kinds['clear']} clear, {kinds['vague']} vague): {len(problems)} problems",
        file=sys.stderr,
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
