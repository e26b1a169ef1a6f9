#!/usr/bin/env python3
"""One training step of the title regressor's net: crate `nn` against PyTorch, in one run, as a ratio.

Net 300-1024-512-256-512-300, ReLU, dropout .2 after the first three hidden layers, L1 loss, SGD with
weight decay, f32. The two take turns, so that both see the same state of the machine; the median of
the rounds' medians is reported. Writes benchmarks/results/nn_training_step.json and .md.

    cargo build --release -p nn --example training_step
    python3 benchmarks/nn/training_step.py            (needs: pip install torch numpy)
"""

import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("PyTorch is missing: pip install torch numpy")

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OWN = TARGET / "release" / "examples" / "training_step"
DIM, ROUNDS = 300, 5


def torch_step_ms(batch, threads, repeats):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    sizes = [DIM, 1024, 512, 256, 512, DIM]
    layers = []
    for at, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
        layers.append(torch.nn.Linear(n_in, n_out))
        if at < 4:
            layers.append(torch.nn.ReLU())
        if at < 3:
            layers.append(torch.nn.Dropout(0.2))
    net = torch.nn.Sequential(*layers)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, weight_decay=1e-4)
    loss, x, y = torch.nn.L1Loss(), torch.randn(batch, DIM), torch.randn(batch, DIM)
    times = []
    for step in range(repeats + 3):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=False)
        loss(net(x), y).backward()
        optimizer.step()
        if step >= 3:
            times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def cpu():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


if not OWN.exists():
    sys.exit(f"{OWN} is missing: cargo build --release -p nn --example training_step")
rows = []
for batch, threads, repeats in ((256, 1, 20), (4096, 1, 4)):
    own, peer = [], []
    for _ in range(ROUNDS):
        line = subprocess.run([OWN, str(batch), str(DIM), str(threads), str(repeats)], check=True, capture_output=True)
        own.append(json.loads(line.stdout)["median_ms"])
        peer.append(torch_step_ms(batch, threads, repeats))
    own_ms, peer_ms = statistics.median(own), statistics.median(peer)
    rows.append({"batch": batch, "threads": threads, "own_ms": own_ms, "torch_ms": peer_ms, "ratio": peer_ms / own_ms,
                 "own_rounds_ms": own, "torch_rounds_ms": peer})
    print(f"batch {batch}, {threads} thread(s): own {own_ms:.2f} ms, PyTorch {peer_ms:.2f} ms, ratio {peer_ms / own_ms:.2f}")

result = {"date": datetime.date.today().isoformat(), "cpu": cpu(), "torch": torch.__version__, "rows": rows}
results = ROOT / "benchmarks" / "results"
results.mkdir(exist_ok=True)
(results / "nn_training_step.json").write_text(json.dumps(result, indent=1) + "\n")
lines = [
    "# Training step of the title regressor's net",
    "",
    f"`python3 benchmarks/nn/training_step.py`, {result['date']}, {result['cpu']}, PyTorch {result['torch']}, f32.",
    "Medians over 5 rounds in which the two take turns.",
    "",
    "| batch | threads | `nn`, ms | PyTorch, ms | ratio |",
    "|---|---|---|---|---|",
]
lines += [f"| {r['batch']} | {r['threads']} | {r['own_ms']:.2f} | {r['torch_ms']:.2f} | {r['ratio']:.2f} |" for r in rows]
(results / "nn_training_step.md").write_text("\n".join(lines) + "\n")
