"""Pool time and quality of DPM-Solver++ against ancestral sampling with the same trained DDPM.

KID (features by PCA of pixels, unbiased) of both to the real images, and the difference with a bootstrap interval over
the generated images.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.features.pixels import Pixels
from radsynth.generators.base import TrainingSet
from radsynth.generators.ddpm import DDPM
from radsynth.quality import kernel


def draw(model: DDPM, count: int, sampler: dict) -> tuple[np.ndarray, float]:
    """Return images uint8 (count, height, width) and the seconds per image, after one batch that warms up."""
    list(model.sample(range(min(count, sampler["batch_size"])), 1, sampler=sampler | {"steps": 2}))
    began = time.perf_counter()
    images = np.concatenate([batch.images for batch in model.sample(range(count), 2, sampler=sampler)])
    return images, (time.perf_counter() - began) / count


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
    real = TrainingSet.from_manifest(arguments.data / "manifest.csv", arguments.data, [arguments.label]).images
    extractor = Pixels()
    extractor.fit(real)
    features = {"real": extractor.extract(real).astype(float)}
    seconds = {}
    for name, steps in (("dpm_solver++", arguments.steps), ("ancestral", arguments.ancestral_steps)):
        sampler = {"name": name, "steps": steps, "batch_size": arguments.batch}
        images, seconds[name] = draw(model, arguments.count, sampler)
        features[name] = extractor.extract(images).astype(float)
    reference = kernel.statistics(features["real"])

    def kid(name: str, chosen: np.ndarray) -> float:
        return kernel.value(kernel.statistics(features[name][chosen]), reference)

    everything = np.arange(arguments.count)
    values = {name: kid(name, everything) for name in seconds}
    rng = np.random.default_rng(0)
    shifts = []
    for _ in range(arguments.draws):
        # Without replacement: an image drawn twice would bias the unbiased estimate.
        half = rng.permutation(arguments.count)[: arguments.count // 2]
        shifts.append(kid("dpm_solver++", half) - kid("ancestral", half))
    # The spread of a half sample is about that of the whole one: half of n, without replacement (half-sampling).
    low, high = np.quantile(shifts - np.mean(shifts), [0.025, 0.975]) + values["dpm_solver++"] - values["ancestral"]
    ratio = seconds["ancestral"] / seconds["dpm_solver++"]
    print("| sampler | s / image | KID |")
    for name in seconds:
        print(f"| {name} | {seconds[name]:.4f} | {values[name]:.5f} |")
    print(f"time ratio {ratio:.1f}; KID difference 95 % interval {low:+.5f} to {high:+.5f}")
    found = {"seconds_per_image": seconds, "kid": values, "ratio": ratio, "difference_interval": [low, high]}
    print(json.dumps({"label": arguments.label, "count": arguments.count, **found}))


if __name__ == "__main__":
    main()
