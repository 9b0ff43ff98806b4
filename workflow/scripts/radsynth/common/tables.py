"""Tables as text: manifests, cohorts and everything else that is CSV."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.files import atomic_path


def read_table(path: str | Path, columns: Collection[str] = (), **options: Any) -> pd.DataFrame:
    """Read a table; every cell is a string, an unknown value is the empty string.

    ``options`` are those of ``pandas.read_csv``. UserError if the file is missing, is no table, as after a cut, or
    lacks one of ``columns``.
    """
    try:
        table = pd.read_csv(path, **({"dtype": str, "keep_default_na": False} | options))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:  # of parsing, of decoding, and of an empty file
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not readable as a table ({reason}); delete it to have it made anew") from None
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(f"{path}: column {missing[0]} is missing, expected {', '.join(columns)}")
    return table


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
