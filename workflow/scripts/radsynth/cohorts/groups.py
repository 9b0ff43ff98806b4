"""Groups of images that must not be separated into training and test."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from radsynth.common.errors import UserError

# Which manifest column each gate guards.
GATED_COLUMNS = {"patient": "patient_id", "pixels": "sha256", "near_duplicates": "near_duplicate_group"}


def kept_for_testing(manifest: pd.DataFrame, test_split: str | None) -> np.ndarray:
    """Return which images (bool, n) only test sets may hold: those of the published split ``test_split``, if any.

    UserError if the manifest tells no split, or no image is of that one.
    """
    if test_split is None:
        return np.zeros(len(manifest), dtype=bool)
    splits = manifest.get("split", pd.Series("", index=manifest.index))
    kept = (splits == test_split).to_numpy()
    if not kept.any():
        found = ", ".join(sorted(set(splits) - {""})) or "no split"
        raise UserError(f"test_split: no image of the split {test_split!r}, the manifest tells {found}")
    return kept


def image_groups(manifest: pd.DataFrame, gates: dict[str, bool]) -> pd.Series:
    """Return the group number of every image of a data set, indexed by image_id.

    A group is a connected component: two images are linked if they share a known patient, the same pixels or a
    near-duplicate group, in one class or across classes, each only if its gate is on. Empty values link nothing.
    """
    n = len(manifest)
    images, values, n_nodes = [], [], n
    for column in (column for gate, column in GATED_COLUMNS.items() if gates[gate]):
        known = np.flatnonzero(manifest[column] != "")
        codes, distinct = pd.factorize(manifest[column].iloc[known])
        images.append(known)
        values.append(codes + n_nodes)
        n_nodes += len(distinct)
    rows = np.concatenate([*images, np.empty(0, int)])
    columns = np.concatenate([*values, np.empty(0, int)])
    # Images and the values they carry are the two kinds of nodes, so n links suffice for a group of n images.
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(n_nodes, n_nodes))
    components = connected_components(links, directed=False)[1]
    return pd.Series(components[:n], index=manifest["image_id"].to_numpy())
