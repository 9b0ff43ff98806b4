"""PGGAN training steps against a plain eager loop of the same networks, both in one process, alternating."""

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.generators.adversarial import WARM_UP, AdversarialTask
from radsynth.generators.backend import choose_plan
from radsynth.generators.growth import Growth, size_of
from radsynth.generators.metrics import Window
from radsynth.generators.options import resolve_options
from radsynth.generators.progressive import build_critic, build_generator


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


def steps_per_second(step: Callable[[], None], steps: int) -> float:
    """Return the speed of ``step``, the device being idle before and after."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    return steps / (time.perf_counter() - began)


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
    images = np.random.default_rng(0).integers(0, 256, (200, args.size, args.size), dtype=np.uint8)
    device = torch.cuda.get_device_name() if plan.fast else "CPU"
    print(f"preset {args.preset}, batch {options['batch_size']}, {device}, steps/s, median of {args.repeats} repeats")
    rows = []
    for level in range(growth.first, growth.last + 1):
        task = AdversarialTask(
            build_generator(options, growth.last), build_critic(options, growth.last), images, growth, options, plan
        )
        # The last step of a level: faded in.
        number, window = growth.first_step(level + 1) - 1, Window()
        indices = np.arange(options["batch_size"])

        def ours(task=task, number=number, window=window, indices=indices) -> None:
            window.add(task.step(number, indices)[0])

        for _ in range(WARM_UP + 1):
            ours()
        plain = PlainLoop(task, level)
        peer = lambda plain=plain, indices=indices: plain.step(indices)  # noqa: E731
        peer()
        pairs = [(steps_per_second(ours, args.steps), steps_per_second(peer, args.steps)) for _ in range(args.repeats)]
        row = {
            "resolution": size_of(level),
            "radsynth": statistics.median(a for a, _ in pairs),
            "plain_loop": statistics.median(b for _, b in pairs),
            "ratio": statistics.median(a / b for a, b in pairs),
            "cuda_graph": task.graph is not None,
        }
        rows.append(row)
        print(
            f"  {row['resolution']:4d} px  radsynth {row['radsynth']:8.2f}  plain loop {row['plain_loop']:8.2f}"
            f"  ratio {row['ratio']:.2f}",
            flush=True,
        )
    print(json.dumps({"preset": args.preset, "device": device, "torch": torch.__version__, "rows": rows}))


if __name__ == "__main__":
    main()
