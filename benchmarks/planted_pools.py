"""What is said of pools that hold nothing new: copies of the training images, with faint noise, and mirrored.

The library's own line: preparing, assembling, training, evaluating, comparing and the verdict.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.common.files import write_text
from radsynth.common.hashing import sha256_pixels
from radsynth.common.images import read_gray_stack
from radsynth.common.seeds import derive_seed
from radsynth.common.tables import read_table
from radsynth.data.prepare import prepare
from radsynth.report.arms import Arms
from radsynth.report.correction import corrected_evaluations
from radsynth.report.evaluations import Evaluation
from radsynth.report.statistics import compare
from radsynth.report.tidy import BASELINE
from radsynth.report.verdicts import verdict_rows
from radsynth.tasks.classification import Classification, evaluate, predictions_table
from radsynth.tasks.keras_backend import prepare as prepare_backend
from radsynth.tasks.mixes import assemble, read_pixels, read_pools

LABELS = ["NORMAL", "PNEUMONIA"]
COHORT = {"dataset": "planted", "sampling": "random", "scenario": "small"}
KINDS = ("copies", "noisy", "mirrored", "new")
CONTROL = "matched_control"
# Standard deviation of the faint noise, of 255 gray levels.
NOISE = 5
METRICS = ("accuracy", "roc_auc")


def draw(folder: Path, source: dict[str, Any], size: int, counts: dict[str, int], seed: int) -> dict[str, pd.DataFrame]:
    """Prepare a dataset in ``folder`` and return disjoint images: ``train``, ``test`` and ``new``.

    ``counts`` of each label, uniform over images; patients of the training images are in neither of the others. Of
    test and new images there may be fewer, if the dataset has no more.
    """
    files = {name: folder / name for name in ("manifest.csv", "integrity.json", "integrity.md")}
    source = {"fit": "squash"} | source
    prepare("planted", source, LABELS, size, seed, folder / "images", folder / "masks", *files.values(), threads=2)
    manifest = read_table(files["manifest.csv"])
    manifest = manifest.sample(frac=1, random_state=derive_seed(seed, "draw", bits=32))
    group = manifest["patient_id"].where(manifest["patient_id"] != "", manifest["image_id"])
    found: dict[str, pd.DataFrame] = {}
    for name, count in counts.items():
        found[name] = manifest.groupby("label").head(count)
        used = group.isin(group[found[name].index])
        manifest, group = manifest[~used], group[~used]
    return found


def plant(folder: Path, kind: str, label: str, images: np.ndarray, count: int, seed: int) -> Path:
    """Write a pool of one label, made of ``images`` (n, size, size); return its manifest."""
    made = np.resize(images, (count, *images.shape[1:]))
    if kind == "noisy":
        noise = np.random.default_rng(derive_seed(seed, label)).normal(0, NOISE, made.shape)
        made = np.uint8(np.clip(np.rint(made + noise), 0, 255))
    if kind == "mirrored":
        made = made[:, :, ::-1]
    target = folder / kind / label
    target.mkdir(parents=True)
    rows = []
    for index, pixels in enumerate(made):
        file = f"{index:06d}.png"
        Image.fromarray(pixels).save(target / file)
        rows.append({"index": index, "file": file, "sha256": sha256_pixels(pixels), "label": label})
    write_text(target / "manifest.csv", pd.DataFrame(rows).to_csv(index=False))
    return target / "manifest.csv"


def study(
    folder: Path,
    source: dict[str, Any],
    kinds: Sequence[str],
    *,
    real: int,
    copies: int,
    tested: int,
    size: int,
    epochs: int,
    runs: int,
    seed: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of comparisons.csv and of verdicts.csv of one study with planted pools.

    ``real``, ``copies`` and ``tested`` images of each label. A pool of ``new`` images shows that help is found.
    """
    from radsynth.tasks.keras_training import predict, train

    counts = {"train": real, "test": tested} | ({"new": copies} if "new" in kinds else {})
    images = draw(folder, source, size, counts, seed)
    manifests = []
    for kind in kinds:
        table = images["new" if kind == "new" else "train"]
        for label in LABELS:
            pixels = read_gray_stack(folder, table[table["label"] == label])
            manifests.append(plant(folder / "pools", kind, label, pixels, copies, seed))
    pools = read_pools(manifests, [kind for kind in kinds for _ in LABELS])
    cohort, test = images["train"], images["test"].reset_index(drop=True)
    test_pixels = read_gray_stack(folder, test)
    mixes = {BASELINE: {"real": True, "pools": {}}} | {kind: {"real": True, "pools": {kind: copies}} for kind in kinds}
    arms = Arms(mixes, {COHORT["scenario"]: dict.fromkeys(kinds, CONTROL)})
    classifier = {"architecture": "custom_cnn", "weights": "none", "input_size": size, "epochs": epochs}
    classifier |= {"batch_size": 32, "learning_rate": 0.001, "dropout": 0.5}
    found = []
    for name in (*mixes, CONTROL):
        arm = {"mix": mixes.get(name, mixes[kinds[0]]), "augmented": LABELS, "steps_of": None}
        arm["known"] = dict.fromkeys(LABELS, "small") if name == CONTROL else None
        given = (cohort, cohort[:0], {"small": cohort}, pools, folder, LABELS)
        lesson = assemble(name, arm, *given, fraction=None, batch_size=classifier["batch_size"], seed=seed)
        pixels = read_pixels(lesson.images)[..., 0]
        targets = lesson.images["label"].map(LABELS.index).to_numpy()
        for run in range(1, runs + 1):
            model, _ = train(
                classifier,
                pixels,
                targets,
                (pixels[:0], targets[:0]),
                len(LABELS),
                derive_seed(seed, "run", run),
                epoch_counts=[lesson.epoch_counts[label] for label in LABELS] if lesson.drawn else None,
            )
            table = predictions_table(test, predict(model, test_pixels), LABELS)
            report = evaluate(table, LABELS, LABELS[1]) | {"trained_on": lesson.epoch_counts}
            found.append(Evaluation(tuple(COHORT.values()), name, "custom_cnn", run, "test_1", report, table))
            print(f"{name}, run {run}: accuracy {report['metrics']['accuracy']:.3f}", file=sys.stderr)
    comparisons = compare(found + corrected_evaluations(found), arms, seed)
    cohorts = [COHORT | {"subset": "train", "label": label, "n_images": real} for label in LABELS]
    return comparisons, verdict_rows(comparisons, arms, cohorts, Classification(LABELS, LABELS[1]))


