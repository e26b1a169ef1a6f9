"""Rows a second of training and inference, beside PyTorch in the same run and the recorded figures of the authors' code.

    python benchmarks/rrl/speed.py --uci ../shared/data/uci --work /tmp/rrl-uci [--reference PATH]

Shapes are those of the authors' `adult` with 5 cuts: 5@64 and 5@1024, batch 64, one thread; then two threads, and a run
over 1,000,000 sparse rows (`--no-sparse` leaves it out). `--reference` is a checkout of the authors' implementation; when
it is absent this is said, and the recorded figures stand for it: they were measured on another day on a machine of the
same kind. `torch_layers.py` runs the same tensor operations here and now. Writes `benchmarks/results/rrl_speed.{json,md}`.
"""
import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import data
from classification import RESULTS, example

HERE = pathlib.Path(__file__).resolve().parent
ACTIVATIONS = {"original": {"product": {"estimated": False}}, "nlaf": {"nlaf": {"alpha": 0.9, "beta": 3.0, "gamma": 3.0}}}
# Rows a second of the authors' code on `adult`, one thread: training, discrete inference; and the goals as ratios.
RECORDED = {("original", 64): (17084, 162231), ("nlaf", 64): (58964, 363048),
            ("original", 1024): (150, 766), ("nlaf", 1024): (11976, 58856)}
GOALS = {("original", 64): 15, ("nlaf", 64): 5, ("original", 1024): 500, ("nlaf", 1024): 3}


def output(command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uci", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--reference")
    parser.add_argument("--no-sparse", action="store_true")
    options = parser.parse_args()
    if not options.reference or not pathlib.Path(options.reference, "rrl").is_dir():
        print("no checkout of the reference implementation given: its recorded figures are used")
        options.reference = None
    binary = os.environ.get("RRL_EXAMPLE") or example()
    data.unpack(options.uci, options.work)
    table = [f"{options.work}/adult.data", "--info", f"{options.work}/adult.info", "--cut", "n_cuts=5", "--cut", "drop_first=true"]

    def own(nodes, activation, threads=1):
        settings = {"nodes": [nodes], "activation": ACTIVATIONS[activation], "batch_size": 64, "n_threads": threads,
                    "weight_range": [0.0001, 0.9999], "penalty": {"squares": 1e-5}}
        flags = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
        return json.loads(output([binary, "speed", *table, *flags], env={**os.environ, "RAYON_NUM_THREADS": str(threads)}))

    load = os.getloadavg()[0]
    results, lines = [], []
    for (activation, nodes), (train, inference) in RECORDED.items():
        one, two = own(nodes, activation), own(nodes, activation, 2)
        torch = None
        if importlib.util.find_spec("torch"):
            torch = json.loads(output([sys.executable, HERE / "torch_layers.py", "--nodes", str(nodes), "--activation", activation,
                                       "--literals", str(one["literals"])]))
        if options.reference:
            command = [sys.executable, "experiment.py", "-d", "adult", "-e", "3", "-s", f"5@{nodes}", "-bs", "64"]
            output(command + (["--nlaf"] if activation == "nlaf" else []), cwd=options.reference)
        results.append({"activation": activation, "nodes": nodes, "one_thread": one, "two_threads": two, "torch_same_run": torch,
                        "recorded": {"train": train, "inference": inference}})
        rate, busy, served = (one[key] for key in ("train_rows_per_second", "train_rows_per_busy_second", "inference_rows_per_second"))
        same = f"{busy / torch['train_rows_per_busy_second']:.0f}x" if torch else "-"
        same_served = f"{served / torch['inference_rows_per_second']:.0f}x" if torch else "-"
        lines.append(f"| {activation} 5@{nodes} | {rate:,.0f} | {busy:,.0f} | {train:,} | {rate / train:.0f}x | **{busy / train:.0f}x** | {GOALS[activation, nodes]}x | {same} | "
                     f"{two['train_rows_per_second'] / rate:.2f}x | {served:,.0f} | {inference:,} | **{served / inference:.0f}x** | {same_served} |")
        print(lines[-1], flush=True)
    sparse = None if options.no_sparse else json.loads(output([binary, "sparse", "1000000", "20000", "50", "64"]))
    results = {"date": str(datetime.date.today()), "load_average_at_start": load, "sparse": sparse, "runs": results}
    (RESULTS / "rrl_speed.json").write_text(json.dumps(results, indent=1) + "\n")
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "?")
    text = ["# Speed of rule learning", "",
            "Made by `python benchmarks/rrl/speed.py --uci ../shared/data/uci --work /tmp/rrl-uci`.",
            f"Machine: {cpu}, {os.cpu_count()} cores shared with other work (load average {load:.1f} at the start); {datetime.date.today()}.",
            "Rows a second, one thread, `adult` (32,561 rows), batch 64. Recorded: the authors' PyTorch code on a machine of the same kind, "
            "measured apart. Same run: the same tensor operations in PyTorch (`torch_layers.py`) right beside. Inference is of "
            "encoded rows, the best of many passes of both; a trained list has fewer rules than the network has nodes. A busy "
            "second is one the thread had a core: on a machine shared with others fewer of them pass. Two threads are compared by "
            "wall time, which says little while other work holds the second core.", "",
            "| network | training, wall | busy | recorded | ratio, wall | ratio, busy | goal | same run, busy | 2 threads | inference, wall | recorded | ratio (goal 20x) | same run, wall |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|", *lines]
    if sparse:
        text += ["", "## 1,000,000 sparse rows", "",
                 f"{sparse['rows']:,} rows of {sparse['literals']:,} literals, {sparse['ones_a_row']} a row, {sparse['nodes_a_kind']} + "
                 f"{sparse['nodes_a_kind']} nodes, batch 256, one epoch, one thread: **{sparse['seconds']:.0f} s** "
                 f"({sparse['rows_per_second']:,.0f} rows/s), peak memory of the process {sparse['peak_memory']} with the data; "
                 f"loss {sparse['first_loss']:.4f} after 256 steps, {sparse['epoch_loss']:.4f} over the epoch."]
    (RESULTS / "rrl_speed.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
