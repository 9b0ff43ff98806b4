"""Images of one dataset that repeat those of another, which generators were pretrained on or pools are made from.

Names of images, patients and near-duplicate groups mean nothing across datasets: pixels are compared, and what images
show (see radsynth.data.duplicates). Whether two datasets share a patient by other images is not known.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.images import read_gray
from radsynth.common.tables import read_table
from radsynth.data.duplicates import near_duplicate_pairs, thumbnail

COLUMNS = ["image_id", "gate", "dataset", "repeats"]
#: The gates that mean something across datasets, and what they say of two images.
ACROSS = {
    "pixels": "have the same pixels",
    "near_duplicates": "are near duplicates",
    "patient": "are of the same patient, of whom the dataset repeats an image",
}


def near_duplicates(one: pd.DataFrame, other: pd.DataFrame, roots: tuple[str | Path, str | Path]) -> np.ndarray:
    """Return the pairs (m, 2) of rows of two datasets whose images are near duplicates.

    ``one`` and ``other`` are rows of their manifests, ``roots`` the folders that these lie in.
    """
    tables = (one, other)
    thumbnails = [
        thumbnail(read_gray(Path(root) / file, sha256))
        for root, table in zip(roots, tables, strict=True)
        for file, sha256 in zip(table["file"], table["sha256"], strict=True)
    ]
    # Patients of two datasets may have the same name.
    patients = [f"{k} {name}" if name else "" for k, table in enumerate(tables) for name in table["patient_id"]]
    return near_duplicate_pairs(np.stack(thumbnails), patients, split=len(one)) - [0, len(one)]


def find_repeats(
    own: pd.DataFrame, other: pd.DataFrame, roots: tuple[str | Path, str | Path], dataset: str
) -> pd.DataFrame:
    """Return which images of a manifest repeat which of another ``dataset``: a row of COLUMNS per pair and gate."""
    same = own.merge(other, on="sha256", suffixes=("", "_other"))
    pairs = near_duplicates(own, other, roots)
    found = {
        "pixels": (same["image_id"], same["image_id_other"]),
        "near_duplicates": [t["image_id"].iloc[rows] for t, rows in zip((own, other), pairs.T, strict=True)],
    }
    tables = [
        pd.DataFrame({"image_id": list(images), "gate": gate, "dataset": dataset, "repeats": list(repeated)})
        for gate, (images, repeated) in found.items()
    ]
    return pd.concat(tables)[COLUMNS]


def read_repeats(paths: Iterable[str | Path], manifest: pd.DataFrame, gates: Mapping[str, bool]) -> pd.DataFrame:
    """Return the rows of all tables of ``find_repeats`` of one dataset, of this manifest, and what follows from them.

    An image that repeats one of another dataset tells whose that is, unless the gate that has found it is off: rows of
    the gate ``patient`` name all images of that patient.
    """
    found = pd.concat([pd.DataFrame(columns=COLUMNS), *map(read_table, paths)])
    known = manifest.loc[manifest["patient_id"] != "", ["image_id", "patient_id"]]
    same = found[found["gate"].isin([gate for gate in gates if gates[gate]])].merge(known, on="image_id")
    of_patients = known.merge(same.drop_duplicates("patient_id").drop(columns=["image_id", "gate"]), on="patient_id")
    return pd.concat([found, of_patients.assign(gate="patient")[COLUMNS]])


def check_elsewhere(
    tested: Iterable[str | Path], repeats: Iterable[str | Path], manifest: str | Path, gates: Mapping[str, bool]
) -> dict[str, int]:
    """Return, by gate, how many images of tables repeat one of another dataset that pools know.

    ``tested`` are tables of test and validation images, ``repeats`` those of ``find_repeats`` of all their dataset.
    UserError, naming both images, for one that a gate forbids; what a gate that is off would have refused is counted.
    """
    known = read_repeats(repeats, read_table(manifest), gates)
    images: dict[str, set[str]] = {gate: set() for gate in ACROSS}
    for path in tested:
        there = known[known["image_id"].isin(read_table(path)["image_id"])]
        for gate, meaning in ACROSS.items():
            found = there[there["gate"] == gate]
            images[gate].update(found["image_id"])
            if len(found) and gates[gate]:
                leak = found.iloc[0]
                raise UserError(
                    f"{path}: {leak['image_id']} and {leak['repeats']} of the dataset {leak['dataset']}, which pools "
                    f"know, {meaning} ({found['image_id'].nunique()} such images); take another dataset, or switch off "
                    f"gates.{gate} if these images only look alike"
                )
    return {gate: len(found) for gate, found in images.items()}
