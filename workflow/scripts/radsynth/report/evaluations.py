"""The evaluations of the classifiers as the other stages leave them: one classifier on one test set."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.files import read_json
from radsynth.common.tables import read_table
from radsynth.report.tidy import COHORT, OWN, SYNTHETIC
from radsynth.tasks.task import Task, make_task

Row = dict[str, Any]


def identity(path: str | Path, results: str | Path, pattern: str) -> dict[str, str]:
    """Return the parts of a path below ``results`` by the names in a pattern.

    ``identity("R/data/a/integrity.json", "R", "data/{dataset}/integrity.json")`` is ``{"dataset": "a"}``.
    """
    try:
        parts = PurePosixPath(path).relative_to(PurePosixPath(results)).parts
    except ValueError:
        parts = ()
    names = PurePosixPath(pattern).parts
    found = {}
    for name, part in zip(names, parts, strict=False):
        if name.startswith("{"):
            found[name[1:-1]] = part
        elif name != part:
            break
    else:
        if len(names) == len(parts):
            return found
    raise UserError(f"{path}: not a path of the form {results}/{pattern}")


def model_names(path: str, results: str) -> Row:
    """Return dataset, sampling, scenario, generator and unit of a model's folder."""
    names = identity(path, results, "generators/{dataset}/{sampling}/{scenario}/{generator}/{unit}/{model}")
    return {key: value for key, value in names.items() if key != "model"}


@dataclass(frozen=True)
class Evaluation:
    """One classifier on one test set: the report on it and its predictions, as its task makes them."""

    cohort: tuple[str, str, str]
    mix: str
    classifier: str
    run: int
    testset: str
    report: dict[str, Any]
    predictions: pd.DataFrame

    @property
    def task(self) -> Task:
        """What it predicts."""
        return make_task(*(self.report[key] for key in ("task", "labels", "positive_label")))

    @property
    def tested_on(self) -> str:
        """``test`` for each of the cohort's own test sets, else the test set's name."""
        return OWN if self.testset.rpartition("_")[0] == OWN else self.testset

    @property
    def is_synthetic(self) -> bool:
        """Whether the test set is a generator's pools."""
        return self.testset.startswith(SYNTHETIC)

    @property
    def arm(self) -> tuple[str, str, int]:
        """Classifier, mix and run."""
        return self.classifier, self.mix, self.run

    @property
    def keys(self) -> Row:
        """The columns that name it in a tidy table."""
        names = dict(zip(COHORT, self.cohort, strict=True)) | {"tested_on": self.tested_on}
        return names | {"mix": self.mix, "classifier": self.classifier, "run": self.run, "testset": self.testset}


def read_evaluations(path: str | Path, results: str | Path) -> list[Evaluation]:
    """Read an ``evaluation.json``, by test set, and ``predictions.csv`` beside it, with a column ``testset``."""
    pattern = "classifiers/{dataset}/{sampling}/{scenario}/{mix}/{classifier}/{run}"
    of_pool = Path(path).parts[-3] == "synthetic"
    names = identity(path, results, f"{pattern}/{'synthetic/{pool}/' if of_pool else ''}evaluation.json")
    reports = read_json(path)
    first = next(iter(reports.values()))
    task = make_task(*(first[key] for key in ("task", "labels", "positive_label")))
    text = dict.fromkeys(("testset", *task.texts), str)
    predictions = read_table(Path(path).with_name("predictions.csv"), text, dtype=text)
    return [
        Evaluation(
            cohort=(names["dataset"], names["sampling"], names["scenario"]),
            mix=names["mix"],
            classifier=names["classifier"],
            run=int(names["run"].removeprefix("run_")),
            testset=testset,
            report=report,
            predictions=predictions[predictions["testset"] == testset].drop(columns="testset").reset_index(drop=True),
        )
        for testset, report in reports.items()
    ]


def by_test(evaluations: Iterable[Evaluation]) -> dict[tuple[str, ...], list[Evaluation]]:
    """Return the evaluations on real images by cohort and what they were tested on."""
    tests: dict[tuple[str, ...], list[Evaluation]] = defaultdict(list)
    for evaluation in evaluations:
        if not evaluation.is_synthetic:
            tests[(*evaluation.cohort, evaluation.tested_on)].append(evaluation)
    return tests


def tested_images(members: list[Evaluation]) -> dict[str, pd.DataFrame]:
    """Return the images of every test set with their ``group`` (patient, else the image); all arms must share them."""
    images: dict[str, pd.DataFrame] = {}
    for member in members:
        table = member.predictions[["image_id", "label", "patient_id"]]
        if not images.setdefault(member.testset, table).equals(table):
            raise UserError(
                f"{'/'.join(member.cohort)}, {member.testset}: the images that run {member.run} of {member.mix} "
                f"{member.classifier} was tested on differ from the other runs', expected the same in the same order"
            )
    # The prefixes keep a patient and an image of the same name apart.
    return {
        testset: table.assign(
            group=("patient " + table["patient_id"]).where(table["patient_id"] != "", "image " + table["image_id"])
        )
        for testset, table in images.items()
    }


def label_indices(member: Evaluation) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return true and predicted label indices, probabilities (n, labels) and the index of the positive label."""
    labels, table = member.report["labels"], member.predictions
    index = {label: position for position, label in enumerate(labels)}
    true, predicted = (table[column].map(index).to_numpy(int) for column in ("label", "predicted"))
    scores = table[[f"p_{label}" for label in labels]].to_numpy(float)
    return true, predicted, scores, index[member.report["positive_label"]]
