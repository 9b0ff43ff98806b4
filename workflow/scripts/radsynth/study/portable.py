"""The configuration as it may leave: in metrics, archives and reports."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from radsynth.common.hashing import sha256_json
from radsynth.common.schema import read_schema

LEFT_OUT = "(left out)"


def portable(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dataset's entry with a fixed word for every text that may name patients or the machine.

    These are the options whose schema calls them ``local``: paths, patterns and addresses. It stays a valid entry.
    """
    return {key: _without_texts(value) if key in _local(dataset) else value for key, value in dataset.items()}


def portable_pool(pool: Mapping[str, Any], files: Collection[str]) -> dict[str, Any]:
    """Return a pool's entry with a fixed word for every option that is one of the user's own ``files``.

    It stays a valid entry.
    """
    return {key: f"{LEFT_OUT}{Path(value).suffix}" if value in files else value for key, value in pool.items()}


def local_hash(dataset: Mapping[str, Any]) -> str:
    """Return what tells that an option has changed that ``portable`` leaves out, 16 hexadecimal digits."""
    return sha256_json({key: dataset[key] for key in sorted(_local(dataset))})[:16]


def _local(dataset: Mapping[str, Any]) -> set[str]:
    common = read_schema("config")["properties"]["datasets"]["additionalProperties"]["properties"]
    options = common | read_schema("sources")[dataset["source"]]["properties"]
    return {key for key in dataset if options[key].get("local")}


def _without_texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_texts(inner) for key, inner in value.items()}
    return [LEFT_OUT] if isinstance(value, list) else LEFT_OUT
