"""Steps of latent diffusion on latents made once, against a loop that encodes at every step, and the pixel DDPM.

All take steps of U-Nets of the same widths. And what a training costs: steps of the autoencoder, images drawn.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alternating import in_turn, seconds_each

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.common.sets import Conditions, ImageSet
from radsynth.generators.augmentation import augment, draw_changes
from radsynth.generators.autoencoder import build_autoencoder
from radsynth.generators.autoencoding import AutoencodingTask, edge_difference
from radsynth.generators.ddpm import DDPM
from radsynth.generators.latent_diffusion import LatentDiffusion, autoencoder_stage
from radsynth.generators.options import resolve_options
from radsynth.learning.devices import Plan, to_floats
from radsynth.learning.loop import batch_indices

LABELS = ("A", "B")


class EncodedAnew:
    """Latents as public code takes them: every step encodes its images."""

    def __init__(self, model: LatentDiffusion, data: ImageSet, latents: Any, plan: Plan):
        self.vae, self.latents, self.plan, self.options = model.vae, latents, plan, model.options
        self.images = torch.from_numpy(data.images).to(plan.device)

    def draw(self, indices: np.ndarray) -> tuple[torch.Tensor, None]:
        """Return latents of some images, drawn."""
        images = to_floats(self.images[torch.from_numpy(indices).to(self.plan.device)])
        images = augment(images, *draw_changes(len(images), self.options, self.plan.device)).clamp(-1, 1)
        with torch.no_grad(), self.plan.autocast():
            coded = self.vae.encode(images).latent_dist
        drawn = coded.mean + coded.std * torch.randn_like(coded.mean)
        return (drawn.float() - self.latents.shift) / self.latents.scale, None


def made_up(n: int, size: int) -> ImageSet:
    """Return n images of noise, of two labels: steps take as long as with real ones."""
    images = np.random.default_rng(0).integers(0, 256, (n, size, size, 1), dtype=np.uint8)
    return ImageSet(images, [{"label": LABELS[i % 2]} for i in range(n)])


def untrained(options: Mapping[str, Any], data: ImageSet) -> LatentDiffusion:
    """Return a latent diffusion whose autoencoder has learnt nothing."""
    model = LatentDiffusion(options)
    size, channels = data.images.shape[2:]
    model.facts = {"seed": 0, "data": {"height": size, "width": size, "channels": list(data.channels)}}
    model.vae = build_autoencoder(options, channels, size)
    return model


def steps_of(task: Any, n: int, batch: int) -> Callable[[], None]:
    """Return a function that takes the next step of a task, as the training loop does."""
    done = 0

    def step() -> None:
        nonlocal done
        task.step(done, batch_indices(done, n, batch, seed=0))
        done += 1

    return step


def measure(
    options: Mapping[str, Any],
    size: int,
    *,
    images: int,
    warmup: int,
    steps: int,
    repeats: int,
    deadline: float = math.inf,
) -> dict[str, Any]:
    """Return what ``in_turn`` does of the seconds per step of ``ours``, ``encoding`` and ``pixel_ddpm``."""
    data = made_up(images, size)
    model = untrained(options, data)
    plan = model.plan(training=True)
    ours = model.begin(data, steps, plan)
    other = untrained(options, data)
    other.vae = model.vae
    encoding = other.begin(data, steps, plan)
    encoding.supply = EncodedAnew(model, data, ours.supply, plan)
    shared = {key: options[key] for key in resolve_options("ddpm", "default", {}) if key in options}
    pixels = DDPM(resolve_options("ddpm", "default", shared)).begin(data, steps, plan)
    sides = {
        name: steps_of(task, images, options["batch_size"])
        for name, task in (("ours", ours), ("encoding", encoding), ("pixel_ddpm", pixels))
    }
    for step in sides.values():
        seconds_each(step, warmup)
    found = in_turn(
        {name: lambda step=step: seconds_each(step, steps) for name, step in sides.items()}, repeats, deadline
    )
    return {"size": size, "batch": options["batch_size"], "steps": steps, **found}


def costs(
    options: Mapping[str, Any], size: int, *, images: int, warmup: int, steps: int, drawn: int, solver_steps: int
) -> dict[str, Any]:
    """Return the seconds per 1,000 steps of the autoencoder and of the diffusion, images drawn per second, memory."""
    data = made_up(images, size)
    model = untrained(options, data)
    plan = model.plan(training=True)
    stage = autoencoder_stage(options)
    autoencoder = AutoencodingTask(model.vae, data.images, stage, steps, plan, edge_difference)
    taken = {"autoencoder": steps_of(autoencoder, images, stage["batch_size"])}
    taken["diffusion"] = steps_of(model.begin(data, steps, plan), images, options["batch_size"])
    seconds = {}
    for name, step in taken.items():
        seconds_each(step, warmup)
        seconds[name] = 1000 * seconds_each(step, steps)
    sampler = {"name": "dpm_solver++", "steps": solver_steps, "batch_size": drawn, "guidance": 1}
    asked = Conditions.of_label(LABELS[0], drawn)
    list(model.sample(range(drawn), 1, asked, {**sampler, "steps": 2}))
    began = time.perf_counter()
    list(model.sample(range(drawn), 2, asked, sampler))
    rate = drawn / (time.perf_counter() - began)
    return {
        "size": size,
        "seconds_per_1000_steps": seconds,
        "images_per_s": rate,
        "peak_memory_mb": plan.peak_memory_mb(),
        "parameters": model.measures()["parameters"],
    }


def main() -> None:
    """Print a table and, on the last line, the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4, help="steps per measurement")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    options = resolve_options("latent_diffusion", args.preset, {})
    counts = {name: getattr(args, name) for name in ("images", "warmup", "steps")}
    found = measure(options, args.size, **counts, repeats=args.repeats)
    print("| step | seconds | ours is faster |")
    for name, seconds in found["medians"].items():
        print(f"| {name} | {seconds:.3f} | {found['ratios'].get(name, 1):.1f} |")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
