"""What a study costs: time, GPU hours and memory of its jobs."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from radsynth.common.files import read_json
from radsynth.common.tables import read_table
from radsynth.report.chapter import Chapter
from radsynth.report.evaluations import Evaluation, identity, model_names
from radsynth.report.given import Given
from radsynth.report.tidy import COHORT, SYNTHETIC, Row, Tidy, names, numbers, texts

COSTS = Tidy(
    names("stage", *COHORT, "name")
    | texts("job")
    | numbers("seconds", "max_rss_mb", "cpu_percent")
    | texts("device")
    | numbers("gpu_hours")
    | texts("reason")
)
CHAPTER = Chapter(
    metrics={"costs": COSTS},
    rows="radsynth.report.costs:rows",
    tables={"costs": "radsynth.report.plain_tables:costs"},
)


def rows(given: Given) -> dict[str, list[Row]]:
    """Return the rows of costs.csv."""
    files, results = given.files, given.results
    jobs = job_names(files["models"], files["pools"], files["trainings"], given.measured, results)
    return {"costs": cost_rows(files["benchmarks"], results, jobs)}


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
        names = model_names(path, results)
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
