#!/usr/bin/env python3
"""Repeats the training of `examples/lm_curve` with Hugging Face transformers and draws both curves.

    cargo run --release -p titlecard-lm --example lm_curve -- WORKING_FOLDER /tmp/curve 300
    python3 benchmarks/lm/curve.py /tmp/curve benchmarks/results/lm_curve

Same initial weights, batches, AdamW, clipping and schedule; ours packs without padding, the peer pads and masks.
"""

import json
import math
import sys

import torch
import transformers

folder, out = sys.argv[1], sys.argv[2]
torch.set_num_threads(1)
model = transformers.AutoModelForCausalLM.from_pretrained(f"{folder}/start", dtype=torch.float32)
settings = json.load(open(f"{folder}/settings.json"))
batches = [json.loads(line) for line in open(f"{folder}/batches.jsonl")]
dev = json.load(open(f"{folder}/dev.json"))


def padded(rows):
    length = max(map(len, rows))
    ids = torch.ones((len(rows), length), dtype=torch.long)
    labels = torch.full((len(rows), length), -100)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = labels[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def is_plain(name):
    return name.endswith("bias") or "norm" in name


decayed = [p for name, p in model.named_parameters() if not is_plain(name)]
plain = [p for name, p in model.named_parameters() if is_plain(name)]
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": settings["weight_decay"]}, {"params": plain, "weight_decay": 0.0}],
    lr=settings["learning_rate"], betas=(settings["beta1"], settings["beta2"]), eps=1e-8)
warm_up = math.ceil(settings["warm_up"] * len(batches))
schedule = transformers.get_cosine_schedule_with_warmup(optimizer, warm_up, len(batches))


@torch.no_grad()
def dev_loss():
    model.eval()
    total = count = 0
    for at in range(0, len(dev), 16):
        batch = padded(dev[at : at + 16])
        n = int((batch["labels"][:, 1:] >= 0).sum())
        total += float(model(**batch).loss) * n
        count += n
    model.train()
    return total / count


ours = [json.loads(line) for line in open(f"{folder}/ours/log.jsonl")]
our_train = {r["step"]: r["loss"] for r in ours if r["event"] == "step"}
our_dev = {r["step"]: r["dev_loss"] for r in ours if r["event"] == "evaluation"}
train, held_out = {}, {}
model.train()
for at, rows in enumerate(batches, 1):
    loss = model(**padded(rows)).loss
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip"])
    optimizer.step()
    schedule.step()
    train[at] = loss.item()
    if at in our_dev:
        held_out[at] = dev_loss()
        print(at, f"development perplexity {math.exp(held_out[at]):.3f}, ours {math.exp(our_dev[at]):.3f}", flush=True)

last = max(held_out)
result = {
    "torch": torch.__version__, "transformers": transformers.__version__, "steps": len(batches),
    "parameters": sum(p.numel() for p in model.parameters()), "dev_examples": len(dev),
    "dev_perplexity": {"titlecard": math.exp(our_dev[last]), "transformers": math.exp(held_out[last])},
    "largest_difference_of_train_loss": max(abs(train[s] - our_train[s]) for s in train),
    "largest_difference_of_dev_loss": max(abs(held_out[s] - our_dev[s]) for s in held_out),
    "dev_loss": [[s, our_dev[s], held_out[s]] for s in sorted(held_out)],
    "train_loss": [[s, our_train[s], train[s]] for s in sorted(train)][:: max(1, len(train) // 60)],
}
json.dump(result, open(f"{out}.json", "w"), indent=1)

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(8, 5))
steps = sorted(train)
axes.plot(steps, [train[s] for s in steps], color="#e69f00", linewidth=3, label="transformers, training")
axes.plot(steps, [our_train[s] for s in steps], color="black", linewidth=0.8, label="titlecard, training")
steps = sorted(held_out)
axes.plot(steps, [held_out[s] for s in steps], "s", color="#0072b2", markersize=9, label="transformers, development")
axes.plot(steps, [our_dev[s] for s in steps], "x--", color="black", label="titlecard, development")
axes.set_xlabel("step"), axes.set_ylabel("negative log-likelihood of a token"), axes.legend()
axes.set_title("Same start, data and schedule")
figure.savefig(f"{out}.svg")
print(json.dumps({k: v for k, v in result.items() if k not in ("dev_loss", "train_loss")}, indent=1))
