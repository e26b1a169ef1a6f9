#!/usr/bin/env python3
"""Tests of check_sample.py: every kind of fault put into the shipped files must be reported."""

import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILMS = [json.loads(line) for line in (ROOT / "data/sample/films.jsonl").read_text(encoding="utf-8").splitlines()]
QUERIES = [json.loads(line) for line in (ROOT / "data/sample/queries.jsonl").read_text(encoding="utf-8").splitlines()]


def report(films, queries):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, rows in (("films.jsonl", films), ("queries.jsonl", queries)):
            path = pathlib.Path(folder) / name
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            paths.append(path)
        run = subprocess.run([sys.executable, ROOT / "scripts/check_sample.py", *paths], capture_output=True, text=True)
        return run.returncode, run.stdout


def copy(rows):
    return json.loads(json.dumps(rows))


def fault(expected, change):
    films, queries = copy(FILMS), copy(QUERIES)
    change(films, queries)
    code, problems = report(films, queries)
    assert code == 1 and expected in problems, f"expected `{expected}`, found exit {code}:\n{problems[:1000]}"


def open_alike(films, _):
    films[1]["overview"] = " ".join(films[0]["overview"].split()[:3] + films[1]["overview"].split()[3:])


def query_from_overview(films, queries):
    film = next(film for film in films if film["id"] == queries[0]["film_id"])
    queries[0]["text"] += " " + " ".join(film["overview"].split()[10:14])


def query_with_title(films, queries):
    film = next(film for film in films if film["id"] == queries[0]["film_id"])
    queries[0]["text"] += " " + max(film["title"].split(), key=len)


def third_query(_, queries):
    for number in range(2):
        queries.append({**queries[0], "query_id": f"s90{number}", "text": f"{queries[0]['text']} number {number}"})


assert report(FILMS, QUERIES)[0] == 0, "the shipped files have problems"
fault("same id", lambda films, _: films.append(films[0]))
fault("field `cast` is missing", lambda films, _: films[0].update(cast=[]))
fault("field `directors` is missing", lambda films, _: films[0].pop("directors"))
fault("overview has 10 words", lambda films, _: films[0].update(overview=" ".join(films[0]["overview"].split()[:10])))
fault("same opening", open_alike)
fault("overview contains the title", lambda films, _: films[0].update(overview=films[0]["overview"] + " " + films[0]["title"]))
fault("is not a TMDB genre", lambda films, _: films[0]["genres"].append("Noir"))
fault("is not in the catalogue", lambda films, queries: queries[0].update(film_id=-1))
fault("is used twice", lambda _, queries: queries.append(queries[0]))
fault("more than two queries", third_query)
fault("query uses the title word", query_with_title)
fault("shares the words", query_from_overview)
fault("the hash of the film says", lambda _, queries: queries[0].update(split="train" if queries[0]["split"] != "train" else "test"))
print("check_sample.py reports every kind of fault")
