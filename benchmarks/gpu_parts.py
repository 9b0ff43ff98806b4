"""What only a GPU can show, in parts that end within minutes, go on where they were, and write one JSON each.

ratios: our steps, samplers and features against the peers'. latent: what latent diffusion costs at 256 px. train LABEL:
the paper's DDPM, as far as the time allows. pool LABEL: images of that model, their distance to the real ones and the
copies among them. check: what must be equal.
"""

import argparse
import logging
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.common.code import LIBRARY, code_hash
from radsynth.common.errors import UserError
from radsynth.common.files import read_json, write_json
from radsynth.common.hashing import sha256_json, sha256_pixels
from radsynth.common.seeds import derive_seed
from radsynth.common.sets import Batch, Conditions, ImageSet
from radsynth.data.convert import Geometry, to_gray
from radsynth.data.kaggle import KagglePneumonia
from radsynth.data.phantom import render
from radsynth.data.source import RawRecord
from radsynth.generators.ddpm import DDPM
from radsynth.generators.growth import Growth, size_of
from radsynth.generators.options import resolve_options

if TYPE_CHECKING:
    from radsynth.generators.ddpm import DDPM

log = logging.getLogger("gpu_parts")

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = (
    *("alternating", "ddpm_training", "pggan_step", "ddpm_sampling", "inception_features", "gpu_checks"),
    "latent_diffusion",
)
PACKAGES = ("diffusers", "accelerate", "denoising-diffusion-pytorch", "ema-pytorch", "pytorch-fid")
SEED = 2025
# What writing the state of a training takes, at most.
SAVING_SECONDS = 25
# Of an unfinished pool by ancestral sampling, images that are worth measuring.
FEWEST = 20


@dataclass(frozen=True)
class Sizes:
    """How much is computed. Families are a preset and what differs from it; sizes are in px."""

    ddpm: tuple[str, dict[str, Any]]
    pggan: tuple[str, dict[str, Any]]
    latent: tuple[str, dict[str, Any]]
    latent_size: int
    size: int
    images: int
    held_out: int
    warmup: int
    steps: int
    repeats: int
    batch: int
    solver_steps: int
    ancestral_steps: int
    ancestral_measured: int
    inception_images: int
    inception_batch: int
    pool: int
    ancestral_pool: int
    draws: int


FULL = Sizes(
    ddpm=("paper", {}),
    # The plain loop changes no images.
    pggan=("paper", {"augment_probability": 0}),
    # The pixel DDPM beside it has as wide a U-Net and takes batches of the same size.
    latent=("default", {"batch_size": 16, "attention_levels": [], "likeness": "edges"}),
    latent_size=256,
    size=128,
    images=200,
    held_out=400,
    warmup=10,
    steps=50,
    repeats=3,
    batch=100,
    solver_steps=25,
    ancestral_steps=1000,
    ancestral_measured=50,
    inception_images=2000,
    inception_batch=50,
    pool=2000,
    ancestral_pool=200,
    draws=1000,
)
TINY = Sizes(
    # Lucidrains' Trainer asks for 100 images and batches of 16.
    ddpm=(
        "cpu",
        {"block_out_channels": [8, 8], "timesteps": 40, "batch_size": 16, "steps": 24, "previews": 1, "log_every": 2},
    ),
    pggan=("cpu", {"widths": [8, 8, 8], "latent_size": 8, "augment_probability": 0}),
    latent=("cpu", {"block_out_channels": [8, 8], "autoencoder_channels": [8, 8], "batch_size": 4, "copies": 2}),
    latent_size=16,
    size=16,
    images=100,
    held_out=40,
    warmup=1,
    steps=1,
    repeats=2,
    batch=4,
    solver_steps=4,
    ancestral_steps=40,
    ancestral_measured=4,
    inception_images=2,
    inception_batch=2,
    pool=24,
    ancestral_pool=20,
    draws=20,
)


