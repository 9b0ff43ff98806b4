"""What must be equal on a GPU: steps with and without CUDA graphs, one process or several, few bits or many.

TF32 must be off (NVIDIA_TF32_OVERRIDE=0, set before torch starts), so that what differs is rounding in float32.
"""

import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.common.sets import ImageSet
from radsynth.generators.adversarial import WARM_UP, AdversarialTask
from radsynth.generators.ddpm import DDPM
from radsynth.generators.denoising import DenoisingTask, Pixels
from radsynth.generators.growth import Growth
from radsynth.generators.progressive import build_critic, build_generator
from radsynth.generators.unet import build_scheduler, build_unet
from radsynth.learning.devices import choose_plan
from radsynth.learning.loop import batch_indices
from radsynth.learning.team import Accelerated

# Largest difference of two sets of trained weights, as a share of what training has changed (norms). Rounding turns
# some of Adam's first updates around, those of gradients near 0; other data or noise change about everything (1).
WEIGHTS = 0.05
# Largest difference of a loss from that in float32, as a share of it. bf16 keeps 8 bits of each number.
LOSSES = 0.05
# How accelerate knows the one process of a team of one.
TEAM_OF_ONE = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
TEAM_OF_ONE |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}


def _flat(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().double().cpu() for parameter in parameters])


def _weights(a: torch.Tensor, b: torch.Tensor, before: torch.Tensor) -> dict[str, Any]:
    """Return how far apart two sets of trained weights (n,) are that were the same ``before``."""
    change, largest = (a - before).norm(), (a - b).abs().max()
    share = float((a - b).norm() / change) if change else math.nan
    known = {"difference_share": share, "largest_difference": float(largest)}
    known = {name: number if math.isfinite(number) else None for name, number in known.items()}
    passed = known["difference_share"] is not None and share <= WEIGHTS
    return {**known, "change": float(change), "tolerance_share": WEIGHTS, "passed": passed}


def cuda_graphs(options: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Compare PGGAN steps with CUDA graphs and without, from the same weights and seeds.

    ``options`` are those of a PGGAN; it grows from the first resolution to the next one and stays there a while, each
    stage being long enough for graphs to be captured and replayed. ``size`` is that of the images, in px. Without a
    GPU both sides are eager, which proves nothing: ``passed`` is null, with the reason.
    """
    stage, batch = 2 * (WARM_UP + 1), options["batch_size"]
    options = {**options, **dict.fromkeys(("start_images", "fade_images", "stabilize_images"), stage * batch)}
    growth, plan = Growth.plan(options, size, size), choose_plan("fp32")
    reals = np.random.default_rng(0).integers(0, 256, (64, size, size), dtype=np.uint8)
    ends, captured = [], []
    for graphs in (True, False):
        torch.manual_seed(0)
        networks = build_generator(options, growth.last), build_critic(options, growth.last)
        before = _flat([weight for network in networks for weight in network.parameters()])
        task = AdversarialTask(*networks, reals, growth, {**options, "cuda_graphs": graphs}, plan)
        for step in range(3 * stage):
            torch.manual_seed(step)
            task.step(step, batch_indices(step, len(reals), batch, seed=0))
        ends.append(_flat([weight for network in networks for weight in network.parameters()]))
        captured.append(task.graph is not None)
    found = {"steps": 3 * stage, "cuda_graph": captured[0], **_weights(*ends, before)}
    if not plan.fast:
        return {**found, "passed": None, "reason": "needs a GPU: both sides took eager steps"}
    if not captured[0]:
        return {**found, "passed": False, "reason": "no CUDA graph was captured"}
    return found


def data_parallel(options: Mapping[str, Any], images: np.ndarray, folder: Path) -> dict[str, Any]:
    """Compare a DDPM trained by a team of one process, under accelerate, with one trained as usual.

    ``images`` are uint8 (n, height, width); states and logs go below ``folder``.
    """
    options = {**options, "precision": "fp32", "compile": False}
    data = ImageSet(images[..., None], [{"label": "x"}] * len(images))
    alone, together = DDPM(options), DDPM(options)
    alone.fit(data, folder / "alone", 0)
    with patch.dict(os.environ, TEAM_OF_ONE):
        together.team = Accelerated()
        together.fit(data, folder / "together", 0)
        together.team.leave()
    # The first step of a warm-up has a learning rate of 0.
    untrained = DDPM({**options, "steps": 1, "warmup_steps": 1})
    untrained.fit(data, folder / "untrained", 0)
    weights = [_flat(list(model.unet.parameters())) for model in (alone, together, untrained)]
    return {
        "steps": options["steps"],
        "distributed": str(together.team.accelerator.distributed_type),
        **_weights(*weights),
    }


def losses(options: Mapping[str, Any], images: np.ndarray, steps: int) -> dict[str, Any]:
    """Compare the losses of a DDPM's first ``steps`` steps in fp16 and bf16 with those in fp32.

    All from the same weights, on the same images (uint8, (n, height, width)), noise and timesteps. A CPU computes fp16
    in fp32, which proves nothing: its result is null, with the reason.
    """
    found: dict[str, list[float]] = {}
    for precision in ("fp32", "fp16", "bf16"):
        torch.manual_seed(0)
        plan = choose_plan(precision, compile=False)
        unet, supply = build_unet(options, *images.shape[1:], options["channels"]), Pixels(images, None, options, plan)
        task = DenoisingTask(unet, build_scheduler(options), supply, options, steps, plan)
        found[precision] = []
        for step in range(steps):
            torch.manual_seed(step)
            measured, finite = task.step(step, batch_indices(step, len(images), options["batch_size"], seed=0))
            found[precision].append(measured["loss"][0].item() if finite else math.nan)
    result: dict[str, Any] = {"steps": steps, "tolerance": LOSSES, "passed": True}
    for precision in ("fp16", "bf16"):
        # The scaler of fp16 starts high and leaves out the first steps, until their gradients fit.
        pairs = [(a, b) for a, b in zip(found[precision], found["fp32"], strict=True) if math.isfinite(a)]
        differences = [abs(a - b) / b for a, b in pairs]
        result[f"{precision}_difference"] = max(differences, default=None)
        result[f"{precision}_steps"] = len(pairs)
        result["passed"] &= bool(differences) and max(differences) <= LOSSES
    if not plan.fast:
        result |= {"fp16_difference": None, "fp16_reason": "needs a GPU: a CPU computes fp16 in fp32"}
    known = {name: [value if math.isfinite(value) else None for value in values] for name, values in found.items()}
    return {**result, "losses": known}
