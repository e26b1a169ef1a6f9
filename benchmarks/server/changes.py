"""Changes under load: `changes.py PROGRAM FOLDER BODIES N BATCH`.

Serves a copy of FOLDER, searches without a pause from four threads, sends N changes of films in batches, waits until they are
built in, and compares the answers with those of a folder that was built from the same films by the command line. Exits with 1 if a
request failed, an answer mixed two states, or an answer differs.
"""
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from serving import ask, connect, copied, start, write_key

program, folder, bodies_path = sys.argv[1:4]
n, batch = int(sys.argv[4]), int(sys.argv[5])
bodies = [line.encode() for line in open(bodies_path)][:400]
work = tempfile.mkdtemp(prefix="titlecard-changes-")
live, fresh = f"{work}/live", f"{work}/fresh"
for copy in (live, fresh):
    copied(folder, copy)
key = write_key(program, live)
process, port = start(program, live, "server.rebuild_after_ms=2000")
stop, failed, mixed, searched, states = threading.Event(), [], [], [0], set()


def search(offset):
    connection = connect(port)
    at = offset
    sizes = {}
    while not stop.is_set():
        status, answer = ask(connection, "POST", "/v1/search", bodies[at % len(bodies)])
        at += 7
        searched[0] += 1
        if status not in (200, 422):
            failed.append((status, answer))
        elif status == 200:
            states.add(answer["generation"])
            # One state has one number of films.
            if sizes.setdefault(answer["generation"], answer["n_films"]) != answer["n_films"]:
                mixed.append(answer["generation"])


threads = [threading.Thread(target=search, args=(at,)) for at in range(4)]
[thread.start() for thread in threads]
connection = connect(port)
begun = time.monotonic()
sent = 0
while sent < n:
    lines = "".join(
        json.dumps({"id": f"c{at % (n * 4 // 5)}", "title": f"Changed {at}", "year": 1950 + at % 70, "genres": ["Drama"],
                    "overview": f"Number {at}: somebody changes something, and nobody who searches sees half of it."}) + "\n"
        for at in range(sent, min(sent + batch, n)))
    status, answer = ask(connection, "POST", "/v1/films", lines, "application/x-ndjson", key)
    if status != 202:
        failed.append((status, answer))
    sent += batch
acknowledged = time.monotonic() - begun
visible = None
while True:
    status, answer = ask(connection, "GET", "/v1/status")
    if visible is None and answer["changes"]["visible_seq"] == answer["changes"]["acknowledged_seq"]:
        visible = time.monotonic() - begun
    if answer["changes"]["pending"] == 0 and answer["build"]["state"] == "idle":
        break
    if answer["build"]["state"] == "failed":
        failed.append((0, answer))
        break
    time.sleep(0.05)
built = time.monotonic() - begun
stop.set()
[thread.join() for thread in threads]

shutil.copy(f"{live}/data/films.jsonl.zst", f"{fresh}/data/films.jsonl.zst")
for step in (["graph", "build"], ["index"]):
    subprocess.run([program, "-q", "-C", fresh, *step], check=True, stdout=subprocess.DEVNULL)
other, other_port = start(program, fresh)
other_connection = connect(other_port)
connection = connect(port)
differ = 0
for body in bodies[:200]:
    one, two = (ask(at, "POST", "/v1/search", body)[1] for at in (connection, other_connection))
    differ += one.get("hits") != two.get("hits")
for server in (process, other):
    server.terminate()
    server.wait()
shutil.rmtree(work)
print(json.dumps({
    "changes": n, "films_after": answer["n_films"], "acknowledged_s": round(acknowledged, 2), "visible_s": round(visible, 2),
    "built_s": round(built, 1),
    "builds": answer["build"]["n_builds"], "last_build_s": answer["build"].get("last_s"), "searches": searched[0],
    "states_seen": len(states), "failed": len(failed), "mixed": len(mixed), "answers_that_differ_from_a_fresh_build": differ}))
sys.exit(bool(failed or mixed or differ))
