"""From the files of the single jobs to the tidy tables of ``metrics/*.csv``."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from radsynth.analysis.tidy import COHORT
from radsynth.common.errors import UserError
from radsynth.common.files import read_json

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


@dataclass(frozen=True)
class Evaluation:
    """One classifier on one test set: its metrics and its predictions (image_id, label, patient_id, predicted, p_*)."""

    cohort: tuple[str, str, str]
    mix: str
    classifier: str
    run: int
    testset: str
    report: dict[str, Any]
    predictions: pd.DataFrame

    @property
    def keys(self) -> Row:
        """The columns that name it in a tidy table."""
        names = dict(zip(COHORT, self.cohort, strict=True))
        return names | {"mix": self.mix, "classifier": self.classifier, "run": self.run, "testset": self.testset}


def read_evaluation(path: str | Path, results: str | Path) -> Evaluation:
    """Read ``{testset}.json`` and the predictions of the same name beside it."""
    names = identity(path, results, "classifiers/{dataset}/{sampling}/{scenario}/{mix}/{classifier}/{run}/{testset}")
    text = dict.fromkeys(("image_id", "label", "patient_id", "predicted"), str)
    predictions = pd.read_csv(Path(path).with_suffix(".csv"), dtype=text, keep_default_na=False)
    return Evaluation(
        cohort=(names["dataset"], names["sampling"], names["scenario"]),
        mix=names["mix"],
        classifier=names["classifier"],
        run=int(names["run"].removeprefix("run_")),
        testset=names["testset"].removesuffix(".json"),
        report=read_json(path),
        predictions=predictions,
    )


def study_rows(facts: Mapping[str, Any]) -> list[Row]:
    """Return the rows of study.csv; what is not a string stands there as JSON."""
    return [
        {"key": key, "value": value if isinstance(value, str) else json.dumps(value)} for key, value in facts.items()
    ]


def integrity_rows(paths: Iterable[str], results: str) -> list[Row]:
    """Return the rows of integrity.csv: a check ``images`` with the prepared images per label, then every check."""
    rows = []
    for path in paths:
        names, report = identity(path, results, "data/{dataset}/integrity.json"), read_json(path)
        for label, count in report["counts"].items():
            rows.append(names | {"label": label, "check": "images", "count": count, "fatal": False})
        rows += [names | check for check in report["checks"]]
    return rows


def cohort_rows(paths: Iterable[str], results: str) -> list[Row]:
    """Return the rows of cohorts.csv."""
    rows = []
    for path in paths:
        names = identity(path, results, "cohorts/{dataset}/{sampling}/{scenario}/summary.json")
        summary = read_json(path)
        for subset, labels in summary["subsets"].items():
            for label, figures in labels.items():
                unknown = "patients unknown" if figures["n_patients"] is None else ""
                rows.append(
                    names
                    | {"subset": subset, "label": label, "extractor": summary["extractor"]}
                    | {key: figures[key] for key in ("n_images", "n_patients", "mean_pairwise_distance")}
                    | {"patient_safe": summary["patient_safe"], "reason": unknown}
                    | {key: summary[key].get(label) for key in ("available", "left_out")}
                )
    return rows


def quality_rows(paths: Iterable[str], results: str) -> list[Row]:
    """Return the rows of quality.csv: distances, then copy and duplicate rates."""
    rows = []
    for path in paths:
        names = identity(path, results, "quality/{dataset}/{sampling}/{scenario}/{generator}/{label}")
        names["label"] = names["label"].removesuffix(".json")
        report = read_json(path)
        for metric in report["metrics"]:
            n_a, n_b = metric["real_real_n"] or (None, None)
            rows.append(names | metric | {"real_real_n_a": n_a, "real_real_n_b": n_b})
        for metric in report["memorisation"]:
            rows.append(names | metric | {"reference": "" if metric["n_reference"] is None else "train"})
    return rows


def classification_rows(evaluations: Iterable[Evaluation]) -> list[Row]:
    """Return the rows of classification.csv."""
    return [
        evaluation.keys
        | {key: evaluation.report.get(key) for key in ("architecture", "weights", "backend")}
        | {"metric": metric, "value": value, "reason": evaluation.report["reasons"].get(metric)}
        for evaluation in evaluations
        for metric, value in evaluation.report["metrics"].items()
    ]


def confusion_rows(evaluations: Iterable[Evaluation]) -> list[Row]:
    """Return the rows of confusion.csv."""
    return [
        evaluation.keys | {"true_label": true, "predicted_label": predicted, "count": count}
        for evaluation in evaluations
        for true, counts in zip(evaluation.report["labels"], evaluation.report["confusion_matrix"], strict=True)
        for predicted, count in zip(evaluation.report["labels"], counts, strict=True)
    ]


def cost_rows(paths: Iterable[str], results: str) -> list[Row]:
    """Return the rows of costs.csv from Snakemake's benchmark files ``benchmarks/{rule}/....tsv``.

    Wall-clock seconds, largest resident memory in MB and mean CPU load in per cent of one core. Snakemake writes
    ``-`` or NA for jobs too short to be measured.
    """
    rows = []
    for path in paths:
        stage, *job = PurePosixPath(path).relative_to(PurePosixPath(results) / "benchmarks").with_suffix("").parts
        table = pd.read_csv(path, sep="\t", na_values=["-"])
        figures = table[["s", "max_rss", "mean_load"]].apply(pd.to_numeric, errors="coerce").mean().astype(float)
        rows.append(
            {"stage": stage.removesuffix(".tsv"), "job": "/".join(job)}
            | dict(zip(("seconds", "max_rss_mb", "cpu_percent"), figures.tolist(), strict=True))
        )
    return rows
