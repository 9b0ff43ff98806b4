"""Time and peak memory of every stage but the training of networks, by the number of images per class.

Each stage runs in a process of its own on made-up data: n originals of a class, of which 4/5 are the training cohort
and 1/5 held out, a pool of n synthetic images, 2,048 features of each, images of 128 px.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

SIZE, DIM, DRAWS, LABELS = 128, 2048, 10, 5


def images(n: int, seed: int) -> np.ndarray:
    """Return smooth random images with noise, uint8 (n, SIZE, SIZE)."""
    rng = np.random.default_rng(seed)
    made = np.empty((n, SIZE, SIZE), np.uint8)
    for image in made:
        coarse = rng.random((9, 9), np.float32)
        fine = np.kron(coarse, np.ones((16, 16), np.float32))[:SIZE, :SIZE]
        image[:] = 200 * fine + 55 * rng.random((SIZE, SIZE), np.float32)
    return made


def features(n: int, seed: int) -> np.ndarray:
    """Return features of falling spectrum, float64 (n, DIM)."""
    rng = np.random.default_rng(seed)
    made = rng.standard_normal((n, DIM), np.float32)
    made *= np.linspace(1, 0.1, DIM, dtype=np.float32)
    return np.abs(made).astype(np.float64)


def table(n: int) -> pd.DataFrame:
    """Return the columns of a manifest that the stages read, two images per patient."""
    names = [f"i{index:06d}" for index in range(n)]
    patients = [f"p{index // 2:06d}" for index in range(n)]
    known = {"image_id": names, "file": names, "patient_id": patients, "sha256": names}
    return pd.DataFrame(known | {"near_duplicate_group": "", "label": "A"})


def references(n: int) -> dict[str, pd.DataFrame]:
    """Return the reference sets of a class of n originals."""
    everything = table(n)
    cohort = 2 * (2 * n // 5)
    return {"all": everything, "train": everything[:cohort], "held_out": everything[cohort:]}


def feature_set(n: int, seed: int) -> "object":
    """Return n images' features as the stages read them from a file."""
    from radsynth.common.features import FeatureSet

    return FeatureSet(Path("features.npz"), features(n, seed), list(table(n)["image_id"]), {"name": "x"}, {})


def near_duplicates(n: int) -> Callable[[], object]:
    """Search two classes for near duplicates."""
    from radsynth.data.duplicates import near_duplicate_pairs, thumbnail

    thumbnails = np.stack([thumbnail(image) for image in images(2 * n, 1)])
    return lambda: near_duplicate_pairs(thumbnails, [f"p{i}" for i in range(2 * n)])


