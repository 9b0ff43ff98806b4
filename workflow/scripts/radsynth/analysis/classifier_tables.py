"""Tables of what the classifiers achieve: those of the paper, all mixes, all metrics, tests, and single models."""

import math

import numpy as np
import pandas as pd

from radsynth.analysis.render import Cell, Columns, Section, Table, limits, mean_sd, number, section, signed
from radsynth.analysis.tidy import (
    BASELINE,
    COHORT,
    OWN,
    TESTED,
    Metrics,
    mixes_in_order,
    per_run,
    place,
)

# The columns of the paper's tables: mixes by name, and how they are called there.
PAPER = {BASELINE: "baseline", "ddpm": "DDPM", "pggan": "PGGAN"}
NAMES = {
    "accuracy": "accuracy",
    "precision_weighted": "precision",
    "recall_weighted": "recall",
    "f1_weighted": "F1",
    "precision_positive": "precision",
    "recall_positive": "recall",
    "f1_positive": "F1",
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "sensitivity_at_95_specificity": "sensitivity at 95 % specificity",
}
# Metrics of one section each in the table of scores.
SCORES = {
    "Weighted averages": ["accuracy", "precision_weighted", "recall_weighted", "f1_weighted"],
    "Positive label": ["precision_positive", "recall_positive", "f1_positive"],
    "Ranking": ["roc_auc", "pr_auc", "sensitivity_at_95_specificity"],
}
COMPARED = ["accuracy", "f1_weighted", "roc_auc", "pr_auc", "sensitivity_at_95_specificity"]


def arms(metrics: Metrics, metric: str) -> pd.DataFrame:
    """Return n_runs, n_testsets, mean and sd of every TESTED, classifier and mix."""
    groups = per_run(metrics["classification"], metric).groupby([*TESTED, "classifier", "mix"], sort=False)
    return groups.agg(
        n_runs=("value", "count"), n_testsets=("n_testsets", "max"), mean=("value", "mean"), sd=("value", "std")
    ).reset_index()


def with_verdicts(table: pd.DataFrame, metrics: Metrics, metric: str) -> pd.DataFrame:
    """Add difference, interval and verdict of the comparison with the baseline."""
    keys = [*TESTED, "classifier", "mix"]
    rows = metrics["comparisons"][metrics["comparisons"]["metric"] == metric]
    table = table.merge(rows[[*keys, "difference", "ci_low", "ci_high", "verdict"]], on=keys, how="left")
    return table.assign(verdict=table["verdict"].fillna(""))


def accuracy(metrics: Metrics, published: pd.DataFrame) -> Table:
    """Accuracy in the layout of tables 4 to 7 of the paper, with the published values below ours in italics.

    One section per data set, sampling and scenario; rows are classifiers, columns the baseline and the two mixes of
    the paper. What was not run, or not printed, is empty.
    """
    ours = arms(metrics, "accuracy")
    ours = with_verdicts(ours[ours["tested_on"] == OWN], metrics, "accuracy").drop(columns="tested_on")
    printed = published[published["metric"] == "accuracy"].rename(
        columns={"mean": "published_mean", "sd": "published_sd", "table": "published_table"}
    )
    printed = printed.merge(ours[COHORT].drop_duplicates(), on=COHORT)  # only cohorts of this study
    keys = [*COHORT, "classifier"]
    cells = pd.concat([ours[keys], printed[keys]]).drop_duplicates().merge(pd.DataFrame({"mix": list(PAPER)}), "cross")
    table = cells.merge(ours, on=[*keys, "mix"], how="left")
    table = table.merge(printed.drop(columns="metric"), on=[*keys, "mix"], how="left")
    texts = ["verdict", "published_mean", "published_sd", "published_table"]
    table[texts] = table[texts].fillna("")
    sections = [_paper_section(cohort, rows) for cohort, rows in table.groupby(COHORT, sort=False)]
    return "Accuracy", table, sections


def _paper_section(cohort: tuple[str, str, str], rows: pd.DataFrame) -> Section:
    lines: list[list[Cell | str]] = []
    for classifier, cells in rows.groupby("classifier", sort=False):
        cells = cells.set_index("mix")
        best = _best(cells)
        lines.append([classifier, *(_cell(cell, "bold" if mix == best else "") for mix, cell in cells.iterrows())])
        if cells["published_mean"].any():
            values = [
                f"{mean} ± {sd}" if mean else "" for mean, sd in cells[["published_mean", "published_sd"]].to_numpy()
            ]
            lines.append([Cell("published", "italic"), *(Cell(value, "italic") for value in values)])
    number_of_table = "".join(f" (the paper's Table {n})" for n in sorted(set(rows["published_table"]) - {""}))
    note = (
        f"Mean ± SD ({_runs(rows)}). Bold: the best column where the 95 % interval of its difference to the baseline "
        "excludes 0, or the baseline where that of every other lies below 0."
    )
    note += " In italics: what the paper prints." if number_of_table else ""
    return Section(f"Accuracy: {place(cohort)}{number_of_table}", ["classifier", *PAPER.values()], lines, note)


