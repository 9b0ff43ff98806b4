"""What the trainings of a configuration cost, by what a step costs: to give generators steps of equal cost.

Seconds of processor time, which other work on the machine changes little. Prints a table and, on the last line, JSON.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from latent_diffusion import steps_of, untrained

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.common.registry import find
from radsynth.common.sets import ImageSet
from radsynth.generators.autoencoding import AutoencodingTask, edge_difference
from radsynth.generators.denoiser import Denoiser
from radsynth.generators.growth import Growth, size_of
from radsynth.generators.latent_diffusion import LatentDiffusion, autoencoder_stage
from radsynth.learning.loop import batch_indices
from radsynth.study.config import Study

Stage = tuple[str, Callable[[], None], int]


def stages(study: Study, name: str, data: ImageSet) -> Iterator[Stage]:
    """Yield the stages of a generator's training: a name, a function that takes a step, how many steps there are."""
    generator = study["generators"][name]
    family, options = find("families", generator["family"], "family").load(), generator["options"]
    size, n = study["image_size"], len(data)
    steps = family.steps(options, size, n)[1]
    if family is LatentDiffusion:
        stage = autoencoder_stage(options)
        model = untrained(options, data)
        task = AutoencodingTask(model.vae, data.images, stage, stage["steps"], model.plan(True), edge_difference)
        yield "autoencoder", steps_of(task, n, stage["batch_size"]), stage["steps"]
        yield "diffusion", steps_of(model.begin(data, steps, model.plan(True)), n, options["batch_size"]), steps
    elif issubclass(family, Denoiser):
        model = family(options)
        yield "diffusion", steps_of(model.begin(data, steps, model.plan(True)), n, options["batch_size"]), steps
    else:
        growth, model = Growth.plan(options, size, size), family(options)
        task = model.begin(data, steps, model.plan(True))
        for level in range(growth.first, growth.last + 1):
            number, after = growth.first_step(level), min(growth.first_step(level + 1), steps)
            indices = batch_indices(number, n, options["batch_size"], seed=0)
            yield f"{size_of(level)} px", lambda number=number, i=indices: task.step(number, i), after - number


def seconds_per_step(step: Callable[[], Any], steps: int, repeats: int) -> float:
    """Return the median processor seconds of a step, over repeats of some."""
    step()
    measured = []
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(steps):
            step()
        measured.append((time.process_time() - began) / steps)
    return statistics.median(measured)


def main() -> None:
    """Measure every generator of a configuration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--steps", type=int, default=5, help="steps per measurement")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    study = Study(yaml.safe_load(args.config.read_text(encoding="utf-8")))
    size, found = study["image_size"], []
    pixels = np.random.default_rng(0).integers(0, 256, (args.images, size, size, 1), dtype=np.uint8)
    print("| generator | models | stage | seconds per step | steps | seconds of all models |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    for name in study["generators"]:
        units = study.units(name)
        labels = study.unit_labels(units[0])
        data = ImageSet(pixels, [{"label": labels[i % len(labels)]} for i in range(args.images)])
        for stage, step, count in stages(study, name, data):
            cost = seconds_per_step(step, args.steps, args.repeats)
            row = {"generator": name, "models": len(units), "stage": stage, "seconds_per_step": round(cost, 4)}
            row |= {"steps": count, "seconds": round(cost * count * len(units))}
            print("|", " | ".join(map(str, row.values())), "|", flush=True)
            found.append(row)
    print(json.dumps({"config": args.config.name, "image_size": size, "rows": found}))


if __name__ == "__main__":
    main()
