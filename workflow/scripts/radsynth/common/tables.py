"""Tables as text: manifests, cohorts and everything else that is CSV."""

from pathlib import Path

import pandas as pd

from radsynth.common.files import atomic_path


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table; every cell is a string, an unknown value is the empty string."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