class Report:
    """The JSON of a part, written after every measurement.

    What an earlier call measured completely is kept if all ``facts`` but those ``OF_THE_CALL`` are still the same.
    """

    OF_THE_CALL = ("command", "date", "commit")

    def __init__(self, path: Path, facts: Mapping[str, Any], deadline: float):
        self.path, self.deadline = path, deadline
        self.content: dict[str, Any] = {**facts, "results": {}}
        earlier = read_json(path) if path.is_file() else {}
        if all(earlier.get(name) == value for name, value in facts.items() if name not in self.OF_THE_CALL):
            done = {name: found for name, found in earlier["results"].items() if found["complete"]}
            self.content["results"] = done

    def measure(self, name: str, function: Callable[[], dict[str, Any]], always: bool = False) -> None:
        """Add what ``function`` returns, or the reason why there is nothing.

        It is called unless its result is there or the time is up; ``always`` if it sees to both itself.
        """
        results = self.content["results"]
        if name in results and not always:
            log.info("%s: measured before", name)
            return
        began = time.monotonic()
        if began > self.deadline and not always:
            found: dict[str, Any] = {"complete": False, "reason": "the time was up: call the part again"}
        else:
            log.info("%s ...", name)
            try:
                found = {"complete": True, **function()}
            except Exception as error:  # one that fails must not take the others along
                if not isinstance(error, UserError):
                    log.exception("%s failed", name)
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
                found = {"complete": False, "failed": True, "reason": reason}
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        results[name] = {**found, "date": stamp, "took_seconds": round(time.monotonic() - began, 1)}
        log.info("%s: %s", name, found.get("reason") or f"{time.monotonic() - began:.0f} s")
        write_json(self.path, self.content)

    def failed(self) -> bool:
        """Return whether a measurement raised an error or a check did not pass."""
        return any(found.get("failed") or found.get("passed") is False for found in self.content["results"].values())


