"""Tables for people: each as csv (plain numbers), Markdown and LaTeX, one section per cohort."""

import math
from collections.abc import Callable

import pandas as pd

from radsynth.analysis import classifier_tables
from radsynth.analysis.render import UNDEFINED, Columns, Section, Table, number, section
from radsynth.analysis.tidy import COHORT, Metrics, place

DISTANCES: Columns = {
    "generator": lambda row: row["generator"],
    "label": lambda row: row["label"],
    "metric": lambda row: row["metric"].upper(),
    "extractor": lambda row: row["extractor"],
    "reference": lambda row: row["reference"],
    "value": lambda row: _value(row),
    "real against real": lambda row: _baseline(row),
    "n real / synthetic": lambda row: _pair(row["n_reference"], row["n_synthetic"]),
    "n real / real": lambda row: _pair(row["real_real_n_a"], row["real_real_n_b"]),
}
COPIES: Columns = {
    "generator": lambda row: row["generator"],
    "label": lambda row: row["label"],
    "metric": lambda row: row["metric"].replace("_", " "),
    "extractor": lambda row: row["extractor"],
    "value": lambda row: _value(row),
    "held-out real images": lambda row: number(row["control"]),
    "n synthetic": lambda row: number(row["n_synthetic"]),
    "n held-out": lambda row: number(row["n_control"]),
}
SUBSETS: Columns = {
    "subset": lambda row: row["subset"],
    "label": lambda row: row["label"],
    "images": lambda row: number(row["n_images"]),
    "patients": lambda row: number(row["n_patients"]) or "unknown",
    "mean pairwise distance": lambda row: number(row["mean_pairwise_distance"], 4),
}


def quality(metrics: Metrics) -> Table:
    """Distances with both n and the real-against-real baseline; copy and duplicate rates with their control."""
    table = metrics["quality"]
    sections = []
    for cohort, rows in table.groupby(COHORT, sort=False):
        is_distance = rows["metric"].isin(["fid", "kid"])
        note = (
            "Lower is closer. Real against real: mean ± SD over random disjoint parts of the real images of the class. "
            "FID is biased upwards in small samples: compare values of equal n only. KID may be negative."
        )
        note += "".join(f" † {remark}." for remark in sorted(set(rows["note"]) - {""}))
        sections.append(section(f"Distances: {place(cohort)}", rows[is_distance], DISTANCES, note, 5))
        note = (
            "Copy rate: share of images whose distance to the nearest training image, relative to the mean distance to "
            "the 50 nearest, is as small as that of the nearest 1 % of held-out real images. Exact copies: the same "
            "pixels. Duplicates: the same pixels within the pool. Other held-out real images are the control."
        )
        sections.append(section(f"Copies: {place(cohort)}", rows[~is_distance], COPIES, note, 4))
    return "Image quality", table, sections


def _value(row: pd.Series) -> str:
    if math.isnan(row["value"]):
        return f"{UNDEFINED} ({row['reason']})"
    return number(row["value"]) + ("†" if row["note"] else "")


def _baseline(row: pd.Series) -> str:
    mean, sd = number(row["real_real_mean"]), number(row["real_real_sd"], 2)
    return f"{mean} ± {sd}" if mean and sd else mean


def _pair(first: float, second: float) -> str:
    return "" if math.isnan(first) or math.isnan(second) else f"{first:.0f} / {second:.0f}"


def cohorts(metrics: Metrics) -> Table:
    """Images, patients and diversity (mean pairwise feature distance) of every cohort."""
    table = metrics["cohorts"]
    sections = []
    for cohort, rows in table.groupby(COHORT, sort=False):
        safe = set(rows["patient_safe"]) == {"true"}
        note = (
            f"{'Patient-safe' if safe else 'Not patient-safe: patients are unknown or not separated'}. "
            f"Distances: Euclidean, features of {', '.join(sorted(set(rows['extractor'])))}."
        )
        sections.append(section(f"Cohorts: {place(cohort)}", rows, SUBSETS, note, 2))
    return "Cohorts", table, sections


COSTS = {
    "jobs": "jobs",
    "total_seconds": "total (s)",
    "mean_seconds": "mean per job (s)",
    "max_seconds": "longest (s)",
    "gpu_hours": "GPU hours",
    "max_rss_mb": "peak memory (MB)",
    "mean_cpu_percent": "mean CPU load (%)",
}


def costs(metrics: Metrics) -> Table:
    """Time, GPU hours and memory per stage and generator or classifier."""
    groups = metrics["costs"].groupby(["stage", "name"], sort=False)
    table = groups.agg(
        jobs=("job", "size"),
        total_seconds=("seconds", "sum"),
        mean_seconds=("seconds", "mean"),
        max_seconds=("seconds", "max"),
        gpu_hours=("gpu_hours", lambda hours: hours.sum(skipna=False)),
        max_rss_mb=("max_rss_mb", "max"),
        mean_cpu_percent=("cpu_percent", "mean"),
        device=("device", _listed),
        reason=("reason", _listed),
    ).reset_index()
    rows = [
        [
            *row[["stage", "name"]],
            *(number(row[column]) for column in COSTS),
            row["device"] or f"({row['reason']})",
        ]
        for _, row in table.iterrows()
    ]
    header = ["stage", "name", *COSTS.values(), "device"]
    note = (
        "Wall-clock time and resident memory as measured by Snakemake; a job that went on after an interruption counts "
        "from there. 100 % CPU load is one core. GPU hours: the time of jobs that held a GPU, empty where the device "
        "of one of the jobs was not recorded."
    )
    return "Costs", table, [Section("Costs by stage", header, rows, note, 2)]


def _listed(texts: pd.Series) -> str:
    return ", ".join(dict.fromkeys(text for text in texts if text))


def sources(metrics: Metrics) -> dict[str, str]:
    """Return the source of every data set, from the entry ``datasets`` of study.csv (``name: source; ...``)."""
    study = metrics["study"].set_index("key")["value"]
    return dict(entry.split(": ") for entry in study["datasets"].split("; "))


PLAIN: dict[str, Callable[[Metrics], Table]] = {
    "mixes": classifier_tables.mixes,
    "scores": classifier_tables.scores,
    "comparisons": classifier_tables.comparisons,
    "replicates": classifier_tables.replicates,
    "roc_auc": classifier_tables.roc_auc,
    "experts": classifier_tables.experts,
    "quality": quality,
    "cohorts": cohorts,
    "costs": costs,
}
