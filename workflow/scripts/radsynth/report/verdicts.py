"""Does a mix of real and synthetic images help? The word on it, from all that it was compared with."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from radsynth.report.arms import (
    ABOVE,
    AGAINST_BASELINE,
    AGAINST_CONTROL,
    AGAINST_CORRECTED,
    BELOW,
    HELPS,
    HURTS,
    NO_CONTROL,
    NO_MORE_THAN_THRESHOLD,
    NO_MORE_THAN_TRAINING,
    NO_WORSE_THAN_TRAINING,
    REFERENCES,
    UNDECIDED,
    Arms,
)
from radsynth.report.inference import ALPHA
from radsynth.report.statistics import correct
from radsynth.report.tidy import TESTED, headline_metrics
from radsynth.tasks.task import Task

Row = dict[str, Any]


def verdict_rows(comparisons: Iterable[Row], arms: Arms, cohorts: Iterable[Row], task: Task) -> list[Row]:
    """Return the rows of verdicts.csv: does a mix of real and synthetic images help, by the word?

    It helps where it beats all its references: the baseline, its matched control and, in metrics that a threshold
    changes, the baseline with corrected outputs. The p-value is the largest of theirs (intersection-union test), 1 if
    the differences disagree in sign, and Holm's correction is over the classifiers and mixes of one cohort, test and
    metric. It hurts where it is below baseline and control in the same way. Otherwise the word says what explains a
    difference to the baseline, or that nothing is decided. ``cohorts`` are the rows of cohorts.csv.
    """
    headline = headline_metrics(task, pd.DataFrame(cohorts))
    asked: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in comparisons:
        if row["question"] in REFERENCES:
            asked[tuple(row[key] for key in (*TESTED, "classifier", "mix", "metric"))][row["question"]] = row
    rows = []
    for key, against in asked.items():
        row = dict(zip((*TESTED, "classifier", "mix", "metric"), key, strict=True))
        row |= {"headline": row["metric"] == headline.get(key[:3]), "reason": ""}
        row["control"] = arms.controls.get(row["scenario"], {}).get(row["mix"], "")
        sign = task.sign(row["metric"])
        better = all(sign * reference.get("difference", 0) > 0 for reference in against.values())
        below = [reference for question, reference in against.items() if question != AGAINST_CORRECTED]
        worse = all(sign * reference.get("difference", 0) < 0 for reference in below)
        needed = list(against.values()) if better else below
        if all("p_value" in reference for reference in needed):
            row["p_value"] = max(reference["p_value"] for reference in needed) if better or worse else 1.0
        else:
            row["reason"] = next(reference["reason"] for reference in needed if "p_value" not in reference)
        rows.append(row | {"better": better, "against": against})
    correct(rows, [*TESTED, "metric"])
    for row in rows:
        decided, has_control = row.get("p_holm", 1.0) < ALPHA, bool(row["control"])
        words = (ABOVE, BELOW) if task.sign(row["metric"]) > 0 else (BELOW, ABOVE)
        row["verdict"] = _word(row.pop("against"), row.pop("better"), decided, has_control, words)
    return rows


def _word(against: Mapping[str, Row], better: bool, decided: bool, has_control: bool, words: tuple[str, str]) -> str:
    """Return the verdict on one mix from what it was compared with; ``words`` say that it is better, or worse."""
    above, below = words
    said = {question: row["verdict"] for question, row in against.items()}
    baseline, control = said[AGAINST_BASELINE], said.get(AGAINST_CONTROL)
    if not has_control:
        return {above: NO_CONTROL, below: HURTS}.get(baseline, UNDECIDED)
    if decided:
        return HELPS if better else HURTS
    if baseline == above and control != above:
        return NO_MORE_THAN_TRAINING
    if baseline == above and said.get(AGAINST_CORRECTED, above) != above:
        return NO_MORE_THAN_THRESHOLD
    return NO_WORSE_THAN_TRAINING if baseline == below and control != below else UNDECIDED
