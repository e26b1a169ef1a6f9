"""Changes under load: `changes.py PROGRAM FOLDER BODIES N BATCH`.

Serves a copy of FOLDER, searches without a pause from four threads, sends N changes of films in batches, waits until they are
built in, and compares the answers with those of a folder that was built from the same films by the command line. Exits with 1 if a
request failed, an answer mixed two states, or an answer differs.
"""
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

program, folder, bodies_path = sys.argv[1:4]
n, batch = int(sys.argv[4]), int(sys.argv[5])
bodies = [line.encode() for line in open(bodies_path)][:400]
work = tempfile.mkdtemp(prefix="titlecard-changes-")


def start(where):
    process = subprocess.Popen(
        [program, "-C", where, "serve", "--address", "127.0.0.1:0", "--set", "server.rate_per_second=0",
         "--set", "server.rebuild_after_ms=200", "--set", "server.deadline_ms=60000", "--set", "server.queue=256"],
        stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if found := re.search(r"serving on http://127.0.0.1:(\d+)/", line):
            threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()
            return process, int(found[1])
    sys.exit("the server did not start")


def ask(connection, method, path, body=None, kind="application/json", key=None):
    headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {key}"} if key else {})
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


live, fresh = f"{work}/live", f"{work}/fresh"
for copy in (live, fresh):
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("tmp", "server", "plots", "results"))
key = subprocess.run([program, "-q", "-C", live, "serve", "--new-key", "write"], capture_output=True, text=True, check=True).stdout.strip()
process, port = start(live)
stop, failed, mixed, searched, states = threading.Event(), [], [], [0], set()


def search(offset):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
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
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
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
while True:
    status, answer = ask(connection, "GET", "/v1/status")
    if answer["changes"]["pending"] == 0 and answer["build"]["state"] == "idle":
        break
    if answer["build"]["state"] == "failed":
        failed.append((0, answer))
        break
    time.sleep(0.2)
built = time.monotonic() - begun
stop.set()
[thread.join() for thread in threads]

shutil.copy(f"{live}/data/films.jsonl.zst", f"{fresh}/data/films.jsonl.zst")
for step in (["graph", "build"], ["index"]):
    subprocess.run([program, "-q", "-C", fresh, *step], check=True, stdout=subprocess.DEVNULL)
other, other_port = start(fresh)
other_connection = http.client.HTTPConnection("127.0.0.1", other_port, timeout=120)
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
differ = 0
for body in bodies[:200]:
    one, two = (ask(at, "POST", "/v1/search", body)[1] for at in (connection, other_connection))
    differ += one.get("hits") != two.get("hits")
for server in (process, other):
    server.terminate()
    server.wait()
shutil.rmtree(work)
print(json.dumps({
    "changes": n, "films_after": answer["n_films"], "acknowledged_s": round(acknowledged, 2), "built_s": round(built, 1),
    "builds": answer["build"]["n_builds"], "last_build_s": answer["build"].get("last_s"), "searches": searched[0],
    "states_seen": len(states), "failed": len(failed), "mixed": len(mixed), "answers_that_differ_from_a_fresh_build": differ}))
sys.exit(bool(failed or mixed or differ))
