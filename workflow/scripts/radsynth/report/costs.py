"""What a study costs: time, GPU hours and memory of its jobs."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from radsynth.common.files import read_json
from radsynth.common.tables import read_table
from radsynth.report.chapter import Chapter
from radsynth.report.evaluations import identity
from radsynth.report.given import Given
from radsynth.report.tidy import COHORT, Row, Tidy, names, numbers, texts

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

_MODEL, _CLASSIFIER = (
    "{dataset}/{sampling}/{scenario}/{name}/{unit}",
    "{dataset}/{sampling}/{scenario}/{mix}/{name}/{run}",
)
#: What the benchmark files of a stage are about; ``name`` is that of the generator or the classifier.
NAMES = {
    "pretrain_generator": "{dataset}/{name}/{unit}",
    **dict.fromkeys(("train_generator", "select_model", "write_pool", "pool_quality"), _MODEL),
    **dict.fromkeys(("train_classifier", "evaluate"), _CLASSIFIER),
    "judge": f"{_CLASSIFIER}/synthetic/{{pool}}",
    "condition_fidelity": "{dataset}/{sampling}/{scenario}/{name}",
}


def rows(given: Given) -> dict[str, list[Row]]:
    """Return the rows of costs.csv."""
    devices = job_devices(given.files, given.results)
    return {"costs": cost_rows(given.files["benchmarks"], given.results, devices)}


def job_devices(given: Mapping[str, Iterable[str]], results: str) -> dict[str, str | None]:
    """Return the device that a job ran on, where it was recorded, by its benchmark file ``{stage}/{job}``.

    ``given`` as ``Given.files``.
    """
    devices: dict[str, str | None] = {}
    for path in map(Path, given["models"]):
        job = path.relative_to(results).parent.relative_to("generators")
        devices[f"train_generator/{job}"] = read_json(path / "describe.json").get("device")
        if path.name == "selected":
            devices[f"select_model/{job}"] = read_json(path / "selection.json")["device"]
    for path in map(Path, given.get("pretrained", ())):
        job = path.relative_to(results).parent.relative_to("generators/pretrained")
        devices[f"pretrain_generator/{job}"] = read_json(path / "describe.json").get("device")
    for path in map(Path, given["pools"]):
        job = path.relative_to(results).parent.relative_to("pools")
        devices[f"write_pool/{job}"] = read_table(path, ["device"], nrows=1)["device"].iloc[0]
        devices[f"pool_quality/{job}"] = "cpu"  # asks for no GPU
    for path in map(Path, given["fidelity"]):
        job = path.relative_to(results).with_suffix("").relative_to("fidelity")
        devices[f"condition_fidelity/{job}"] = "cpu"
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
            names = identity(Path(path).with_suffix(""), results, f"benchmarks/{stage}/{NAMES[stage]}")
            row |= {key: names[key] for key in (*COHORT, "name") if key in names}
        if row["device"]:
            row["gpu_hours"] = 0.0 if row["device"] == "cpu" else row["seconds"] / 3600
        else:
            row["reason"] = "device not recorded"
        rows.append(row)
    return rows
