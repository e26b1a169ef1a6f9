#!/usr/bin/env python3
"""Speed and memory of training and generation, here and with Hugging Face transformers, one thread.

Models have random weights of the 14m or 70m shape, made here and read by both. Every measurement is a process of
its own, so that peak memory is its own; ours and the peer's run one after the other, in turns.

    python3 benchmarks/lm/peers.py --binary target/release/examples/lm_speed --out benchmarks/results/lm_speed.json

Needs torch, transformers and peft (versions are written into the result).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

TASKS = ["full", "completion", "lora", "lora-completion", "generate"]


def peer(folder, task, rows, length, targets, seconds):
    """One measurement in this process; prints one JSON object."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(1)
    if task == "generate":
        ids = torch.randint(100, 50000, (rows, 64))
        mask = torch.ones_like(ids)
        settings = dict(do_sample=False, min_new_tokens=64, max_new_tokens=64, pad_token_id=1)
        with torch.no_grad():
            model.generate(ids, attention_mask=mask, **settings)
            times = timed(lambda: model.generate(ids, attention_mask=mask, **settings), seconds)
        report(rows * 64, times)
        return
    if task.startswith("lora"):
        from peft import LoraConfig, get_peft_model

        names = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
        model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=names, task_type="CAUSAL_LM"))
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
    ids = torch.randint(100, 50000, (rows, length))
    labels = ids.clone()
    if "completion" in task:
        labels[:, : length - targets] = -100

    def step():
        if "completion" in task:
            # Logits of labelled positions only.
            base = model.base_model.model if task.startswith("lora") else model
            hidden = base.gpt_neox(input_ids=ids).last_hidden_state[:, length - targets - 1 : -1]
            head = base.get_output_embeddings()
            logits = head(hidden)
            loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels[:, length - targets :].reshape(-1))
        else:
            loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    step()
    report(rows * length, timed(step, seconds))


def timed(run, seconds):
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return times


def report(tokens, times):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    best = min(times)
    print(json.dumps({"tokens_per_second": tokens / best, "seconds": best, "runs": len(times), "peak_bytes": peak}))


def run(command):
    environment = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", RAYON_NUM_THREADS="1")
    environment.pop("OPENBLAS_CORETYPE", None)
    environment.pop("OPENBLAS_L2_SIZE", None)
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--models", default="/tmp/lm_speed", help="folder for models of random weights")
    parser.add_argument("--sizes", default="14m,70m")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quiet", default="", help="a program that gives what it runs a quiet core")
    parser.add_argument("--peer", nargs=5, metavar=("FOLDER", "TASK", "ROWS", "LENGTH", "TARGETS"))
    arguments = parser.parse_args()
    if arguments.peer:
        folder, task, rows, length, targets = arguments.peer
        peer(folder, task, int(rows), int(length), int(targets), arguments.seconds)
        return
    import torch, transformers, peft

    results = {
        "torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__,
        "length": 128, "rows": 8, "targets_a_row_of_completion": 8, "threads": 1, "load": os.getloadavg(), "runs": [],
    }
    quiet = arguments.quiet.split()
    for size in arguments.sizes.split(","):
        folder = os.path.join(arguments.models, size)
        if not os.path.exists(os.path.join(folder, "config.json")):
            subprocess.run([arguments.binary, "make", size, folder], check=True)
        for task in arguments.tasks.split(","):
            shapes = [(1, "f32"), (1, "bf16"), (1, "int8"), (8, "f32"), (8, "bf16"), (8, "int8")] if task == "generate" else [(8, "f32")]
            for rows, precision in shapes:
                ours, theirs = [], []
                for _ in range(arguments.rounds):
                    ours.append(run(quiet + [arguments.binary, task, folder, str(rows), "128", "8", str(arguments.seconds), precision]))
                    if precision == "f32":
                        theirs.append(run(quiet + [sys.executable, __file__, "--binary", "", "--out", "", "--seconds", str(arguments.seconds),
                                                   "--peer", folder, task, str(rows), "128", "8"]))
                best = lambda runs: max(runs, key=lambda run: run["tokens_per_second"])
                row = {"size": size, "task": task, "rows": rows, "precision": precision, "ours": best(ours)}
                if theirs:
                    row["transformers"] = best(theirs)
                    last = row["transformers"]
                row["speed_ratio"] = row["ours"]["tokens_per_second"] / last["tokens_per_second"]
                row["memory_ratio"] = row["ours"]["peak_bytes"] / last["peak_bytes"]
                results["runs"].append(row)
                print(size, task, rows, precision, f"{row['ours']['tokens_per_second']:.0f} tok/s", f"{row['speed_ratio']:.2f}x",
                      f"memory {row['memory_ratio']:.2f}", flush=True)
                with open(arguments.out, "w") as file:
                    json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
