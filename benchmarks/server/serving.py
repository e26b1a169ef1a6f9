"""A server on a copy of a working folder, for the other scripts here."""
import http.client
import json
import re
import shutil
import subprocess
import sys
import threading


def copied(folder, to):
    """Copies a working folder without what servers and runs leave behind."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("tmp", "server", "plots", "results"))


def write_key(program, folder):
    arguments = [program, "-q", "-C", folder, "serve", "--new-key", "write"]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()


def start(program, folder, *settings):
    """Starts a server on a free port; the process and the port."""
    arguments = [program, "-C", folder, "serve", "--address", "127.0.0.1:0", "--set", "server.rate_per_second=0",
                 "--set", "server.deadline_ms=60000", "--set", "server.queue=256"]
    for setting in settings:
        arguments += ["--set", setting]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if found := re.search(r"serving on http://127.0.0.1:(\d+)/", line):
            threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()
            return process, int(found[1])
    sys.exit("the server did not start")


def connect(port):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=120)


def ask(connection, method, path, body=None, kind="application/json", key=None):
    headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {key}"} if key else {})
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def memory_mb(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))