def _cell(arm: pd.Series, style: str = "") -> Cell:
    return Cell("" if math.isnan(arm["n_runs"]) else mean_sd(arm["mean"], arm["sd"]), style)


def _runs(rows: pd.DataFrame) -> str:
    rows = rows.dropna(subset="n_runs")
    if rows.empty:
        return "no runs"
    low, high = int(rows["n_runs"].min()), int(rows["n_runs"].max())
    runs = f"{low}" if low == high else f"{low} to {high}"
    return f"runs: {runs}; test sets averaged in each run: {int(rows['n_testsets'].max())}"


def _best(cells: pd.DataFrame) -> str | None:
    """Return the mix with the highest mean if it can be told from the baseline."""
    cells = cells.dropna(subset="mean")
    if cells.empty:
        return None
    best = cells["mean"].idxmax()
    if best == BASELINE:
        others = cells["verdict"].drop(BASELINE)
        return best if len(others) and (others == "hurts").all() else None
    return best if cells.loc[best, "verdict"] == "helps" else None


def mixes(metrics: Metrics) -> Table:
    """Accuracy of every mix, on the cohort's own test sets and on external ones: rows mixes, columns classifiers."""
    table = with_verdicts(arms(metrics, "accuracy"), metrics, "accuracy")
    sections = []
    for tested, rows in table.groupby(TESTED, sort=False):
        classifiers = list(dict.fromkeys(rows["classifier"]))
        lines: list[list[Cell | str]] = []
        for mix in mixes_in_order(rows["mix"]):
            cells = rows[rows["mix"] == mix].set_index("classifier").reindex(classifiers)
            marks = {"helps": " ↑", "hurts": " ↓"}
            texts = [(_cell(cell).text, marks.get(cell["verdict"], "")) for _, cell in cells.iterrows()]
            lines.append([mix, *(text + mark for text, mark in texts)])
        note = (
            f"Mean ± SD ({_runs(rows)}). ↑ and ↓: the 95 % interval of the difference to the baseline lies above or "
            "below 0."
        )
        sections.append(Section(f"Accuracy of all mixes: {place(tested)}", ["mix", *classifiers], lines, note))
    return "Accuracy of all mixes", table, sections


def scores(metrics: Metrics) -> Table:
    """Precision, recall and F1 (weighted, and of the positive label), and what the ranking is worth."""
    names = [name for group in SCORES.values() for name in group]
    table = pd.concat([arms(metrics, name).assign(metric=name) for name in names], ignore_index=True)
    sections = []
    for tested, rows in table.groupby(TESTED, sort=False):
        for title, group in SCORES.items():
            lines = []
            for (classifier, mix), cells in rows.groupby(["classifier", "mix"], sort=False):
                cells = cells.set_index("metric").reindex(group)
                lines.append([classifier, mix, *(_cell(cell) for _, cell in cells.iterrows())])
            header = ["classifier", "mix", *(NAMES[name] for name in group)]
            note = f"Mean ± SD ({_runs(rows)})."
            if "sensitivity_at_95_specificity" in group:
                note += " The threshold of the sensitivity is chosen on the test images (read off their ROC curve)."
            sections.append(Section(f"{title}: {place(tested)}", header, lines, note, 2))
    return "Scores", table, sections


COMPARISON: Columns = {
    "classifier": lambda row: row["classifier"],
    "mix": lambda row: row["mix"],
    "runs": lambda row: number(row["n_runs"]),
    "difference": lambda row: signed(row["difference"]),
    "95 % interval": lambda row: limits(row["ci_low"], row["ci_high"], signed),
    "effect size": lambda row: signed(row["effect_size"], 2),
    "p": lambda row: number(row["p_value"]),
    "p (Holm)": lambda row: number(row["p_holm"]),
    "interval says": lambda row: row["verdict"],
    "Holm says": lambda row: row["verdict_holm"],
    "remark": lambda row: row["reason"],
}


