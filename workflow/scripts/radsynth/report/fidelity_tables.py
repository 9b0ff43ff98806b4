"""The table of conditions: what the images show of what was asked, beside real images and chance."""

import math

import pandas as pd

from radsynth.report.fidelity_words import MEASURES, asked, named, verdict, with_limits
from radsynth.report.render import Cell, Columns, Table, number, section
from radsynth.report.tidy import COHORT, Metrics, place

COLUMNS: Columns = {
    "pool": named,
    "asked": asked,
    "measure": lambda row: MEASURES.get(row["measure"], ""),
    "finding": lambda row: Cell(verdict(row), "bold" if row["verdict"] else "italic"),
    "synthetic [95 %]": lambda row: with_limits(row, "value", "low", "high"),
    "real [95 %]": lambda row: with_limits(row, "real", "real_low", "real_high"),
    "chance [95 % of deals]": lambda row: with_limits(row, "chance", "chance_low", "chance_high"),
    "p": lambda row: number(row["p_value"], 2),
    "difference [95 %]": lambda row: with_limits(row, "difference", "difference_low", "difference_high", "+"),
    "share of real": lambda row: "" if math.isnan(row["ratio"]) else f"{100 * row['ratio']:.0f} %".replace("-", "−"),
    "n synthetic / real (patients)": lambda row: _counts(row),
}


def fidelity(metrics: Metrics) -> Table:
    """Every condition of every pool: what was found, the pool beside real images and chance."""
    rows = metrics["fidelity"]
    note = (
        "Attributes: balanced accuracy or rank correlation of what a reader of real training images reads with what "
        "was asked; real: held-out images. Lesions: mean gray inside minus around the places that were asked for; "
        "real: training images with their own. Chance: the same with the conditions of other images of the label. "
        "Difference: the excess over chance minus that of real images; share of real: their quotient. Without power "
        "real images do not show it either, or there are too few."
    )
    sections = [
        section(f"What was asked and what is shown: {place(cohort)}", part, COLUMNS, note + _reasons(part), 4)
        for cohort, part in rows.groupby(COHORT, sort=False)
    ]
    return "What was asked of the images, and what they show", rows, sections


def _counts(row: pd.Series) -> str:
    if math.isnan(row["n_real"]):
        return number(row["n"])
    return f"{row['n']:.0f} / {row['n_real']:.0f} ({row['n_real_groups']:.0f})"


def _reasons(rows: pd.DataFrame) -> str:
    """Return why there is no finding, and what was left out."""
    told = [
        f" {named(row)}, {asked(row)}: {text}."
        for _, row in rows.iterrows()
        for text in (row["reason"], row["note"])
        if text
    ]
    return "".join(dict.fromkeys(told))
