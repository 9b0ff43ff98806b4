"""The manifest of a prepared dataset: one row per image, checked against its schema."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath

import pandas as pd
from jsonschema import Draft202012Validator

from radsynth.common.errors import UserError
from radsynth.common.files import atomic_path
from radsynth.common.schema import read_schema

LONGEST_NAME = 120


def image_ids(sources: Sequence[str]) -> list[str]:
    """Return a unique, file-safe id for each raw name; it depends on nothing but the names that would collide with it.

    Folders are joined by ``-``, other characters than letters, digits, dot, underscore and hyphen become ``_``.
    """
    stems = (PurePosixPath(source).with_suffix("").as_posix() for source in sources)
    plain = [re.sub(r"[^A-Za-z0-9._-]", "_", stem.replace("/", "-")) for stem in stems]
    # Compared without case: some file systems do not tell A.png from a.png.
    seen = Counter(name.lower() for name in plain)
    return [
        name
        if seen[name.lower()] == 1 and 0 < len(name) <= LONGEST_NAME
        else f"{name[:LONGEST_NAME]}_{sha256(source.encode()).hexdigest()[:10]}"
        for name, source in zip(plain, sources, strict=True)
    ]


def write_manifest(path: str | Path, rows: Iterable[Mapping[str, str]], extra_columns: Sequence[str] = ()) -> None:
    """Write ``manifest.csv``, all columns as text; UserError naming row and column if a row breaks the schema."""
    schema = read_schema("manifest")  # of one row; what it requires is the order of the columns
    table = pd.DataFrame(list(rows), columns=[*schema["required"], *extra_columns], dtype=str).fillna("")
    validator = Draft202012Validator(schema)
    for number, row in enumerate(table.to_dict("records"), start=1):
        error = next(validator.iter_errors(row), None)
        if error is not None:
            column = ".".join(map(str, error.absolute_path)) or "columns"
            raise UserError(f"{path}: row {number} ({row['source']}), {column}: {error.message}")
    for column in ("image_id", "file", "source"):
        repeated = table[column][table[column].duplicated()]
        if len(repeated):
            raise UserError(f"{path}: {column} {repeated.iloc[0]!r} occurs more than once")
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
