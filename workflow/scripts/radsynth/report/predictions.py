"""What every classifier said of every real test image, under numbers that name no image: verdicts can be made again.

Images and patients get numbers in an order drawn at random, the same in all test sets of a dataset. The tables hold no
file name, no patient id and no pixel, but labels, which images are of one patient, and what the classifiers said.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from radsynth.common.seeds import derive_seed
from radsynth.report.evaluations import Evaluation
from radsynth.report.tidy import COHORT, EXTERNAL, Metrics
from radsynth.tasks.classification import evaluate

Row = dict[str, Any]
# What is kept of a report: the rest follows from the predictions.
KEPT = ("labels", "positive_label", "threshold", "trained_on")


def renumbered(evaluations: Iterable[Evaluation], seed: int) -> list[Evaluation]:
    """Return the evaluations with numbers for image and patient ids, rows in the order of the numbers.

    A patient that is unknown stays so. Pools are left as they are. The order depends on all predictions in the order
    of the data, too: who has the list of the images cannot draw it again without these.
    """
    evaluations = list(evaluations)
    real = [evaluation for evaluation in evaluations if not evaluation.is_synthetic]
    digest = hashlib.sha256()
    for evaluation in real:
        digest.update(evaluation.predictions.select_dtypes("number").to_numpy(np.float32).tobytes())
    names: dict[tuple[str, str], dict[str, str]] = {}
    for column in ("image_id", "patient_id"):
        known: dict[str, set[str]] = {}
        for evaluation in real:
            known.setdefault(_source(evaluation), set()).update(evaluation.predictions[column])
        for source, ids in known.items():
            secret = derive_seed(seed, "numbers", source, column, digest.hexdigest())
            drawn = np.random.default_rng(secret).permutation(sorted(ids - {""}))
            names[source, column] = {name: str(number) for number, name in enumerate(drawn, start=1)} | {"": ""}
    found = []
    for evaluation in evaluations:
        if not evaluation.is_synthetic:
            table, source = evaluation.predictions, _source(evaluation)
            table = table.assign(**{key: table[key].map(names[source, key]) for key in ("image_id", "patient_id")})
            table = table.sort_values("image_id", key=lambda ids: ids.astype(int)).reset_index(drop=True)
            evaluation = replace(evaluation, predictions=table)
        found.append(evaluation)
    return found


def _source(evaluation: Evaluation) -> str:
    """Return what names of images mean something in: the dataset, or the external one that was tested on."""
    return evaluation.testset if evaluation.testset.startswith(EXTERNAL) else evaluation.cohort[0]


def image_rows(evaluations: Iterable[Evaluation]) -> list[Row]:
    """Return the rows of test_images.csv: the images of every test set, by number, with patient and label."""
    rows, seen = [], set()
    for evaluation in evaluations:
        key = (*evaluation.cohort, evaluation.testset)
        if not evaluation.is_synthetic and key not in seen:
            seen.add(key)
            names = {name: evaluation.keys[name] for name in (*COHORT, "testset")}
            rows += [
                names | row for row in evaluation.predictions[["image_id", "patient_id", "label"]].to_dict("records")
            ]
    return rows


def prediction_rows(evaluations: Iterable[Evaluation]) -> list[Row]:
    """Return the rows of predictions.csv, one per classifier and real test set; none where labels are not predicted.

    ``probabilities`` are those of the labels in turn, image by image in the order of test_images.csv, with spaces
    between: as many digits as a 32-bit number has.
    """
    rows = []
    for evaluation in evaluations:
        if evaluation.task.of_labels and not evaluation.is_synthetic:
            columns = [f"p_{label}" for label in evaluation.report["labels"]]
            values = evaluation.predictions[columns].to_numpy(np.float32).ravel()
            report = {key: json.dumps(evaluation.report.get(key)) for key in KEPT}
            rows.append(evaluation.keys | report | {"probabilities": " ".join(map(str, values))})
    return rows


def read_predictions(metrics: Metrics) -> list[Evaluation]:
    """Return the evaluations of the tables test_images and predictions: what ``statistics.compare`` starts from."""
    names = [*COHORT, "testset"]
    images = {key: table.reset_index(drop=True) for key, table in metrics["test_images"].groupby(names, sort=False)}
    found = []
    for _, row in metrics["predictions"].iterrows():
        report = {key: json.loads(row[key]) for key in KEPT}
        labels = report["labels"]
        table = images[tuple(row[name] for name in names)][["image_id", "label", "patient_id"]]
        values = np.array(row["probabilities"].split(), float).reshape(len(table), len(labels))
        table = table.assign(
            predicted=np.array(labels)[values.argmax(axis=1)],
            **{f"p_{label}": values[:, index] for index, label in enumerate(labels)},
        )
        report |= evaluate(table, labels, report["positive_label"], report["threshold"])
        cohort = tuple(row[name] for name in COHORT)
        run = int(row["run"])
        found.append(Evaluation(cohort, row["mix"], row["classifier"], run, row["testset"], report, table))
    return found
