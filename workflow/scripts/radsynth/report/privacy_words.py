"""What the numbers say, in words, about attacks: whether one could tell who was trained on, or could have."""

import math

import pandas as pd

from radsynth.report.tidy import COHORT, Metrics, place

READING = (
    "\nAn AUC is the share of pairs of a training and a test image in which the attack takes the right one for the "
    "training image. The interval is of 95 %, over patients: each stands by itself, and of twenty attacks without any "
    "success one would seem to have some. A smaller effect than the smallest that could have been shown goes "
    "unnoticed, and an attack that fails says nothing of others. Where a sampling does not draw at random, test images "
    "also differ from training images by how these were chosen, which moves the AUC without any generator."
)


def sentences(metrics: Metrics) -> list[str]:
    """Return the section of the summary, nothing without an attack."""
    attacks = metrics["attacks"]
    if attacks.empty:
        return []
    lines = ["\n## Can an attacker tell who was trained on?\n"]
    for cohort, part in attacks.groupby(COHORT, sort=False):
        lines += [f"**{place(cohort)}**\n", *(_sentence(row) for _, row in part.iterrows()), ""]
    return [*lines[:-1], READING]


def _sentence(row: pd.Series) -> str:
    counts = f"{row['n_members']:.0f} training and {row['n_non_members']:.0f} test images"
    return f"- {row['pool']} {row['label']}, {row['attack']} (reads {row['access']}; {counts}): {_found(row)}."


def _found(row: pd.Series) -> str:
    """Return AUC, interval and chance, what they show, and what could have been shown."""
    chance, least = f"chance {row['chance']:g}", f"smallest AUC that could have been shown {row['least_auc']:.2f}"
    if math.isnan(row["auc"]):
        return f"**no power**: AUC undefined, {chance} ({row['reason']})"
    if math.isnan(row["low"]) or math.isnan(row["least_auc"]):
        least = "no AUC could have been shown" if math.isnan(row["least_auc"]) else least
        return f"**no power**: AUC {row['auc']:.2f} without an interval, {chance}, {least} ({row['reason']})"
    numbers = f"AUC {row['auc']:.2f} [{row['low']:.2f}, {row['high']:.2f}], {chance}, {least}"
    if row["low"] > row["chance"]:
        return f"**training images are told from others**: {numbers}"
    if row["high"] < row["chance"]:
        return f"**training images are told from others**, by lower scores: {numbers}"
    return f"not told from chance: {numbers}"