def facts_of(arguments: argparse.Namespace, command: Sequence[str]) -> dict[str, Any]:
    """Return what a JSON says of how, when and where it was made."""
    import torch

    try:
        command_line = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
        commit = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        commit = ""
    return {
        "part": arguments.part,
        "label": arguments.label,
        "dry_run": arguments.dry_run,
        "command": shlex.join(["benchmarks/gpu_run.sh", *command]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or None,
        "code": sha256_json([code_hash(Path(__file__).with_name(f"{name}.py")) for name in ("gpu_parts", *BENCHMARKS)])[
            :16
        ],
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "packages": {name: installed(name) for name in PACKAGES},
    }


def installed(package: str) -> str | None:
    """Return the version of an installed package, None without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Images:
    """Images to learn from, others held out (uint8 (n, size, size)) with a row each, and where they are from."""

    train: ImageSet
    held_out: np.ndarray
    rows: pd.DataFrame
    source: str


def read_images(raw: Path, label: str, sizes: Sizes) -> Images:
    """Return ``sizes.images`` of the images of a label in ``raw``, and up to ``sizes.held_out`` of other patients.

    ``raw`` is laid out like Kermany's set (train/ and test/ with a folder per label). Where there is no such folder,
    procedural phantoms take their place, each its own patient. UserError if there are too few.
    """
    count = sizes.images
    if raw.is_dir():
        source = "kaggle_pneumonia"
        records = KagglePneumonia({"path": str(raw), "source": source}, [label]).records(sizes.size, SEED)
        if len(records) < count:
            raise UserError(f"{raw}: {len(records)} images of {label}, expected at least {count}")
        order = np.random.default_rng(derive_seed(SEED, "images", label)).permutation(len(records))
        train, rest = ([records[i] for i in part] for part in (order[:count], order[count:]))
        known = {record.patient_id for record in train} - {""}
        others = [record for record in rest if record.patient_id not in known][: sizes.held_out]
        patients = [record.patient_id for record in others]
        pixels = [_prepared(record, sizes.size) for record in (*train, *others)]
    else:
        source = "phantoms"
        seeds = [derive_seed(SEED, "phantom", label, i) for i in range(count + sizes.held_out)]
        pixels = [render(seed, seed, sizes.size, label != "NORMAL")[0] for seed in seeds]
        patients = [str(seed) for seed in seeds[count:]]
    images = np.stack(pixels)
    held_out = images[count:]
    rows = pd.DataFrame(
        {
            "image_id": [str(i) for i in range(len(held_out))],
            "patient_id": patients,
            "near_duplicate_group": "",
            "sha256": [sha256_pixels(image) for image in held_out],
        }
    )
    return Images(ImageSet(images[:count, ..., None], [{"label": label}] * count), held_out, rows, source)


def _prepared(record: RawRecord, size: int) -> np.ndarray:
    gray, _ = to_gray(record.load().image)
    return np.asarray(Geometry(*gray.size, size, "squash").of_image(gray, Image.Resampling.LANCZOS))


def folder_of_training(state: Path, label: str, options: Mapping[str, Any], data: ImageSet) -> Path:
    """Return where a training's state and model lie: another place for other options, images or code."""
    key = sha256_json([options, data.sha256, code_hash(LIBRARY / "generators/ddpm.py")])
    return state / f"{label}_{key[:12]}"


def steps_done(run_dir: Path) -> int:
    """Return the steps of the newest state of an unfinished training below ``run_dir``; 0 without one."""
    return max((int(state.name.removeprefix("step_")) for state in run_dir.glob("state/step_*")), default=0)


def is_trained(run_dir: Path) -> bool:
    """Return whether the training below ``run_dir`` has ended and written its model."""
    return (run_dir / "model" / "describe.json").is_file() and not (run_dir / "state").exists()


def ratios(report: Report, sizes: Sizes) -> None:
    """Measure our steps, samplers and features against the peers'."""
    deadline = report.deadline
    options = {family: resolve_options(family, *getattr(sizes, family)) for family in ("ddpm", "pggan")}

    def ddpm_step() -> dict[str, Any]:
        import ddpm_training

        counts = {name: getattr(sizes, name) for name in ("size", "images", "warmup", "steps", "repeats")}
        return ddpm_training.measure(options["ddpm"], **counts, deadline=deadline)

    def pggan_step(level: int) -> dict[str, Any]:
        import pggan_step
        from radsynth.learning.devices import choose_plan

        counts = {"steps": sizes.steps, "repeats": sizes.repeats}
        return pggan_step.measure(options["pggan"], choose_plan("fp32"), sizes.size, level, **counts, deadline=deadline)

    def ddpm_sampling() -> dict[str, Any]:
        import ddpm_sampling

        return ddpm_sampling.measure_times(
            ddpm_sampling.untrained(options["ddpm"], sizes.size),
            batch=sizes.batch,
            steps=sizes.solver_steps,
            ancestral_steps=sizes.ancestral_steps,
            measured_steps=sizes.ancestral_measured,
            repeats=sizes.repeats,
            deadline=deadline,
        )

    def inception_features() -> dict[str, Any]:
        import inception_features
        import torch
        from radsynth.features.network import choose_device

        device = choose_device(True, torch.get_num_threads())
        counts = sizes.inception_images, 2 * sizes.size, sizes.inception_batch
        return inception_features.measure_pytorch_fid(*counts, device, sizes.repeats, deadline)

    report.measure("ddpm_step", ddpm_step)
    growth = Growth.plan(options["pggan"], sizes.size, sizes.size)
    for level in range(growth.last, growth.first - 1, -1):
        report.measure(f"pggan_step_{size_of(level)}px", lambda level=level: pggan_step(level))
    report.measure("ddpm_sampling", ddpm_sampling)
    # The last one: on a GPU it turns TF32 off.
    report.measure("inception_features", inception_features)


def latent(report: Report, sizes: Sizes) -> None:
    """Measure what latent diffusion costs, and its step against one that encodes, and against the pixel DDPM's."""
    options = resolve_options("latent_diffusion", *sizes.latent)
    counts = {name: getattr(sizes, name) for name in ("images", "warmup", "steps")}

    def costs() -> dict[str, Any]:
        import latent_diffusion

        drawn = {"drawn": sizes.batch, "solver_steps": sizes.solver_steps}
        return latent_diffusion.costs(options, sizes.latent_size, **counts, **drawn)

    def step() -> dict[str, Any]:
        import latent_diffusion

        repeats = {"repeats": sizes.repeats, "deadline": report.deadline}
        return latent_diffusion.measure(options, sizes.latent_size, **counts, **repeats)

    report.measure("latent_costs", costs)
    report.measure("latent_step", step)


@contextmanager
def stopped_at(deadline: float) -> Iterator[None]:
    """Send this process SIGTERM again and again from ``deadline`` (of time.monotonic) on; only training minds it."""
    from radsynth.learning.loop import stop_signals

    over = threading.Event()

    def stop() -> None:
        wait = max(deadline - time.monotonic(), 0.0)
        while not over.wait(wait):
            os.kill(os.getpid(), signal.SIGTERM)
            wait = 0.1

    timer = threading.Thread(target=stop, daemon=True)
    with stop_signals():
        timer.start()
        try:
            yield
        finally:
            over.set()
            timer.join()


def train(report: Report, sizes: Sizes, images: Images, run_dir: Path) -> None:
    """Train the paper's DDPM on the images as far as the time allows."""
    options = resolve_options("ddpm", *sizes.ddpm)
    steps = DDPM.steps(options, sizes.size, len(images.train))[1]

    def training() -> dict[str, Any]:
        from radsynth.generators.training import train_generator
        from radsynth.learning.measured import read_metrics

        before = steps_done(run_dir)
        if not is_trained(run_dir):
            pictures = {name: run_dir / f"{name}.png" for name in ("training_png", "preview_png")}
            try:
                with stopped_at(report.deadline - (0 if report.content["dry_run"] else SAVING_SECONDS)):
                    train_generator("ddpm", options, images.train, model_dir=run_dir / "model", **pictures, seed=SEED)
            except SystemExit:
                log.info("stopped, the state is saved")
        finished = is_trained(run_dir)
        rows = read_metrics(run_dir / "progress" / "metrics.jsonl")
        done = steps if finished else steps_done(run_dir)
        speeds = [row["images_per_s"] for row in rows]
        return {
            "complete": finished,
            **({} if finished else {"reason": f"stopped at step {done} of {steps}: call the part again"}),
            "source": images.source,
            "images": len(images.train),
            "steps_before": before,
            "steps": done,
            "steps_of_all": steps,
            "images_per_s": float(np.median(speeds)) if speeds else None,
            "peak_memory_mb": max((row["peak_memory_mb"] for row in rows), default=None),
            # At most 100 rows.
            "metrics": rows[:: max(-(-len(rows) // 100), 1)],
            "options": options,
        }

    # The state tells what is left to do.
    report.measure("training", training, always=True)


class OutOfTimeError(Exception):
    """No time is left for another batch."""


class Timed:
    """A model that notes how long its batches take, and begins none that would end after ``deadline``."""

    def __init__(self, model: "DDPM", deadline: float):
        self.model, self.deadline = model, deadline
        self.seconds: list[float] = []
        self.counts: list[int] = []

    @property
    def device(self) -> str:
        return self.model.device

    def conditions(self, *arguments: Any) -> Conditions:
        """Return what the model asks of a pool."""
        return self.model.conditions(*arguments)

    def sample(self, *arguments: Any) -> Iterator[Batch]:
        """Yield the batches of the model's own ``sample``; OutOfTimeError in place of one that would end too late."""
        batches = self.model.sample(*arguments)
        while True:
            began = time.monotonic()
            if began + max(self.seconds, default=0.0) > self.deadline:
                raise OutOfTimeError
            batch = next(batches, None)
            if batch is None:
                return
            self.seconds.append(time.monotonic() - began)
            self.counts.append(len(batch.images))
            yield batch

    def seconds_per_image(self) -> float | None:
        """Return the mean time of an image, without the first batch, which warms up, if there are others."""
        first = 1 if len(self.seconds) > 1 else 0
        return sum(self.seconds[first:]) / sum(self.counts[first:]) if self.counts else None


def pool(report: Report, sizes: Sizes, images: Images, run_dir: Path, model_hash: str) -> None:
    """Draw from the finished model with two samplers, and measure what was drawn."""
    from ddpm_sampling import kid_difference
    from radsynth.common.features import read_image_set
    from radsynth.features.pixels import Pixels
    from radsynth.generators.ddpm import DDPM
    from radsynth.pools.kind import Given
    from radsynth.pools.sampled import Sampled
    from radsynth.pools.writing import write_pool
    from radsynth.quality import kernel
    from radsynth.quality.copies import COPY_RATE, NEAREST_COPY, Among
    from radsynth.quality.feature_sets import groups_of, halves
    from radsynth.quality.image_copies import (
        EXACT_COPY_RATE,
        HASH_COPY_RATE,
        VIEW_COPY_RATE,
        VIEW_NEAREST_COPY,
        Images,
    )
    from radsynth.quality.metric import Known, estimated, measured, thresholds_of
    from radsynth.quality.neighbourhoods import Points, encounter

    model, training = DDPM.load(run_dir / "model"), images.train.gray()
    extractor = Pixels()
    extractor.fit(np.concatenate([training, images.held_out]))
    calibrating = images.rows["image_id"].isin(halves(images.rows)[0]["image_id"]).to_numpy()
    samplers = {
        "dpm_solver++": (sizes.solver_steps, sizes.pool, sizes.pool),
        "ancestral": (sizes.ancestral_steps, sizes.ancestral_pool, FEWEST),
    }

    def features(pixels: np.ndarray) -> np.ndarray:
        return extractor.extract(pixels).astype(float)

    def kid(reference: np.ndarray, candidate: np.ndarray, rows: pd.DataFrame | None = None) -> dict[str, Any]:
        """Return the distance of the images ``candidate`` to ``reference``, of which ``rows`` tell the patients."""
        groups = None if rows is None else np.unique(groups_of(rows), return_inverse=True)[1]
        real = kernel.Resampled(features(reference), SEED, groups, sizes.draws)
        other = kernel.Resampled(features(candidate), SEED + 1, draws=sizes.draws)
        return estimated(lambda: kernel.estimates(real, other)["kid"])

    def copies(candidate: np.ndarray) -> Known:
        """Return the library's copy rates of images; one half of the held-out reals sets the thresholds."""
        train, calibration = Points(features(training)), Points(features(images.held_out[calibrating]))

        def among(candidates: Points, thresholds: dict[str, float | None]) -> Among:
            return Among(encounter(train, candidates), calibration, thresholds, SEED)

        of_features = COPY_RATE, NEAREST_COPY
        limits = thresholds_of(of_features, lambda: among(calibration, {}))
        found = measured(of_features, lambda: among(Points(features(candidate)), limits))
        of_images = VIEW_COPY_RATE, HASH_COPY_RATE, VIEW_NEAREST_COPY, EXACT_COPY_RATE
        limits = thresholds_of(of_images, lambda: Images(images.held_out[calibrating], training))
        return found | measured(of_images, lambda: Images(candidate, training, limits))

    def reals() -> dict[str, Any]:
        control = images.held_out[~calibrating]
        distance = kid(control, training, images.rows[~calibrating])
        return {"images": len(control), "kid_to_train": distance, "copies": copies(control)}

    def drawn(name: str) -> dict[str, Any]:
        steps, wanted, fewest = samplers[name]
        timed = Timed(model, report.deadline)
        folder = run_dir / "pools" / name
        sampler = {"name": name, "steps": steps, "batch_size": sizes.batch}
        entry = {"generator": "ddpm", "conditions": "fresh"}
        given = Given(entry, models={"ddpm": timed}, samplers={"ddpm": sampler}, hash=model_hash)
        recipe = {"label": report.content["label"], "seed": SEED, "threads": 4}

        def write(count: int) -> None:
            write_pool(Sampled(), given, folder / "images", folder / "manifest.csv", size=count, **recipe)

        count = wanted
        try:
            write(wanted)
        except OutOfTimeError:
            count = len(list((folder / ".images.partial").glob("*.png")))
            if count < fewest:
                return {"complete": False, "reason": f"{count} of {wanted} images: call the part again"}
            # What is there becomes the pool.
            write(count)
        pixels = read_image_set(folder / "manifest.csv")[1]
        return {
            "images": count,
            "images_wanted": wanted,
            "steps": steps,
            "seconds_per_image": timed.seconds_per_image(),
            "kid_to_train": kid(training, pixels),
            "kid_to_held_out": kid(images.held_out, pixels, images.rows),
            "copies": copies(pixels),
        }

    def difference() -> dict[str, Any]:
        pools = [features(read_image_set(run_dir / "pools" / name / "manifest.csv")[1]) for name in samplers]
        found = {"kid": kid_difference(features(training), *pools, sizes.draws)}
        seconds = [report.content["results"][name]["seconds_per_image"] for name in samplers]
        return found | {"ratio": seconds[1] / seconds[0] if all(seconds) else None}

    report.measure("held_out_reals", reals)
    for name in samplers:
        report.measure(name, lambda name=name: drawn(name))
    if all(report.content["results"][name]["complete"] for name in samplers):
        report.measure("difference", difference)


def check(report: Report, sizes: Sizes) -> None:
    """Check what must be equal."""
    import gpu_checks

    small = resolve_options("ddpm", "cpu", {"steps": 10, "previews": 0, "batch_size": 4})
    pixels = np.stack([render(seed, seed, sizes.size, False)[0] for seed in range(16)])
    options = resolve_options("pggan", *sizes.pggan)
    report.measure("cuda_graphs", lambda: gpu_checks.cuda_graphs(options, 2 * options["start_size"]))

    def data_parallel() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            return gpu_checks.data_parallel(small, pixels, Path(folder))

    report.measure("data_parallel", data_parallel)
    report.measure("losses", lambda: gpu_checks.losses(resolve_options("ddpm", *sizes.ddpm), pixels, steps=10))


def main(command: Sequence[str]) -> int:
    """Run one part; return 1 if something failed."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seconds", type=float, default=450, help="time for all of it, at most 450")
    common.add_argument("--dry-run", action="store_true", help="tiny networks and images, to try out every line")
    common.add_argument("--out", type=Path, default=ROOT / "results" / "gpu", help="folder of the JSON")
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    for name in ("ratios", "latent", "check", "train", "pool"):
        part = parts.add_parser(name, parents=[common])
        part.set_defaults(label=None)
        if name in ("train", "pool"):
            part.add_argument("label", nargs="?", default="NORMAL")
            part.add_argument("--state", type=Path, default=ROOT / "results" / "gpu" / "state")
            part.add_argument("--raw", type=Path, default=ROOT / "resources" / "raw" / "kaggle_pneumonia")
    arguments = parser.parse_args(command)
    deadline = time.monotonic() + arguments.seconds
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if arguments.part == "check":
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    sizes = TINY if arguments.dry_run else FULL
    facts = facts_of(arguments, command)
    path = arguments.out / ("_".join(filter(None, [arguments.part, arguments.label])) + ".json")
    try:
        if arguments.part in ("ratios", "latent", "check"):
            report = Report(path, facts, deadline)
            {"ratios": ratios, "latent": latent, "check": check}[arguments.part](report, sizes)
        else:
            images = read_images(arguments.raw, arguments.label, sizes)
            options = resolve_options("ddpm", *sizes.ddpm)
            run_dir = folder_of_training(arguments.state, arguments.label, options, images.train)
            if arguments.part == "train":
                report = Report(path, facts, deadline)
                train(report, sizes, images, run_dir)
            elif not is_trained(run_dir):
                raise UserError(f"{run_dir}: no finished model; run the part train {arguments.label} to its end first")
            else:
                from radsynth.common.models import model_hash

                found = model_hash(run_dir / "model")
                report = Report(path, {**facts, "source": images.source, "model": found}, deadline)
                pool(report, sizes, images, run_dir, found)
    except UserError as error:
        log.error("%s", error)
        return 1
    log.info("%s", path)
    return int(report.failed())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
