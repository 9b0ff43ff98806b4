"""Independent check of finished cohorts: no test image has been seen, or nearly seen, in training.

Nothing of the code that builds the cohorts is used here: the files are compared directly, column by column.
"""

from collections.abc import Iterable, Mapping
from itertools import product
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
    validation: str | Path | None = None,
    counts: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Check the cohort files of a scenario against each other and against the manifest, and return what was found.

    ``tests`` are tables whose column ``testset`` tells their test sets apart.
    ``counts`` is how many images of each label the scenario asks for, in ``train`` and ``validation`` together.
    UserError if there are more or fewer.

    UserError, naming two files or images, if a set holds an image twice or one that differs from the manifest, or if
    a test image is also in a training set (of the classifier or of a generator) or in the ``validation`` set, or shares
    with one of their images what a gate forbids to share, or, with ``test_split``, if an image is on the wrong side of
    the published split. Validation images are held against the training sets in the same way, and must not share a
    patient with them even if that gate is off. What a gate that is off would have refused is counted in ``overlaps``
    (test images) and ``validation_overlaps``.
    """
    known = read_table(manifest).set_index("image_id")
    trains = {str(path): read_table(path) for path in dict.fromkeys([train, *generator_trains])}
    held_back = {} if validation is None else {str(validation): read_table(validation)}
    test_sets = _read_test_sets(tests)
    for path, table in (trains | held_back | test_sets).items():
        _check_set(path, table, known, manifest)
    if counts is not None:
        _check_counts(train, [trains[str(train)], *held_back.values()], counts)
    if test_split is not None:
        for path, table in (trains | held_back | test_sets).items():
            wrong = table["image_id"][(table["split"] == test_split) != (path in test_sets)]
            if len(wrong):
                raise UserError(f"{path}: {wrong.iloc[0]} is on the wrong side of the published split {test_split}")
    forbidden = ["image_id", *(column for gate, column in GATED_COLUMNS.items() if gates[gate])]
    for one, other, columns in (
        (test_sets, trains | held_back, forbidden),
        (held_back, trains, [*forbidden, GATED_COLUMNS["patient"]]),
    ):
        for (path, table), (training, trained), column in product(one.items(), other.items(), columns):
            _refuse_shared(column, path, table, training, trained)
    trained, tested = pd.concat(trains.values()), pd.concat(test_sets.values())
    validated = pd.concat([trained.head(0), *held_back.values()])
    seen = pd.concat([trained, validated])
    overlaps = _overlaps(tested, seen)
    unknown = int((pd.concat([seen, tested]).drop_duplicates("image_id")["patient_id"] == "").sum())
    return {
        "checked": {
            "train_images": len(trains[str(train)]),
            "generator_train_images": len(trained.drop_duplicates("image_id")),
            "validation_images": len(validated),
            "test_sets": len(test_sets),
            "test_images": len(tested.drop_duplicates("image_id")),
            "images_without_patient_id": unknown,
        },
        "overlaps": overlaps,
        "validation_overlaps": _overlaps(validated, trained),
        "patient_safe": unknown == 0 and overlaps["patient"] == 0,
        "gates": gates,
    }


def _check_counts(train: str | Path, drawn: Iterable[pd.DataFrame], counts: Mapping[str, int]) -> None:
    """Raise UserError if there are more or fewer images of a label than the scenario asks for."""
    found = pd.concat(drawn)["label"].value_counts().to_dict()
    if found != {label: count for label, count in counts.items() if count}:
        raise UserError(f"{train}: {_counted(found)} with those for validation, the scenario says {_counted(counts)}")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} images of {label}" for label, count in counts.items() if count) or "no image"


def _read_test_sets(paths: Iterable[str | Path]) -> dict[str, pd.DataFrame]:
    """Return the test sets of all tables by path and name; a table without a row is one without an image."""
    sets = {}
    for path in paths:
        table = read_table(path, ["testset"])
        names = list(dict.fromkeys(table["testset"]))
        sets |= {f"{path}, {name}": table[table["testset"] == name] for name in names} or {str(path): table}
    return sets


def _check_set(path: str, table: pd.DataFrame, known: pd.DataFrame, manifest: str | Path) -> None:
    """Raise UserError if an image is in a set twice, or is not what the manifest says it is."""
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


def _shared(column: str, tested: pd.DataFrame, trained: pd.DataFrame) -> pd.Series:
    """Return which images share a known value of the column with a training image."""
    return tested[column].isin(set(trained[column]) - {""})


def _overlaps(tested: pd.DataFrame, trained: pd.DataFrame) -> dict[str, int]:
    """Return, by gate, how many images share what it guards with a training image."""
    return {gate: int(_shared(column, tested, trained).sum()) for gate, column in GATED_COLUMNS.items()}


def _refuse_shared(column: str, test: str, tested: pd.DataFrame, training: str, trained: pd.DataFrame) -> None:
    leaks = tested[_shared(column, tested, trained)]
    if len(leaks):
        leak = leaks.iloc[0]
        seen = trained.loc[trained[column] == leak[column], "image_id"].iloc[0]
        raise UserError(
            f"{test}: {leak['image_id']} and {seen} in {training} {_MEANING[column]} "
            f"({column} {leak[column]}; {len(leaks)} such images)"
        )
