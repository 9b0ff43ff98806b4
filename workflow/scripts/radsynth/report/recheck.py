"""Decide again from the predictions that an archive keeps: ``python -m radsynth.report.recheck FOLDER``."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from radsynth.report.archive import archived_tables, read_source
from radsynth.report.arms import Arms
from radsynth.report.chapter import tidy_tables
from radsynth.report.correction import corrected_evaluations
from radsynth.report.predictions import read_predictions
from radsynth.report.statistics import compare
from radsynth.report.tidy import TESTED, Metrics, Row, as_table, study_facts, task_of
from radsynth.report.verdicts import verdict_rows

KEYS = [*TESTED, "classifier", "mix", "metric"]
# Kept numbers have ten digits, kept probabilities those of 32 bits.
TOLERANCE = 1e-3


def decided_again(metrics: Metrics) -> tuple[list[Row], list[Row]]:
    """Return the rows of comparisons and verdicts, made anew from the predictions that an archive keeps.

    ``metrics`` are the tables of the archive (``archive.read_source``); its own comparisons and verdicts are not read.
    """
    facts = study_facts(metrics)
    measured, arms = read_predictions(metrics), Arms.of(facts)
    comparisons = compare(measured + corrected_evaluations(measured), arms, int(facts["seed"]))
    return comparisons, verdict_rows(comparisons, arms, metrics["cohorts"].to_dict("records"), task_of(facts))


def disagreements(metrics: Metrics) -> tuple[int, list[str]]:
    """Return how many comparisons and verdicts of an archive were made again, and a line for each that differs.

    Words must be equal, differences and p-values up to a thousandth of themselves.
    """
    count, lines = 0, []
    for name, rows, keys, numbers in zip(
        ("comparisons", "verdicts"),
        decided_again(metrics),
        ([*KEYS, "question", "reference"], KEYS),
        (["difference", "p_value", "p_holm"], ["p_value", "p_holm"]),
        strict=True,
    ):
        found = as_table(tidy_tables()[name], rows)
        both = metrics[name].merge(found, "outer", keys, suffixes=("", "_again"), indicator=True)
        wrong = (both["_merge"] != "both") | (both["verdict"] != both["verdict_again"])
        for number in numbers:
            kept, again = both[number], both[f"{number}_again"]
            wrong |= ~np.isclose(kept, again, rtol=TOLERANCE, atol=1e-6, equal_nan=True)
        count += len(both)
        lines += [f"{name}: {', '.join(map(str, row[keys]))}" for _, row in both[pd.Series(wrong)].iterrows()]
    return count, lines


def main() -> None:
    folder = Path(sys.argv[1])
    metrics = read_source({name: folder / f"{name}.csv" for name in archived_tables(folder)}, "archive")
    if metrics["predictions"].empty:
        sys.exit(f"{folder}: keeps no predictions (it was made before they were kept)")
    count, lines = disagreements(metrics)
    print(*lines, f"{count - len(lines)} of {count} comparisons and verdicts come out again as they are kept", sep="\n")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
