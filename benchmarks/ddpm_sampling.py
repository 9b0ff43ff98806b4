"""Pool time and quality of DPM-Solver++ against ancestral sampling with the same trained DDPM.

KID (features by PCA of pixels, unbiased) of both to the real images, and the difference with a bootstrap interval over
the generated images.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from alternating import in_turn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.common.sets import ImageSet
from radsynth.features.pixels import Pixels
from radsynth.generators.ddpm import DDPM
from radsynth.quality import kernel


def draw(model: DDPM, count: int, sampler: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    """Return images uint8 (count, height, width) and the seconds per image, after one batch that warms up."""
    list(model.sample(range(min(count, sampler["batch_size"])), 1, sampler={**sampler, "steps": 2}))
    began = time.perf_counter()
    images = np.concatenate([batch.images[..., 0] for batch in model.sample(range(count), 2, sampler=sampler)])
    return images, (time.perf_counter() - began) / count


def untrained(options: Mapping[str, Any], size: int) -> DDPM:
    """Return a DDPM for images of ``size`` px that has learnt nothing: sampling takes as long as with a trained one."""
    model = DDPM(options)
    image = ImageSet(np.zeros((1, size, size, 1), np.uint8), [{"label": ""}])
    model.begin(image, 1, model.plan(training=False))
    return model


def measure_times(
    model: DDPM,
    *,
    batch: int,
    steps: int,
    ancestral_steps: int,
    measured_steps: int,
    repeats: int,
    deadline: float = math.inf,
) -> dict[str, Any]:
    """Return what ``in_turn`` does of the seconds per image of ``dpm_solver++`` and ``ancestral``, in one batch.

    Ancestral sampling is measured on ``measured_steps`` steps and counted as ``ancestral_steps``: each costs the same.
    """
    counted = {"dpm_solver++": (steps, 1.0), "ancestral": (measured_steps, ancestral_steps / measured_steps)}

    def seconds(name: str) -> float:
        taken, factor = counted[name]
        return draw(model, batch, {"name": name, "steps": taken, "batch_size": batch})[1] * factor

    found = in_turn({name: lambda name=name: seconds(name) for name in counted}, repeats, deadline)
    facts = {"batch": batch, "steps": {"dpm_solver++": steps, "ancestral": ancestral_steps}}
    note = f"ancestral: measured on {measured_steps} steps, counted as {ancestral_steps}"
    return {**facts, "ancestral_steps_measured": measured_steps, "note": note, **found}


def kid_difference(real: np.ndarray, a: np.ndarray, b: np.ndarray, draws: int) -> dict[str, Any]:
    """Return by how much the KID of ``a`` to ``real`` exceeds that of ``b``, and its 95 % interval ``low``, ``high``.

    All are features (n, d). The interval is over the generated images of both sets.
    """
    reference = kernel.statistics(real)

    def kid(features: np.ndarray) -> float:
        return kernel.value(kernel.statistics(features), reference)

    rng, value = np.random.default_rng(0), kid(a) - kid(b)
    # The spread of a half sample is about that of the whole one: half of n, without replacement (half-sampling), since
    # an image drawn twice would bias the unbiased estimate.
    halves = (
        [features[rng.permutation(len(features))[: len(features) // 2]] for features in (a, b)] for _ in range(draws)
    )
    shifts = np.array([kid(half_a) - kid(half_b) for half_a, half_b in halves])
    low, high = np.quantile(shifts - shifts.mean(), [0.025, 0.975]) + value
    return {"value": value, "low": float(low), "high": float(high)}


def main() -> None:
    """Print both samplers' times and KIDs, and on the last line the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model directory of a trained DDPM")
    parser.add_argument("data", type=Path, help="data folder of the study, with manifest.csv and images/")
    parser.add_argument("label", help="class that the model makes")
    parser.add_argument("--count", type=int, default=200, help="images per sampler")
    parser.add_argument("--steps", type=int, default=25, help="of DPM-Solver++")
    parser.add_argument("--ancestral-steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    arguments = parser.parse_args()
    model = DDPM.load(arguments.model)
    real = ImageSet.from_manifest(arguments.data / "manifest.csv", arguments.data, [arguments.label]).gray()
    extractor = Pixels()
    extractor.fit(real)
    real_features = extractor.extract(real).astype(float)
    features, seconds = {}, {}
    for name, steps in (("dpm_solver++", arguments.steps), ("ancestral", arguments.ancestral_steps)):
        sampler = {"name": name, "steps": steps, "batch_size": arguments.batch}
        images, seconds[name] = draw(model, arguments.count, sampler)
        features[name] = extractor.extract(images).astype(float)
    reference = kernel.statistics(real_features)
    values = {name: kernel.value(kernel.statistics(found), reference) for name, found in features.items()}
    difference = kid_difference(real_features, features["dpm_solver++"], features["ancestral"], arguments.draws)
    ratio = seconds["ancestral"] / seconds["dpm_solver++"]
    print("| sampler | s / image | KID |")
    for name in seconds:
        print(f"| {name} | {seconds[name]:.4f} | {values[name]:.5f} |")
    print(f"time ratio {ratio:.1f}; KID difference 95 % interval {difference['low']:+.5f} to {difference['high']:+.5f}")
    found = {"seconds_per_image": seconds, "kid": values, "ratio": ratio, "kid_difference": difference}
    print(json.dumps({"label": arguments.label, "count": arguments.count, **found}))


if __name__ == "__main__":
    main()
