"""All tidy tables of a study from the files of its jobs."""

from collections.abc import Iterable, Mapping
from typing import Any

from radsynth.report import collect
from radsynth.report.arms import Arms
from radsynth.report.correction import corrected_evaluations
from radsynth.report.evaluations import read_evaluations
from radsynth.report.predictions import image_rows, prediction_rows, read_predictions, renumbered
from radsynth.report.single_models import mcnemar_rows, roc_auc_rows
from radsynth.report.statistics import compare, replicate_rows
from radsynth.report.tidy import Metrics, study_facts
from radsynth.report.verdicts import verdict_rows

Row = dict[str, Any]


def metric_tables(given: Mapping[str, Iterable[str]], results: str, study: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Return the rows of every table of ``tidy.COLUMNS``.

    ``given`` names the files below the folder ``results`` by kind: integrity, summaries, quality, evaluations, models,
    pools, trainings, benchmarks. ``study`` are the facts of the study (``Study.facts``).
    """
    read = [found for path in given["evaluations"] for found in read_evaluations(path, results)]
    measured = renumbered(read, study["seed"])
    evaluations = measured + corrected_evaluations(measured)
    arms = Arms.of(study)
    cohorts = collect.cohort_rows(given["summaries"], results)
    comparisons = compare(evaluations, arms, study["seed"])
    quality, suspects = collect.quality_rows(given["quality"], results)
    devices = collect.job_devices(given, results)
    return {
        "study": collect.study_rows(study) + collect.warning_rows(given["models"], results),
        "integrity": collect.integrity_rows(given["integrity"], results),
        "cohorts": cohorts,
        "quality": quality,
        "suspects": suspects,
        "classification": collect.classification_rows(evaluations),
        "test_images": image_rows(measured),
        "predictions": prediction_rows(measured),
        "confusion": collect.confusion_rows(evaluations),
        "roc_auc": roc_auc_rows(evaluations),
        "comparisons": comparisons,
        "verdicts": verdict_rows(comparisons, arms, cohorts),
        "mcnemar": mcnemar_rows(evaluations, arms),
        "replicates": replicate_rows(comparisons, arms),
        "recognition": collect.recognition_rows(evaluations),
        "training": collect.training_rows(given["models"], results),
        "costs": collect.cost_rows(given["benchmarks"], results, devices),
    }


def decided_again(metrics: Metrics) -> tuple[list[Row], list[Row]]:
    """Return the rows of comparisons and verdicts, made anew from the predictions that an archive keeps.

    ``metrics`` are the tables of the archive (``archive.read_source``); its own comparisons and verdicts are not read.
    """
    facts = study_facts(metrics)
    measured, arms = read_predictions(metrics), Arms.of(facts)
    comparisons = compare(measured + corrected_evaluations(measured), arms, int(facts["seed"]))
    return comparisons, verdict_rows(comparisons, arms, metrics["cohorts"].to_dict("records"))
