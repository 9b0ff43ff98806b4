"""Independent check of finished cohorts: no test image has been seen, or nearly seen, in training.

Nothing of the code that builds the cohorts is used here: the files are compared directly, column by column.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from radsynth.cohorts.groups import GATED_COLUMNS
from radsynth.common.errors import UserError
from radsynth.common.tables import read_table

_MEANING = {
    "image_id": "are the same image",
    "patient_id": "are of the same patient",
    "sha256": "have the same pixels",
    "near_duplicate_group": "are near duplicates",
}


def check_gates(
    train: str | Path,
    tests: Iterable[str | Path],
    generator_trains: Iterable[str | Path],
    manifest: str | Path,
    gates: dict[str, bool],
    test_split: str | None = None,
) -> dict[str, Any]:
    """Check the cohort files of a scenario against each other and against the manifest, and return what was found.

    UserError, naming two files or images, if a set holds an image twice or one that differs from the manifest, or if
    a test image is also in a training set (of the classifier or of a generator) or shares with one of its images what
    a gate forbids to share, or, with ``test_split``, if an image is on the wrong side of the published split. What a
    gate that is off would have refused is counted in ``overlaps``.
    """
    known = read_table(manifest).set_index("image_id")
    trains = {str(path): _read_set(path, known, manifest) for path in dict.fromkeys([train, *generator_trains])}
    test_sets = {str(path): _read_set(path, known, manifest) for path in tests}
    if test_split is not None:
        for path, table in (trains | test_sets).items():
            wrong = table["image_id"][(table["split"] == test_split) != (path in test_sets)]
            if len(wrong):
                raise UserError(f"{path}: {wrong.iloc[0]} is on the wrong side of the published split {test_split}")
    forbidden = ["image_id", *(column for gate, column in GATED_COLUMNS.items() if gates[gate])]
    for test, tested in test_sets.items():
        for training, trained in trains.items():
            for column in forbidden:
                _refuse_shared(column, test, tested, training, trained)
    trained, tested = pd.concat(trains.values()), pd.concat(test_sets.values())
    overlaps = {gate: int(_shared(column, tested, trained).sum()) for gate, column in GATED_COLUMNS.items()}
    unknown = int((pd.concat([trained, tested]).drop_duplicates("image_id")["patient_id"] == "").sum())
    return {
        "checked": {
            "train_images": len(trains[str(train)]),
            "generator_train_images": len(trained.drop_duplicates("image_id")),
            "test_sets": len(test_sets),
            "test_images": len(tested.drop_duplicates("image_id")),
            "images_without_patient_id": unknown,
        },
        "overlaps": overlaps,
        "patient_safe": unknown == 0 and overlaps["patient"] == 0,
        "gates": gates,
    }


def _read_set(path: str | Path, known: pd.DataFrame, manifest: str | Path) -> pd.DataFrame:
    """Read a cohort; UserError if an image is in it twice, or is not what the manifest says it is."""
    table = read_table(path)
    twice = table["image_id"][table["image_id"].duplicated()]
    if len(twice):
        raise UserError(f"{path}: image {twice.iloc[0]} is in the set twice")
    strange = table["image_id"][~table["image_id"].isin(known.index)]
    if len(strange):
        raise UserError(f"{path}: image {strange.iloc[0]} is not in {manifest}")
    expected = known.loc[table["image_id"]]
    for column in ("label", *GATED_COLUMNS.values()):
        differs = table[column].to_numpy() != expected[column].to_numpy()
        if differs.any():
            row = differs.argmax()
            raise UserError(
                f"{path}: {column} of image {table['image_id'].iloc[row]} is '{table[column].iloc[row]}', "
                f"expected '{expected[column].iloc[row]}' as in {manifest}"
            )
    return table


def _shared(column: str, tested: pd.DataFrame, trained: pd.DataFrame) -> pd.Series:
    """Return which test images share a known value of the column with a training image."""
    return tested[column].isin(set(trained[column]) - {""})


def _refuse_shared(column: str, test: str, tested: pd.DataFrame, training: str, trained: pd.DataFrame) -> None:
    leaks = tested[_shared(column, tested, trained)]
    if len(leaks):
        leak = leaks.iloc[0]
        seen = trained.loc[trained[column] == leak[column], "image_id"].iloc[0]
        raise UserError(
            f"{test}: {leak['image_id']} and the training image {seen} in {training} {_MEANING[column]} "
            f"({column} {leak[column]}; {len(leaks)} such test images)"
        )
