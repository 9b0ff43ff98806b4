"""The values that the paper prints, beside ours."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.tables import read_table
from radsynth.report.tidy import COHORT, Metrics

FOLDER = Path(__file__).resolve().parents[4] / "resources" / "published"
COLUMNS = ["source", "table", "sampling", "scenario", "classifier", "mix", "metric", "mean", "sd", "note"]


def published_files() -> list[Path]:
    """Return the tables of published values that come with the workflow."""
    return sorted(FOLDER.glob("*.csv"))


def read_published(files: Iterable[str | Path], sources: dict[str, str]) -> pd.DataFrame:
    """Return published values with our ``dataset`` for those data sets whose source is the paper's.

    ``sources`` maps data sets to their sources; ``mean`` and ``sd`` stay text, with the printed digits.
    """
    tables = [pd.DataFrame(columns=COLUMNS)]
    for file in files:
        table = read_table(file)
        if list(table.columns) != COLUMNS:
            raise UserError(f"{file}: columns {', '.join(table.columns)}, expected {', '.join(COLUMNS)}")
        tables.append(table)
    published = pd.concat(tables, ignore_index=True)
    datasets = pd.DataFrame(sources.items(), columns=["dataset", "source"], dtype=str)
    return published.merge(datasets, on="source")[[*COHORT, *COLUMNS[4:], "table"]]


def sources(metrics: Metrics) -> dict[str, str]:
    """Return the source of every data set, from the entry ``datasets`` of study.csv (``name: source; ...``)."""
    study = metrics["study"].set_index("key")["value"]
    return dict(entry.split(": ") for entry in study["datasets"].split("; "))
