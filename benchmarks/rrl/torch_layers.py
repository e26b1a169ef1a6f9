"""Steps of the same networks with PyTorch's tensor operations, for a ratio within one run.

Written for this comparison: the operations are those of the published implementation (a batch x inputs x nodes tensor
for the original function, matrix products for NLAF, a discrete forward pass with the soft gradient), not its code.

    python benchmarks/rrl/torch_layers.py --rows 32561 --literals 130 --nodes 64 --activation original
"""
import argparse
import json
import time

import torch


class Projection(torch.autograd.Function):
    """1 / (1 - sum of logarithms) along the inputs, with its own backward pass."""

    @staticmethod
    def forward(context, factors):
        value = 1.0 / (1.0 - torch.log(factors).sum(dim=1))
        context.save_for_backward(value, factors)
        return value

    @staticmethod
    def backward(context, upstream):
        value, factors = context.saved_tensors
        return upstream.unsqueeze(1) * value.square().unsqueeze(1) / (factors + 1e-10)


def nlaf(marks, weights, alpha=0.9, beta=3, gamma=3):
    def u(value):
        powered = (alpha * value) ** beta
        return powered / (1 - powered)

    return (1 + u(marks) @ u(weights)) ** -gamma


class Graft(torch.autograd.Function):
    """The discrete value forward, the gradient to the soft value back."""

    @staticmethod
    def forward(context, discrete, soft):
        return discrete

    @staticmethod
    def backward(context, upstream):
        return None, upstream


class Union(torch.nn.Module):
    def __init__(self, literals, nodes, original):
        super().__init__()
        self.original = original
        self.conj = torch.nn.Parameter(0.5 * torch.rand(literals, nodes))
        self.disj = torch.nn.Parameter(0.5 * torch.rand(literals, nodes))

    def soft(self, marks, weights):
        if self.original:
            return Projection.apply(1 - marks.unsqueeze(-1) * weights)
        return nlaf(marks, weights)

    def discrete(self, marks, weights):
        if self.original:
            return (1 - marks.unsqueeze(-1) * (weights > 0.5).float()).prod(dim=1)
        return (marks @ (weights > 0.5).float() == 0).float()

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                conj, disj = self.discrete(1 - x, self.conj), 1 - self.discrete(x, self.disj)
            conj = Graft.apply(conj, self.soft(1 - x, self.conj))
            disj = Graft.apply(disj, 1 - self.soft(x, self.disj))
        else:
            conj, disj = self.discrete(1 - x, self.conj), 1 - self.discrete(x, self.disj)
        return torch.cat([conj, disj], dim=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32561)
    parser.add_argument("--literals", type=int, default=130)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--activation", choices=["original", "nlaf"], default="original")
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = (torch.rand(4096, options.literals) < 0.35).float()
    labels = torch.randint(0, 2, (4096,))
    union = Union(options.literals, options.nodes, options.activation == "original")
    head = torch.nn.Linear(2 * options.nodes, 2)
    parameters = list(union.parameters()) + list(head.parameters())
    optimiser = torch.optim.Adam(parameters, lr=0.002)

    def step(at):
        first = at * options.batch % (4096 - options.batch)
        x, y = rows[first:first + options.batch], labels[first:first + options.batch]
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(head(union(x)), y)
        loss = loss + 1e-5 * sum(weight.square().sum() for weight in (union.conj, union.disj, head.weight))
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            union.conj.clamp_(0, 1)
            union.disj.clamp_(0, 1)

    def per_second(work):
        work(0)
        wall, busy, end, at = float("inf"), float("inf"), time.perf_counter() + options.seconds, 1
        while time.perf_counter() < end or at < 4:
            start, start_busy = time.perf_counter(), time.thread_time()
            work(at)
            wall, busy = min(wall, time.perf_counter() - start), min(busy, time.thread_time() - start_busy)
            at += 1
        return options.batch / wall, options.batch / busy

    train, train_busy = per_second(step)
    union.eval()

    @torch.no_grad()
    def infer(at):
        first = at * options.batch % (4096 - options.batch)
        head(union(rows[first:first + options.batch]))

    served, served_busy = per_second(infer)
    print(json.dumps({"nodes": options.nodes, "activation": options.activation, "literals": options.literals,
                      "batch": options.batch, "torch": torch.__version__, "train_rows_per_second": train,
                      "train_rows_per_busy_second": train_busy, "inference_rows_per_second": served,
                      "inference_rows_per_busy_second": served_busy}))


if __name__ == "__main__":
    main()
