"""Test sets in one table: the first column names the set of each row."""

from collections.abc import Mapping

import pandas as pd

TESTSET = "testset"


def stacked(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of test sets by name, or of what is said of them, one set after the other."""
    named = []
    for name, table in tables.items():
        named.append(table.copy())
        named[-1].insert(0, TESTSET, name)
    return pd.concat(named, ignore_index=True)
