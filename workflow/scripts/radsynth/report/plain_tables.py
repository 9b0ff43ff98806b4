"""The tables of what was used: the images of the cohorts, and time and memory."""

import pandas as pd

from radsynth.report.render import Columns, Section, Table, number, section
from radsynth.report.tidy import COHORT, Metrics, place

SUBSETS: Columns = {
    "subset": lambda row: row["subset"],
    "label": lambda row: row["label"],
    "images": lambda row: number(row["n_images"]),
    "patients": lambda row: number(row["n_patients"]) or "unknown",
    "images per patient": lambda row: number(row["images_per_patient"]),
    "in the whole class": lambda row: number(row["images_per_patient_available"]),
    "mean pairwise distance": lambda row: number(row["mean_pairwise_distance"], 4),
}


def cohorts(metrics: Metrics) -> Table:
    """Images, patients, images per patient and diversity (mean pairwise feature distance) of every cohort."""
    table = metrics["cohorts"]
    sections = []
    for cohort, rows in table.groupby(COHORT, sort=False):
        safe = set(rows["patient_safe"]) - {""} == {"true"}
        note = (
            f"{'Patient-safe' if safe else 'Not patient-safe: patients are unknown or not separated'}. "
            "Images per patient: how many images the patient of an image has in the data set, on average over the "
            "images of the subset, and over all images of the class: a uniform draw has as many. "
            f"Distances: Euclidean, features of {', '.join(sorted(set(rows['extractor']) - {''}))}."
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
