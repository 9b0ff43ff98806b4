"""PGGAN training steps, with and without CUDA graphs, against a plain eager loop of the same networks, alternating."""

import argparse
import copy
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alternating import in_turn, seconds_each

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.generators.adversarial import WARM_UP, AdversarialTask
from radsynth.generators.growth import Growth, size_of
from radsynth.generators.options import resolve_options
from radsynth.generators.progressive import build_critic, build_generator
from radsynth.learning.devices import Plan, choose_plan
from radsynth.learning.measured import Window


class PlainLoop:
    """A step as public code writes it: four passes of the critic, default Adam, ``item()`` for the log, no graphs."""

    def __init__(self, task: AdversarialTask, level: int):
        self.level, self.options, self.device = level, task.options, task.plan.device
        self.generator, self.critic, self.average = (
            copy.deepcopy(network) for network in (task.generator, task.critic, task.average)
        )
        self.reals = task.reals
        adam = {"lr": self.options["learning_rate"], "betas": (0.0, 0.99)}
        self.adams = [torch.optim.Adam(network.parameters(), **adam) for network in (self.critic, self.generator)]
        self.log = np.zeros(3)

    def step(self, indices: np.ndarray) -> None:
        """Take one step and add the losses to the log."""
        level, n = self.level, len(indices)
        reals = self.reals[torch.from_numpy(indices).to(self.device)]
        self.critic.zero_grad()
        real = self.critic(reals, level)
        real_loss = -real.mean() + self.options["drift"] * real.square().mean()
        real_loss.backward()
        fakes = self.generator(torch.randn(n, self.options["latent_size"], device=self.device), level)
        fake_loss = self.critic(fakes.detach(), level).mean()
        fake_loss.backward()
        mixed = torch.rand(n, 1, 1, 1, device=self.device)
        mixed = (mixed * reals + (1 - mixed) * fakes.detach()).requires_grad_()
        (slopes,) = torch.autograd.grad(self.critic(mixed, level).sum(), mixed, create_graph=True)
        penalty = self.options["gradient_penalty"] * (slopes.flatten(1).norm(dim=1) - 1).square().mean()
        penalty.backward()
        self.adams[0].step()
        self.generator.zero_grad()
        loss = -self.critic(fakes, level).mean()
        loss.backward()
        self.adams[1].step()
        decay = self.options["ema_decay"]
        for mean, now in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            mean.data.mul_(decay).add_(now.data, alpha=1 - decay)
        self.log += [(real_loss + fake_loss).item(), penalty.item(), loss.item()]


def our_step(task: AdversarialTask, number: int) -> Callable[[], None]:
    """Return a function that takes step ``number`` as the training loop does, after those that warm up."""
    indices, window = np.arange(task.options["batch_size"]), Window()

    def step() -> None:
        window.add(task.step(number, indices)[0])

    for _ in range(WARM_UP + 1):
        step()
    return step


def measure(
    options: Mapping[str, Any],
    plan: Plan,
    size: int,
    level: int,
    *,
    steps: int,
    repeats: int,
    deadline: float = math.inf,
) -> dict[str, Any]:
    """Return what ``in_turn`` does of the seconds per step of ``ours``, ``without_graphs`` and ``plain_loop``.

    At the resolution of ``level``, faded in, of a PGGAN for images of ``size`` px. ``steps`` are those of a repeat.
    ``cuda_graph`` says whether ours replays one; where it cannot, as on a CPU, it does the same as ``without_graphs``.
    """
    growth = Growth.plan(options, size, size)
    images = np.random.default_rng(0).integers(0, 256, (200, size, size), dtype=np.uint8)

    def task(cuda_graphs: bool) -> AdversarialTask:
        networks = build_generator(options, growth.last), build_critic(options, growth.last)
        return AdversarialTask(*networks, images, growth, {**options, "cuda_graphs": cuda_graphs}, plan)

    with_graphs, without = task(True), task(False)
    # The last step of a level: faded in.
    number = growth.first_step(level + 1) - 1
    taken = {"ours": our_step(with_graphs, number), "without_graphs": our_step(without, number)}
    plain, indices = PlainLoop(without, level), np.arange(options["batch_size"])
    taken["plain_loop"] = lambda: plain.step(indices)
    plain.step(indices)
    found = in_turn(
        {name: lambda step=step: seconds_each(step, steps) for name, step in taken.items()}, repeats, deadline
    )
    facts = {"resolution": size_of(level), "batch": options["batch_size"], "steps": steps}
    return {**facts, "cuda_graph": with_graphs.graph is not None, **found}


def main() -> None:
    """Print a table and, on the last line, the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--size", type=int, default=128, help="image size in px; each resolution up to it is measured")
    parser.add_argument("--steps", type=int, default=100, help="steps per measurement")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    # The plain loop changes no images.
    options = resolve_options("pggan", args.preset, {"augment_probability": 0})
    plan = choose_plan("fp32")
    growth = Growth.plan(options, args.size, args.size)
    print(f"preset {args.preset}, batch {options['batch_size']}, {plan.name}, steps/s by medians, and ratios to ours")
    rows = []
    for level in range(growth.first, growth.last + 1):
        row = measure(options, plan, args.size, level, steps=args.steps, repeats=args.repeats)
        rows.append(row)
        speeds = (f"{name} {1 / s:.2f} ({row['ratios'].get(name, 1):.2f})" for name, s in row["medians"].items())
        print(f"  {row['resolution']:4d} px  {'  '.join(speeds)}", flush=True)
    print(json.dumps({"preset": args.preset, "device": plan.name, "torch": torch.__version__, "rows": rows}))


if __name__ == "__main__":
    main()