def cohort_order(n: int) -> Callable[[], object]:
    """Draw a tenth of a class by k-center greedy."""
    from radsynth.cohorts.orders import farthest_first

    points = features(n, 1).astype(np.float32)
    return lambda: farthest_first(points, 0, limit=n // 10)


def pixel_features(n: int) -> Callable[[], object]:
    """Fit and extract principal components of the pixels of a class."""
    from radsynth.features.pixels import Pixels

    stack = images(n, 1)

    def stage() -> None:
        extractor = Pixels()
        extractor.fit(stack)
        extractor.extract(stack)

    return stage


def controls_of_features(n: int) -> Callable[[], object]:
    """Controls of one extractor: reals against reals, held-out images against training images."""
    from radsynth.quality.controls import of_features

    real, known = feature_set(n, 1), references(n)
    return lambda: of_features(real, known, n, DRAWS, 0)


def controls_of_images(n: int) -> Callable[[], object]:
    """Controls of what is measured on images: views, hashes, similarities, planted copies."""
    from radsynth.quality.controls import of_images

    stack, count = images(n, 1), len(references(n)["train"])
    held_out = stack[count:]
    first = np.arange(len(held_out)) < len(held_out) // 2
    return lambda: of_images(stack[:count], held_out, np.arange(len(held_out)), first, 0)


def quality_of_features(n: int) -> Callable[[], object]:
    """One pool by one extractor, against all originals, the training images and those held out."""
    from radsynth.quality import catalogue
    from radsynth.quality.controls import keep, kept_of, sample_of
    from radsynth.quality.copies import Among
    from radsynth.quality.feature_sets import halves
    from radsynth.quality.metric import OfCopies, OfSets, measured
    from radsynth.quality.neighbourhoods import Points
    from radsynth.quality.samples import Sample, meet

    real, known, candidate = feature_set(n, 1), references(n), Sample(features(n, 2), 1)
    kept = {}
    for reference, rows in known.items():
        kept |= keep(real, reference, sample_of(real, reference, rows, 0), n)

    def stage() -> None:
        for reference, rows in known.items():
            sample = sample_of(real, reference, rows, 0).restore(kept_of(real, reference, kept))
            meeting = meet(sample, candidate)
            measured(catalogue.of_kind(OfSets), lambda meeting=meeting: meeting)
            if reference == "train":
                held_out = Points(real.of(halves(known["held_out"])[0]["image_id"]))
                among = Among(meeting, held_out, {"dcr_tail": 1.0, "copy_rate": 0.5}, 0)
                measured(catalogue.of_kind(OfCopies), lambda among=among: among)

    return stage


def quality_of_images(n: int) -> Callable[[], object]:
    """One pool's images among the training images: views, hashes, similarities, exact copies."""
    from radsynth.quality import catalogue
    from radsynth.quality.image_copies import Images
    from radsynth.quality.metric import OfImages, measured

    pool, training = images(n, 2), images(len(references(n)["train"]), 1)

    thresholds = {"view_copy_rate": 0.5, "hash_copy_rate": 4.0}
    return lambda: measured(catalogue.of_kind(OfImages), lambda: Images(pool, training, thresholds))


def preview(n: int) -> Callable[[], object]:
    """The nearest training images of ten images of a preview."""
    from radsynth.common.nearest import nearest_by_pixels

    shown, training = images(10, 2), images(n, 1)
    return lambda: nearest_by_pixels(shown, training)


def pool_writing(n: int) -> Callable[[], object]:
    """Write a pool of images that cost nothing to make, its manifest, duplicates and grid."""
    from radsynth.common.sets import Batch
    from radsynth.generators.base import Generator
    from radsynth.pools.grid import write_grid
    from radsynth.pools.kind import Given
    from radsynth.pools.sampled import Sampled
    from radsynth.pools.writing import count_duplicates, write_pool

    class Ready(Generator):
        def sample(self, indices, seed, conditions=None, sampler=None):  # noqa: ANN001, ANN202
            for start in range(0, len(indices), 100):
                chosen = indices[start : start + 100]
                yield Batch(chosen, stack[[i % len(stack) for i in chosen], ..., None])

    stack = images(min(n, 500), 1)

    def stage() -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pool = folder / "images", folder / "m.csv"
            given = Given({"generator": "ready"}, models={"ready": Ready({})}, samplers={"ready": {}}, hash="x")
            write_pool(Sampled(), given, *pool, label="A", size=n, seed=1, threads=2)
            files = list(pd.read_csv(folder / "m.csv")["file"])
            count_duplicates(folder, files)
            write_grid(folder / "grid.png", folder, files, "A", 1)

    return stage


def frozen_features(n: int) -> Callable[[], object]:
    """Keep what a frozen ResNet50 makes of images at 224 px (the network itself left out)."""
    from radsynth.tasks.frozen import compute_features

    class Base:
        output_shape = (None, 7 * 7 * 2048)

        def predict_on_batch(self, batch: np.ndarray) -> np.ndarray:
            return np.ones((len(batch), 7 * 7 * 2048), np.float32)

    stack = images(min(n, 500), 1)

    def stage() -> None:
        kept = compute_features(Base(), np.broadcast_to(stack[:1], (n, SIZE, SIZE)), 64)
        order = np.random.default_rng(0).permutation(n)
        for start in range(0, n, 64):
            kept[order[start : start + 64]].sum()

    return stage


def classifier_statistics(n: int) -> Callable[[], object]:
    """All metrics of one arm's predictions of n test images of each of five labels, left out patient by patient."""
    from radsynth.tasks.resampling import resampled_metrics

    rng = np.random.default_rng(0)
    total = LABELS * n
    true, scores = np.arange(total) % LABELS, rng.dirichlet(np.ones(LABELS), total)
    units = rng.integers(0, 500, total)
    counts = (1 - np.eye(500)).astype(np.float32)
    return lambda: resampled_metrics(true, scores.argmax(axis=1), scores, LABELS - 1, units, counts, 0.5)


STAGES = {
    stage.__name__: stage
    for stage in (
        near_duplicates,
        cohort_order,
        pixel_features,
        controls_of_features,
        controls_of_images,
        quality_of_features,
        quality_of_images,
        preview,
        pool_writing,
        frozen_features,
        classifier_statistics,
    )
}


def own_memory() -> float:
    """Return the memory of this process, MB, without what lies in files and can be given back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def measured(name: str, n: int, limit: float | None, results: multiprocessing.Queue) -> None:
    """Put wall time, processor time (s) and peak memory (MB), also of what was prepared, of one stage into a queue.

    A stage that has not ended after ``limit`` seconds is left, and the row says so.
    """
    stage = STAGES[name](n)
    before = peak = own_memory()
    began, cpu = time.perf_counter(), time.process_time()
    threading.excepthook = lambda failure: (sys.__excepthook__(*failure[:3]), os._exit(1))
    worker = threading.Thread(target=stage, daemon=True)
    worker.start()
    while worker.is_alive() and (limit is None or time.perf_counter() - began < limit):
        worker.join(0.02)
        peak = max(peak, own_memory())
    found = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    memory = {"prepared_mb": before, "peak_mb": peak}
    results.put({"stage": name, "images": n, "ended": not worker.is_alive(), **found, **memory})
    results.close()
    results.join_thread()
    os._exit(0)


def main() -> None:
    """Print a line per stage and size and, on the last line, the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 20000], help="per class")
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="end a stage after so long and say what it took")
    arguments = parser.parse_args()
    context, rows = multiprocessing.get_context("spawn"), []
    for n in arguments.images:
        for name in arguments.stages:
            results = context.Queue()
            process = context.Process(target=measured, args=(name, n, arguments.limit, results))
            process.start()
            process.join()
            row = results.get() if process.exitcode == 0 else {"stage": name, "images": n, "failed": process.exitcode}
            rows.append(row)
            numbers = [f"{key} {value:.1f}" for key, value in row.items() if isinstance(value, float)]
            ended = "" if row.get("ended") else "  not ended"
            print(f"{name:24} {n:7d}  {'  '.join(numbers) or 'failed'}{ended}", flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
