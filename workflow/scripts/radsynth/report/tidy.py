"""The tidy tables of ``metrics/*.csv``: what their columns hold, and one way to write and read them.

They are the archive's boundary: tables, figures and the summary see nothing else. Each belongs to a chapter
(``report.chapter``). An undefined value is empty, with the reason in the column ``reason``. Floats have ten significant
digits, so equal inputs give equal bytes.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.files import write_text
from radsynth.common.tables import read_table
from radsynth.tasks.task import Task, make_task

BASELINE = "baseline"
COHORT = ["dataset", "sampling", "scenario"]
# What is compared with each other: the classifiers of one cohort on its own test sets (``tested_on`` is ``test``), or
# on another dataset (``external_DATASET``). ``synthetic_POOL`` are pools, see ``recognition``. A column ``generator``
# beside a label names the pool, as in archives of before there were pools with names of their own.
TESTED = [*COHORT, "tested_on"]
# ``common`` is the test set that all samplings of a scenario share.
OWN, COMMON, EXTERNAL, SYNTHETIC = "test", "common", "external_", "synthetic_"
# The key of study.csv that lists the generators whose model was chosen with a warning; there is none without them.
WARNINGS = "selection_warnings"

# What a column holds: a name, of the characters that the configuration allows; a number; a text of any kind, which is
# shown as it is; or something encoded (JSON, lists), which whoever shows it decodes.
NAME, NUMBER, TEXT, CODED = "name", "number", "text", "coded"
OF_NAMES = re.compile(r"[A-Za-z0-9_-]*")
# The facts of a study that stand in sentences.
NAMED_FACTS = ("study", "positive_label", "image_size")

Row = dict[str, Any]
Metrics = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Tidy:
    """One tidy table: its columns in order, each with what it holds (``names``, ``numbers``, ``texts``, ``coded``).

    One that is not ``drawn`` is kept for other work, such as to decide again: no table, figure or word reads it.
    """

    kinds: Mapping[str, str]
    drawn: bool = True

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.kinds)

    def of_kind(self, *kinds: str) -> list[str]:
        """Return the columns that hold something of these kinds."""
        return [column for column, kind in self.kinds.items() if kind in kinds]


def names(*columns: str) -> dict[str, str]:
    """Return columns of names (letters, digits, _ and -)."""
    return dict.fromkeys(columns, NAME)


def numbers(*columns: str) -> dict[str, str]:
    """Return columns of numbers."""
    return dict.fromkeys(columns, NUMBER)


def texts(*columns: str) -> dict[str, str]:
    """Return columns of free texts."""
    return dict.fromkeys(columns, TEXT)


def coded(*columns: str) -> dict[str, str]:
    """Return columns of what is encoded in a text."""
    return dict.fromkeys(columns, CODED)


def as_text(value: Any) -> str:
    """Return a value as it stands in a csv: ten significant digits, ``true``/``false``, empty for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _texts(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    columns = list(columns)
    return pd.DataFrame([[as_text(row.get(column)) for column in columns] for row in rows], columns=columns, dtype=str)


def write_csv(path: str | Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as csv with exactly these columns; a key that is missing from a row is left empty."""
    write_text(path, _texts(columns, rows).to_csv(index=False, lineterminator="\n"))


def as_table(tidy: Tidy, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as the table that ``read_tidy`` reads after they were written."""
    return _typed(tidy, _texts(tidy.columns, rows))


def read_tidy(name: str, tidy: Tidy, path: Path) -> pd.DataFrame:
    """Return the tidy table ``name``. Columns of numbers are floats (NaN where empty), the others strings.

    Raises UserError if the file is missing or lacks a column, or if something else stands in place of a name, which is
    written into pages and tables as it is.
    """
    if not path.is_file():
        raise UserError(f"{path}: not found, expected the table `{name}` of the metrics")
    table = read_table(path, tidy.columns)
    cells = [(column, value) for column in tidy.of_kind(NAME) for value in table[column].unique()]
    if name == "study":
        cells += [("value", value) for value in table.loc[table["key"].isin(NAMED_FACTS), "value"]]
    for column, value in cells:
        if not OF_NAMES.fullmatch(value):
            raise UserError(f"{path}: {value[:60]!r} in column {column}, expected a name of letters, digits, _ and -")
    try:
        return _typed(tidy, table)
    except ValueError as error:
        raise UserError(f"{path}: a text in place of a number ({str(error)[:80]!r})") from None


def _typed(tidy: Tidy, table: pd.DataFrame) -> pd.DataFrame:
    for column in tidy.of_kind(NUMBER):
        table[column] = pd.to_numeric(table[column].replace("", None)).astype(float)
    return table


def headline_metrics(task: Task, cohorts: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Return by cohort the metric in which it is asked whether a mix helps; ``cohorts`` are the rows of cohorts.csv."""
    train = cohorts[cohorts["subset"] == "train"]
    return {cohort: task.headline(list(n)) for cohort, n in train.groupby(COHORT, sort=False)["n_images"]}


def task_of(facts: Mapping[str, Any]) -> Task:
    """Return what the classifiers of a study predict, from its facts; older ones do not tell, and are of labels."""
    labels = facts.get("labels", "").split(", ")
    return make_task(facts.get("task", "classification"), labels, facts.get("positive_label", "positive label"))


def study_facts(metrics: Metrics) -> dict[str, str]:
    """Return the facts of the study, by key."""
    table = metrics["study"]
    return dict(zip(table["key"], table["value"], strict=True))


def labels_in_order(metrics: Metrics, names: Iterable[str]) -> list[str]:
    """Return distinct labels in the order of the study; others, of a study that does not tell, as they appear."""
    labels = study_facts(metrics).get("labels", "").split(", ")
    names = list(dict.fromkeys(names))
    return [label for label in labels if label in names] + [name for name in names if name not in labels]


def place(names: Iterable[str]) -> str:
    """Return dataset, sampling, scenario and, if given, what was tested on, as words."""
    *cohort, tested_on = names if len(names := tuple(names)) > len(COHORT) else (*names, OWN)
    where = {OWN: [], COMMON: ["tested on the images that no sampling has drawn"]}
    return ", ".join([*cohort, *where.get(tested_on, [f"tested on {tested_on.removeprefix(EXTERNAL)}"])])


def range_text(numbers: Iterable[float]) -> str:
    """Return ``5``, or ``5 to 7`` where the numbers differ."""
    low, high = int(min(numbers)), int(max(numbers))
    return f"{low}" if low == high else f"{low} to {high}"


def on_real_images(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of evaluations on real images, without those on pools."""
    return table[~table["tested_on"].str.startswith(SYNTHETIC)]


def per_run(classification: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return one value per run on real images: the mean over its test sets, NaN if one of them is undefined.

    Columns: dataset, sampling, scenario, tested_on, classifier, mix, run, value, n_testsets; order of appearance.
    """
    keys = [*TESTED, "classifier", "mix", "run"]
    chosen = on_real_images(classification[classification["metric"] == metric])
    groups = chosen.groupby(keys, sort=False)["value"]
    return groups.agg(value=lambda values: values.mean(skipna=False), n_testsets="size").reset_index()
