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

_MODEL, _CLASSIFIER = (
    "{dataset}/{sampling}/{scenario}/{name}/{unit}",
    "{dataset}/{sampling}/{scenario}/{mix}/{name}/{run}",
)
#: What the benchmark files of a stage are about; ``name`` is that of the generator or the classifier.
NAMES = {
    **dict.fromkeys(("train_generator", "select_model", "write_pool", "pool_quality"), _MODEL),
    **dict.fromkeys(("train_classifier", "evaluate"), _CLASSIFIER),
    "judge": f"{_CLASSIFIER}/synthetic/{{generator}}",
}


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


def job_devices(given: Mapping[str, Iterable[str]], results: str) -> dict[str, str | None]:
    """Return the device that a job ran on, where it was recorded, by its benchmark file ``{stage}/{job}``.

    ``given`` as in ``metric_tables``.
    """
    devices: dict[str, str | None] = {}
    for path in map(Path, given["models"]):
        job = path.relative_to(results).parent.relative_to("generators")
        devices[f"train_generator/{job}"] = read_json(path / "describe.json").get("device")
        if path.name == "selected":
            devices[f"select_model/{job}"] = read_json(path / "selection.json")["device"]
    for path in map(Path, given["pools"]):
        job = path.relative_to(results).parent.relative_to("pools")
        devices[f"write_pool/{job}"] = read_table(path, ["device"], nrows=1)["device"].iloc[0]
        devices[f"pool_quality/{job}"] = "cpu"  # asks for no GPU
    for path in map(Path, given["trainings"]):
        job = path.relative_to(results).parent.relative_to("classifiers")
        devices[f"train_classifier/{job}"] = read_json(path).get("device")
    for path in map(Path, given["evaluations"]):
        job = path.relative_to(results).parent.relative_to("classifiers")
        stage = "judge" if job.parent.name == "synthetic" else "evaluate"
        devices[f"{stage}/{job}"] = next(iter(read_json(path).values())).get("device")
    return devices


def cost_rows(paths: Iterable[str], results: str, devices: Mapping[str, str | None]) -> list[Row]:
    """Return the rows of costs.csv from Snakemake's benchmark files ``benchmarks/{rule}/....tsv``.

    Wall-clock seconds, largest resident memory in MB and mean CPU load in per cent of one core. Snakemake writes
    ``-`` or NA for jobs too short to be measured. ``devices`` come from ``job_devices``; GPU hours are the seconds of
    jobs that ran on one, 0 on a CPU, and empty where the device was not recorded.
    """
    rows = []
    for path in paths:
        below = PurePosixPath(path).relative_to(PurePosixPath(results) / "benchmarks").with_suffix("")
        stage, *job = below.parts
        measured = ["s", "max_rss", "mean_load"]
        table = read_table(path, measured, sep="\t")
        figures = table[measured].apply(pd.to_numeric, errors="coerce").mean().astype(float)
        row = {"stage": stage, "job": "/".join(job), "device": devices.get(str(below))}
        row |= dict(zip(("seconds", "max_rss_mb", "cpu_percent"), figures.tolist(), strict=True))
        if stage in NAMES:
            names = identity(path, results, f"benchmarks/{stage}/{NAMES[stage]}")
            row |= {key: names[key] for key in (*COHORT, "name")}
        if row["device"]:
            row["gpu_hours"] = 0.0 if row["device"] == "cpu" else row["seconds"] / 3600
        else:
            row["reason"] = "device not recorded"
        rows.append(row)
    return rows
