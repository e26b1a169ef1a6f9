"""`prepare` against pandas with gensim, and reading alone against polars, duckdb and pandas.

python benchmarks/scale/peers.py FILE.csv WHAT, WHAT one of pandas-gensim, pandas, polars, duckdb: prints one JSON object
with seconds, peak memory and rows. One process a run, so that memory is that of one tool. Needs pandas, gensim, polars,
duckdb (PyPI).
"""

import json
import re
import resource
import sys
import time


def pandas_gensim(path):
    """What the research project does with a catalogue: lower-case, tokens, no stop words, in title and tags."""
    import pandas
    from gensim.parsing.preprocessing import STOPWORDS
    from gensim.utils import simple_preprocess

    def clean(text):
        text = re.sub("[^a-zA-Z0-9]", " ", text.lower())
        return [token for token in simple_preprocess(text) if token not in STOPWORDS]

    started = time.time()
    table = pandas.read_csv(path, usecols=["id", "title", "tags"]).dropna()
    for column in ["title", "tags"]:
        table[column] = table[column].map(clean)
    table.to_pickle(path + ".pickle")
    return len(table), started


def pandas_alone(path):
    import pandas

    started = time.time()
    return len(pandas.read_csv(path)), started


def polars_alone(path):
    import polars

    started = time.time()
    return len(polars.read_csv(path)), started


def duckdb_alone(path):
    import duckdb

    started = time.time()
    duckdb.sql(f"CREATE TABLE films AS SELECT * FROM read_csv('{path}')")
    return duckdb.sql("SELECT count(*) FROM films").fetchall()[0][0], started


RUNS = {"pandas-gensim": pandas_gensim, "pandas": pandas_alone, "polars": polars_alone, "duckdb": duckdb_alone}

n_rows, started = RUNS[sys.argv[2]](sys.argv[1])
print(json.dumps({
    "what": sys.argv[2],
    "rows": n_rows,
    "seconds": round(time.time() - started, 2),
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
}))
