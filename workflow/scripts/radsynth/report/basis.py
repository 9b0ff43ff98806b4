"""What the numbers of a study rest on: its configuration, the raw images and the cohorts, and what they leave open."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from radsynth.common.files import read_json
from radsynth.report.chapter import Chapter
from radsynth.report.evaluations import identity, model_names
from radsynth.report.given import Given
from radsynth.report.tidy import COHORT, WARNINGS, Row, Tidy, coded, names, numbers, texts

STUDY = Tidy(names("key") | coded("value"))
INTEGRITY = Tidy(names("dataset", "label", "check") | numbers("count") | names("fatal") | texts("what_was_done"))
COHORTS = Tidy(
    names(*COHORT, "subset", "label")
    | numbers("n_images", "n_patients", "mean_pairwise_distance")
    | names("extractor")
    | numbers("images_per_patient", "images_per_patient_available")
    | names("patient_safe")
    | numbers("available", "left_out")
    | texts("reason")
)
CHAPTER = Chapter(
    metrics={"study": STUDY, "integrity": INTEGRITY, "cohorts": COHORTS},
    rows="radsynth.report.basis:rows",
    tables={"cohorts": "radsynth.report.plain_tables:cohorts"},
    opening="radsynth.report.basis_words:look_first",
    sentences="radsynth.report.basis_words:sentences",
)


def rows(given: Given) -> dict[str, list[Row]]:
    """Return the rows of study.csv, integrity.csv and cohorts.csv."""
    return {
        "study": study_rows(given.study) + warning_rows(given.files["models"], given.results),
        "integrity": integrity_rows(given.files["integrity"], given.results),
        "cohorts": given.once(cohorts_of),
    }


def cohorts_of(given: Given) -> list[Row]:
    """Return the rows of cohorts.csv."""
    return cohort_rows(given.files["summaries"], given.results)


def study_rows(facts: Mapping[str, Any]) -> list[Row]:
    """Return the rows of study.csv; what is not a string stands there as JSON."""
    return [
        {"key": key, "value": value if isinstance(value, str) else json.dumps(value)} for key, value in facts.items()
    ]


def warning_rows(models: Iterable[str], results: str) -> list[Row]:
    """Return the row of study.csv that tells which generators' models were chosen with a warning, if any were.

    ``models`` are the folders of the generators. Its value is JSON: a list of dataset, sampling, scenario, generator,
    unit and warning.
    """
    selected = [path for path in models if Path(path).name == "selected"]
    found = [(path, read_json(Path(path) / "selection.json").get("warning")) for path in selected]
    warned = [model_names(path, results) | {"warning": warning} for path, warning in found if warning]
    return [{"key": WARNINGS, "value": json.dumps(warned)}] if warned else []


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
        names = identity(path, results, "cohorts/{dataset}/{sampling}/{scenario}/{file}")
        del names["file"]
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
                    | {"images_per_patient": figures["images_per_patient"]}
                    | {"images_per_patient_available": summary.get("images_per_patient", {}).get(label)}
                )
    return rows