def points(row: dict[str, Any]) -> str:
    """Return a difference in points with its interval."""
    return f"{100 * row['difference']:+.1f} [{100 * row['ci_low']:+.1f}, {100 * row['ci_high']:+.1f}]"


def main() -> None:
    """Print the table of every seed in Markdown and, on the last line, the settings as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", help="folder of the source kaggle_pneumonia instead of phantoms")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS[:3], help="new: other real images")
    parser.add_argument("--real", type=int, default=200, help="training images of each label")
    parser.add_argument("--copies", type=int, default=1000, help="images of each label in a pool")
    parser.add_argument("--tested", type=int, default=150, help="test images of each label, at most")
    parser.add_argument("--size", type=int, default=32, help="in pixels")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    backend, began = prepare_backend(2), time.monotonic()
    settings = {name: getattr(args, name) for name in ("real", "copies", "tested", "size", "epochs", "runs")}
    source = {"source": "kaggle_pneumonia", "path": args.images} if args.images else phantoms(**settings)
    print("| seed | pool | metric | baseline | over the baseline | over the matched control | verdict |")
    print("| ---: | --- | --- | ---: | ---: | ---: | --- |")
    for seed in range(1, args.seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            comparisons, verdicts = study(Path(folder), source, args.kinds, **settings, seed=seed)
        rows = {(row["question"], row["mix"], row["metric"]): row for row in comparisons}
        words = {(row["mix"], row["metric"]): row["verdict"] for row in verdicts}
        for kind in args.kinds:
            for metric in METRICS:
                over = [rows[question, kind, metric] for question in ("baseline", "control")]
                cells = [seed, kind, metric, f"{over[0]['reference_mean']:.3f}", *map(points, over)]
                print("| " + " | ".join(map(str, [*cells, words[kind, metric]])) + " |", flush=True)
    print(json.dumps({**vars(args), "minutes": round((time.monotonic() - began) / 60, 1), **backend}))


def phantoms(real: int, copies: int, tested: int, **_: int) -> dict[str, Any]:
    """Return a source of enough phantoms, two of each patient, for training, testing and new images."""
    return {
        "source": "phantom",
        "images": dict.fromkeys(LABELS, 2 * real + tested + copies + 2),
        "images_per_patient": 2,
    }


if __name__ == "__main__":
    main()
