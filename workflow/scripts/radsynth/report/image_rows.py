"""What was measured of the generators and their images: from the files of the jobs to tidy tables."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from radsynth.common.files import read_json
from radsynth.learning.measured import read_metrics as read_training
from radsynth.report.evaluations import Evaluation, identity, model_names
from radsynth.report.given import Given
from radsynth.report.image_metrics import corrected, judged
from radsynth.report.realism import QUALITY
from radsynth.report.tidy import BASELINE, COHORT, OWN, SYNTHETIC, Row, as_table

# Rows of a model's training that are kept, at most (and one for each resolution).
TRAINING_ROWS = 400


def realism(given: Given) -> dict[str, list[Row]]:
    """Return the rows of quality.csv, recognition.csv and training.csv."""
    return {
        "quality": given.once(_quality)[0],
        "recognition": recognition_rows(given.evaluations if given.task.of_labels else []),
        "training": training_rows(given.files["models"], given.results),
    }


def copying(given: Given) -> dict[str, list[Row]]:
    """Return the rows of suspects.csv."""
    return {"suspects": given.once(_quality)[1]}


def _quality(given: Given) -> tuple[list[Row], list[Row]]:
    return quality_rows(given.files["quality"], given.results)


def quality_rows(paths: Iterable[str], results: str) -> tuple[list[Row], list[Row]]:
    """Return the rows of quality.csv and of suspects.csv.

    What was done to the images before a network stands there as JSON. ``p_corrected`` of a suspect is what its pool's
    p-value after Holm's correction would be if it were the nearest.
    """
    rows, suspects, places = [], [], []
    for path in paths:
        names = identity(path, results, "quality/{dataset}/{sampling}/{scenario}/{generator}/{label}")
        names["label"] = names["label"].removesuffix(".json")
        report = read_json(path)
        for row in report["metrics"]:
            preprocessing = json.dumps(row["preprocessing"]) if row["preprocessing"] else ""
            rows.append(names | row | {"preprocessing": preprocessing})
        measured = {
            (row["metric"], row["extractor"]): len(rows) - len(report["metrics"]) + index
            for index, row in enumerate(report["metrics"])
        }
        places += [measured[suspect["metric"], suspect["extractor"]] for suspect in report["suspects"]]
        suspects += [
            names | suspect | {"p_value": suspect["chance"] * report["n_synthetic"]} for suspect in report["suspects"]
        ]
    quality = as_table(QUALITY, rows)
    p_values = judged(quality)[["p_value", "n_comparisons", "p_holm"]]
    rows = [row | found for row, found in zip(rows, p_values.to_dict("records"), strict=True)]
    return rows, [
        row | {"p_corrected": corrected(p_values["p_value"], place, row["p_value"])}
        for row, place in zip(suspects, places, strict=True)
    ]


def recognition_rows(evaluations: Iterable[Evaluation]) -> list[Row]:
    """Return the rows of recognition.csv: how the classifiers trained on real images alone recognise the pools.

    Labels of which a generator makes no pool have none. Beside it the same of the real test images of the same
    classifier, averaged over the cohort's own test sets.
    """
    evaluations = [evaluation for evaluation in evaluations if evaluation.mix == BASELINE]
    controls: dict[tuple[Any, ...], list[Row]] = {}
    for evaluation in evaluations:
        if evaluation.tested_on == OWN:
            for label, figures in evaluation.report["per_label"].items():
                if figures["n"]:
                    controls.setdefault((evaluation.cohort, evaluation.arm, label), []).append(figures)
    rows = []
    for evaluation in evaluations:
        if not evaluation.is_synthetic:
            continue
        for label, figures in evaluation.report["per_label"].items():
            if not figures["n"]:
                continue
            names = dict(zip(COHORT, evaluation.cohort, strict=True))
            row = names | {"classifier": evaluation.classifier, "run": evaluation.run, "label": label}
            row |= {"generator": evaluation.testset.removeprefix(SYNTHETIC), "n": figures["n"]}
            row |= {"recognised": figures["recall"], "mean_confidence": figures["mean_confidence"]}
            real = controls.get((evaluation.cohort, evaluation.arm, label), [])
            if real:
                row["n_real"] = sum(figures["n"] for figures in real)
                row["recognised_real"] = sum(figures["recall"] for figures in real) / len(real)
                row["mean_confidence_real"] = sum(figures["mean_confidence"] for figures in real) / len(real)
            rows.append(row)
    return rows


def training_rows(models: Iterable[str], results: str) -> list[Row]:
    """Return the rows of training.csv from the ``metrics.jsonl`` of every model, thinned to ``TRAINING_ROWS``.

    Kept are rows at equal distances, the last one, and the first of every resolution. Families that are not
    trained step by step have none.
    """
    rows = []
    for path in models:
        names = model_names(path, results)
        steps = read_training(Path(path) / "metrics.jsonl")
        kept = {round(i * (len(steps) - 1) / (TRAINING_ROWS - 1)) for i in range(TRAINING_ROWS)} if steps else set()
        resolutions = [step.get("resolution") for step in steps]
        kept |= {resolutions.index(resolution) for resolution in resolutions}
        rows += [names | steps[index] for index in sorted(kept)]
    return rows
