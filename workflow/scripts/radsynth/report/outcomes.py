"""Every mix of real and synthetic images beside all that it must beat to help, and how its outcome is worded."""

import numpy as np
import pandas as pd

from radsynth.report.arms import (
    AGAINST_BASELINE,
    HELPS,
    HURTS,
    NO_CONTROL,
    NO_MORE_THAN_THRESHOLD,
    NO_MORE_THAN_TRAINING,
    NO_WORSE_THAN_TRAINING,
    REFERENCES,
    UNDECIDED,
)
from radsynth.report.render import number, signed
from radsynth.report.tidy import COHORT, OWN, TESTED, Metrics, headline_metrics, study_facts, task_of

# In the order in which they are counted.
WORDS = (
    *(HELPS, HURTS, NO_MORE_THAN_TRAINING, NO_MORE_THAN_THRESHOLD, NO_WORSE_THAN_TRAINING, NO_CONTROL),
    UNDECIDED,
)
ARM = [*TESTED, "classifier", "mix", "metric"]
OF_REFERENCE = [
    *("reference_mean", "difference", "ci_low", "ci_high", "detectable", "n_comparisons", "p_holm"),
    *("verdict", "reason"),
]


def outcomes(metrics: Metrics) -> pd.DataFrame:
    """Return one row per test, classifier, metric and mix of real and synthetic images.

    Beside ARM: ``n_runs``, ``n_groups``, ``mix_mean``, the columns of verdicts.csv (an outcome that has no row there is
    undecided, for the reason of its comparison with the baseline), and for each of REFERENCES those of OF_REFERENCE
    as ``baseline_difference``, ``control_difference``, ... NaN or empty where there is no such reference.
    """
    rows = metrics["comparisons"]
    rows = rows[rows["question"].isin(REFERENCES)]
    table = rows.loc[rows["question"] == AGAINST_BASELINE, [*ARM, "n_runs", "n_groups", "mix_mean"]]
    for question in REFERENCES:
        part = rows.loc[rows["question"] == question, [*ARM, *OF_REFERENCE]]
        named = {name: f"{question}_{name}" for name in OF_REFERENCE}
        table = table.merge(part.rename(columns=named), on=ARM, how="left")
    table = table.merge(metrics["verdicts"].drop(columns="headline"), on=ARM, how="left")
    texts = ["control", "verdict", "reason", *(f"{name}_{part}" for name in REFERENCES for part in OF_REFERENCE[-2:])]
    table["verdict"] = table["verdict"].fillna(UNDECIDED)
    table["reason"] = table["reason"].fillna(table["baseline_reason"])
    table[texts] = table[texts].fillna("")
    return table.assign(headline=is_headline(table, metrics))


def is_headline(rows: pd.DataFrame, metrics: Metrics) -> pd.Series:
    """Return which rows are about the headline metric of their cohort."""
    chosen = headline_metrics(task_of(study_facts(metrics)), metrics["cohorts"])
    cohorts = zip(*(rows[name] for name in COHORT), strict=True)
    found = [chosen.get(cohort) == metric for cohort, metric in zip(cohorts, rows["metric"], strict=True)]
    return pd.Series(found, rows.index, dtype=bool)


def headline_outcomes(metrics: Metrics) -> pd.DataFrame:
    """Return the outcomes in the headline metric on the cohorts' own test sets."""
    table = outcomes(metrics)
    return table[table["headline"] & (table["tested_on"] == OWN)]


def value(mean: float) -> str:
    """Return a metric's value with three digits."""
    return "undefined" if np.isnan(mean) else f"{mean:.3f}"


def difference(row: pd.Series, question: str = "") -> str:
    """Return a difference with its interval and corrected p-value in words, or why there is none.

    ``row`` comes from ``outcomes``, then ``question`` says to which reference, or from comparisons or replicates.
    """
    about = f"{question}_" if question else ""
    if np.isnan(row[f"{about}difference"]):
        return f"undefined ({row[f'{about}reason']})"
    text = signed(row[f"{about}difference"])
    if np.isnan(row[f"{about}ci_low"]):
        return f"{text} (no interval: {row[f'{about}reason']})"
    text += f" (95 % interval {signed(row[f'{about}ci_low'])} to {signed(row[f'{about}ci_high'])}"
    p_holm = row[f"{about}p_holm"]
    return text + (")" if np.isnan(p_holm) else f", p after Holm {number(p_holm, 2)})")


def tally(rows: pd.DataFrame) -> str:
    """Return how often each word was said: ``helps: 2; undecided: 4``."""
    counts = rows["verdict"].value_counts()
    return "; ".join(f"{word}: {counts[word]}" for word in WORDS if word in counts)


def answer(words: set[str]) -> str:
    """Return the answer to the question whether the synthetic images help, from all verdicts that were given."""
    alone = {
        HELPS: "Yes, here they help",
        HURTS: "No, here they hurt",
        NO_MORE_THAN_TRAINING: "No more than longer training does",
        NO_MORE_THAN_THRESHOLD: "No more than a shifted threshold does",
        NO_WORSE_THAN_TRAINING: "No worse than longer training does",
        NO_CONTROL: "Above real images alone, but without a control",
        UNDECIDED: "These runs cannot tell",
    }
    if len(words) == 1:
        return alone[min(words)]
    if HELPS in words:
        return "It depends" if HURTS in words else "In part"
    if HURTS in words:
        return "No sign that they help"
    explained = {NO_MORE_THAN_TRAINING: "longer training", NO_MORE_THAN_THRESHOLD: "a shifted threshold"}
    causes = [cause for word, cause in explained.items() if word in words]
    if causes:
        return f"No sign that they help more than {' or '.join(causes)} does"
    return "In part above real images alone, but without a control" if NO_CONTROL in words else alone[UNDECIDED]
