"""From the files of the single jobs to the tidy tables of ``metrics/*.csv``."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from radsynth.common.files import read_json
from radsynth.common.tables import read_table
from radsynth.learning.measured import read_metrics as read_training
from radsynth.report.evaluations import Evaluation, identity
from radsynth.report.image_metrics import corrected, judged
from radsynth.report.tidy import BASELINE, COHORT, OWN, SYNTHETIC, WARNINGS, as_table

Row = dict[str, Any]

# Rows of a model's training that are kept, at most (and one for each resolution).
TRAINING_ROWS = 400


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
    warned = [_model_names(path, results) | {"warning": warning} for path, warning in found if warning]
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
    quality = as_table("quality", rows)
    p_values = judged(quality)[["p_value", "n_comparisons", "p_holm"]]
    rows = [row | found for row, found in zip(rows, p_values.to_dict("records"), strict=True)]
    return rows, [
        row | {"p_corrected": corrected(p_values["p_value"], place, row["p_value"])}
        for row, place in zip(suspects, places, strict=True)
    ]


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
        names = _model_names(path, results)
        steps = read_training(Path(path) / "metrics.jsonl")
        kept = {round(i * (len(steps) - 1) / (TRAINING_ROWS - 1)) for i in range(TRAINING_ROWS)} if steps else set()
        resolutions = [step.get("resolution") for step in steps]
        kept |= {resolutions.index(resolution) for resolution in resolutions}
        rows += [names | steps[index] for index in sorted(kept)]
    return rows


def _model_names(path: str, results: str) -> Row:
    names = identity(path, results, "generators/{dataset}/{sampling}/{scenario}/{generator}/{unit}/{model}")
    return {key: value for key, value in names.items() if key != "model"}


def job_names(
    models: Iterable[str],
    pools: Iterable[str],
    trainings: Iterable[str],
    evaluations: Iterable[Evaluation],
    results: str,
) -> dict[str, Row]:
    """Return what the benchmark files ``{stage}/{job}`` are about: cohort, name, and the device where it was recorded.

    ``models`` are the folders of the generators, ``pools`` the manifests of the pools, ``trainings`` the training.json
    of the classifiers. ``name`` is that of the generator or classifier. Names of jobs are joined by
    underscores, which names may hold themselves, so they are put together here rather than taken apart.
    """
    jobs: dict[str, Row] = {}

    def add(stage: str, names: Row, name: str, device: str | None) -> None:
        job = "_".join(map(str, names.values()))
        jobs[f"{stage}/{job}"] = {key: names[key] for key in COHORT} | {"name": name, "device": device}

    for path in models:
        names = _model_names(path, results)
        add("train_generator", names, names["generator"], read_json(Path(path) / "describe.json").get("device"))
        if Path(path).name == "selected":
            device = read_json(Path(path) / "selection.json")["device"]
            add("select_model", names, names["generator"], device)
    for path in pools:
        pattern = "pools/{dataset}/{sampling}/{scenario}/{generator}/{label}/manifest.csv"
        names = identity(path, results, pattern)
        device = read_table(path, ["device"], nrows=1)["device"].iloc[0]
        add("write_pool", names, names["generator"], device)
        add("pool_quality", names, names["generator"], "cpu")  # asks for no GPU
    for path in trainings:
        pattern = "classifiers/{dataset}/{sampling}/{scenario}/{mix}/{classifier}/{run}/training.json"
        names = identity(path, results, pattern)
        names["run"] = names["run"].removeprefix("run_")
        add("train_classifier", names, names["classifier"], read_json(path).get("device"))
    for evaluation in evaluations:  # one job for all real test sets, one for each generator
        names = {key: value for key, value in evaluation.keys.items() if key not in ("tested_on", "testset")}
        if evaluation.is_synthetic:
            names["generator"] = evaluation.testset.removeprefix(SYNTHETIC)
        stage = "judge" if evaluation.is_synthetic else "evaluate"
        add(stage, names, evaluation.classifier, evaluation.report.get("device"))
    return jobs


def cost_rows(paths: Iterable[str], results: str, jobs: Mapping[str, Row]) -> list[Row]:
    """Return the rows of costs.csv from Snakemake's benchmark files ``benchmarks/{rule}/....tsv``.

    Wall-clock seconds, largest resident memory in MB and mean CPU load in per cent of one core. Snakemake writes
    ``-`` or NA for jobs too short to be measured. ``jobs`` come from ``job_names``; GPU hours are the seconds of jobs
    that ran on one, 0 on a CPU, and empty where the device was not recorded.
    """
    rows = []
    for path in paths:
        stage, *job = PurePosixPath(path).relative_to(PurePosixPath(results) / "benchmarks").with_suffix("").parts
        measured = ["s", "max_rss", "mean_load"]
        table = read_table(path, measured, sep="\t")
        figures = table[measured].apply(pd.to_numeric, errors="coerce").mean().astype(float)
        row = {"stage": stage.removesuffix(".tsv"), "job": "/".join(job)}
        row |= dict(zip(("seconds", "max_rss_mb", "cpu_percent"), figures.tolist(), strict=True))
        row |= jobs.get(f"{row['stage']}/{row['job']}", {})
        if row.get("device"):
            row["gpu_hours"] = 0.0 if row["device"] == "cpu" else row["seconds"] / 3600
        else:
            row["reason"] = "device not recorded"
        rows.append(row)
    return rows
