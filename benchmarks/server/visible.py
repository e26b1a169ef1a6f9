"""How soon changes are seen: `visible.py PROGRAM FOLDER N ROUNDS [BODIES]`.

Serves a copy of FOLDER and changes N films at once, ROUNDS times: a third of films that are there, the others new. Prints for each
round the milliseconds until the changes are acknowledged and until searches see them, then the same from a start with all of them in
the journal. With BODIES (make_bodies.py) two threads search meanwhile. Nothing is built into the files.
"""
import json
import shutil
import sys
import tempfile
import threading
import time

from serving import ask, connect, copied, memory_mb, start, write_key

program, folder = sys.argv[1:3]
n, rounds = int(sys.argv[3]), int(sys.argv[4])
bodies = [line.encode() for line in open(sys.argv[5])][:400] if len(sys.argv) > 5 else []
work = tempfile.mkdtemp(prefix="titlecard-visible-")
live = f"{work}/live"
copied(folder, live)
key = write_key(program, live)
never = "server.rebuild_after_ms=100000000"
process, port = start(program, live, never)
stop = threading.Event()


def search(at):
    connection = connect(port)
    while not stop.is_set():
        ask(connection, "POST", "/v1/search", bodies[at % len(bodies)])
        at += 7


threads = [threading.Thread(target=search, args=(at,)) for at in range(2 if bodies else 0)]
[thread.start() for thread in threads]
connection = connect(port)
known = [hit["film"] for query in ("war", "love", "a dog", "space")
         for hit in ask(connection, "POST", "/v1/search", json.dumps({"query": query, "limit": 100}))[1]["hits"]]
for round in range(rounds):
    lines = ""
    for at in range(n):
        film = known[(round * n + at) % len(known)] if at % 3 == 0 else {"id": f"new-{round}-{at}"}
        lines += json.dumps({"id": film["id"], "title": f"Changed {round} {at}", "year": 1950 + at % 70, "genres": ["Drama"],
                             "keywords": ["lighthouse"], "cast": [f"Somebody Number{at % 97}"],
                             "overview": f"Number {at}: somebody keeps a lighthouse near Paris in 1950, and nobody comes."}) + "\n"
    begun = time.monotonic()
    status, answer = ask(connection, "POST", "/v1/films", lines, "application/x-ndjson", key)
    acknowledged = time.monotonic() - begun
    assert status == 202, answer
    while ask(connection, "GET", "/v1/status")[1]["changes"]["visible_seq"] < answer["seq"]:
        time.sleep(0.02)
    visible = time.monotonic() - begun
    print(json.dumps({"round": round + 1, "changes": n, "acknowledged_ms": int(acknowledged * 1e3),
                      "visible_ms": int(visible * 1e3), "memory_mb": memory_mb(process)}), flush=True)
stop.set()
[thread.join() for thread in threads]
process.kill()
process.wait()
begun = time.monotonic()
process, port = start(program, live, never)
seen = ask(connect(port), "GET", "/v1/status")[1]["changes"]
print(json.dumps({"start_with_all_in_the_journal_ms": int((time.monotonic() - begun) * 1e3), "seen": seen}))
process.terminate()
process.wait()
shutil.rmtree(work)