def comparisons(metrics: Metrics) -> Table:
    """Every mix against the baseline: one section per test and metric, within which Holm's correction is made."""
    table = metrics["comparisons"]
    sections = []
    for (*tested, metric), rows in table.groupby([*TESTED, "metric"], sort=False):
        if metric not in COMPARED:
            continue
        note = (
            "Differences to the baseline, paired by run. Interval: two-level bootstrap over runs and test patients. "
            "Effect size: mean / SD of the paired differences with Hedges' correction. p: sign-flip test; Holm: "
            f"corrected for the {number(rows['n_comparisons'].max()) or 0} comparisons of this table."
        )
        floor = rows["p_holm_floor"].min()
        note += "" if math.isnan(floor) else f" The smallest corrected p that so few runs can reach is {floor:.3g}."
        sections.append(section(f"Difference in {NAMES[metric]}: {place(tested)}", rows, COMPARISON, note, 2))
    return "Comparisons with the baseline", table, sections


REPLICATES: Columns = {
    "classifier": lambda row: row["classifier"],
    "mix": lambda row: row["mix"],
    "metric": lambda row: NAMES[row["metric"]],
    "replicates": lambda row: number(row["n_replicates"]),
    "difference": lambda row: signed(row["difference"]),
    "SD between replicates": lambda row: number(row["sd"], 2),
    "95 % interval": lambda row: limits(row["ci_low"], row["ci_high"], signed),
    "verdict": lambda row: row["verdict"],
    "remark": lambda row: row["reason"],
}


def replicates(metrics: Metrics) -> Table:
    """The mean difference over samplings that differ in their draw alone."""
    table = metrics["replicates"]
    sections = []
    for tested, rows in table[table["metric"].isin(COMPARED)].groupby(TESTED, sort=False):
        note = (
            f"Replicated samplings: {', '.join(sorted(set(rows['samplings'])))}. Mean difference to the baseline, its "
            "SD between replicates and Student's 95 % interval with the replicates as units: other training images "
            "and another training of the generators."
        )
        sections.append(section(f"Replicates: {place(tested)}", rows, REPLICATES, note, 3))
    return "Replicated samplings", table, sections


SINGLE: Columns = {
    "classifier": lambda row: row["classifier"],
    "mix": lambda row: row["mix"],
    "run": lambda row: number(row["run"]),
    "test set": lambda row: row["testset"],
    "ROC-AUC": lambda row: f"{row['roc_auc']:.3f}" if not math.isnan(row["roc_auc"]) else "",
    "95 % interval": lambda row: limits(row["ci_low"], row["ci_high"], "{:.3f}".format),
    "remark": lambda row: row["reason"],
}


def roc_auc(metrics: Metrics) -> Table:
    """The ROC-AUC of every single model with DeLong's interval."""
    table = metrics["roc_auc"]
    sections = []
    for tested, rows in table.groupby(TESTED, sort=False):
        note = (
            "DeLong's 95 % interval, which takes the images as independent: too narrow where patients have several. "
            "It covers new images for this one trained model, not another run."
        )
        sections.append(section(f"ROC-AUC of single models: {place(tested)}", rows, SINGLE, note, 4))
    return "ROC-AUC of single models", table, sections


def experts(metrics: Metrics) -> Table:
    """How classifiers trained on real images alone recognise the pools (the paper's VGG Expert), beside real images."""
    keys = [*COHORT, "classifier", "generator", "label"]
    values = ["recognised", "mean_confidence", "recognised_real", "mean_confidence_real"]
    groups = metrics["recognition"].groupby(keys, sort=False)
    table = groups.agg(
        n_runs=("recognised", "count"),
        n=("n", "max"),
        n_real=("n_real", "max"),
        **{f"{name}_{how}": (name, how) for name in values for how in ("mean", "std")},
    ).reset_index()

    def shown(name: str):
        return lambda row: "" if np.isnan(row[f"{name}_mean"]) else mean_sd(row[f"{name}_mean"], row[f"{name}_std"])

    columns: Columns = {name: (lambda row, name=name: row[name]) for name in ("classifier", "generator", "label")}
    columns |= {
        "synthetic recognised": shown("recognised"),
        "mean confidence": shown("mean_confidence"),
        "real recognised": shown("recognised_real"),
        "mean confidence (real)": shown("mean_confidence_real"),
        "n synthetic / real": lambda row: " / ".join(number(row[name]) for name in ("n", "n_real")),
    }
    sections = [
        section(
            f"Recognition of synthetic images: {place(cohort)}",
            rows,
            columns,
            "Classifiers trained on real images alone: share of the images of a class that they recognise as such, and "
            "the mean probability they give to it; mean ± SD over runs. Real: test images that they have not seen.",
            3,
        )
        for cohort, rows in table.groupby(COHORT, sort=False)
    ]
    return "Recognition of synthetic images", table, sections
