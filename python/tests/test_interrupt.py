"""Ctrl-C ends long work, soon, and as KeyboardInterrupt."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

#: Each prints `ready` from its progress callback, when the compiled half is at work.
PROGRAMS = {
    "rules": """
        import numpy as np, titlecard
        X = np.random.default_rng(0).random((3000, 30))
        model = titlecard.RRLClassifier(epochs=100_000, n_jobs=JOBS, progress=ready)
        work = lambda: model.fit(X, X[:, 0] > X[:, 1])
    """,
    "word vectors": """
        import titlecard
        texts = [[str(at * n % 977) for n in range(40)] for at in range(4000)]
        work = lambda: titlecard.WordVectors.train(texts, epochs=10_000, progress=ready)
    """,
    "graph": """
        import titlecard
        graph = titlecard.Workspace(FOLDER).graph()
        ready()
        work = lambda: graph.query("SELECT (COUNT(*) AS ?n) WHERE { ?a ?p ?b . ?c ?q ?d }")
    """,
}

FRAME = """
import signal, time
# A shell starts what runs in the background without Ctrl-C, and that is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
def ready(*_):
    global seen
    if not seen:
        seen = True
        print("ready", flush=True)
seen = False
{program}
try:
    work()
except KeyboardInterrupt:
    print("interrupted", flush=True)
else:
    print("went on to the end", flush=True)
# What is left is usable.
titlecard.WordVectors.from_arrays(["a"], [[1.0]]).nearest("a", k=1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of consoles are another matter")
@pytest.mark.parametrize(("name", "jobs"), [("rules", 1), ("rules", 2), ("word vectors", 1), ("graph", 1)])
def test_ctrl_c(name: str, jobs: int, folder: Path) -> None:
    program = textwrap.dedent(PROGRAMS[name]).replace("JOBS", str(jobs)).replace("FOLDER", repr(str(folder)))
    process = subprocess.Popen(
        [sys.executable, "-c", FRAME.format(program=program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
        time.sleep(0.3)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        # Work that goes on behind a failed test would slow all that follow.
        process.kill()
    assert output == "interrupted\n", errors
    assert process.returncode == 0, errors
    # Generous: machines of continuous integration are busy.
    assert time.monotonic() - sent < 15
