"""Clients that are no good: `clients.py idle|slow PORT N SECONDS`.

idle: N connections that have sent one request and then say nothing.
slow: N connections that send the head of a request, a byte a second, and begin anew when they are cut off.
"""
import selectors
import socket
import sys
import time

kind, port, n, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
HEAD = b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{"


def connect():
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    made.settimeout(10)
    return made


end = time.monotonic() + seconds
if kind == "idle":
    held = []
    for _ in range(n):
        one = connect()
        one.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        held.append(one)
    answered = sum(one.recv(4096).startswith(b"HTTP/1.1 200") for one in held)
    print(f"idle: {len(held)} connections, {answered} answered", flush=True)
    time.sleep(max(0.0, end - time.monotonic()))
    selector = selectors.DefaultSelector()
    for one in held:
        selector.register(one, selectors.EVENT_READ)
    closed = len(selector.select(timeout=0))
    print(f"idle: {closed} closed by the server in {seconds:.0f} s", flush=True)
else:
    held = [[connect(), 0] for _ in range(n)]
    print(f"slow: {len(held)} connections", flush=True)
    cut = 0
    while time.monotonic() < end:
        begun = time.monotonic()
        for one in held:
            try:
                one[0].send(HEAD[one[1] % len(HEAD) : one[1] % len(HEAD) + 1])
                one[1] += 1
            except OSError:
                cut += 1
                one[0].close()
                try:
                    one[:] = [connect(), 0]
                except OSError:
                    pass
        time.sleep(max(0.0, 1 - (time.monotonic() - begun)))
    print(f"slow: {cut} cut off and begun anew in {seconds:.0f} s", flush=True)
