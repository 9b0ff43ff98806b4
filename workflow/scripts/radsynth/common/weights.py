"""Published network weights: found by name in the registry, checked against the publisher's own checksum."""

import hashlib
from pathlib import Path
from typing import Any

import yaml

from radsynth.common.errors import UserError


def read_registry(path: str | Path) -> dict[str, dict[str, Any]]:
    """Return the registry: for each name its ``file``, ``url``, ``size`` (bytes), ``checksum``, ``licence`` and ``source``.

    A checksum is ``sha256:...``, ``md5:...`` or ``sha256-prefix:...`` (torch hub file names), as the publisher gives it.
    """
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def verify_weights(path: str | Path, entry: dict[str, Any]) -> str:
    """Return the file's SHA-256, or raise UserError if the file is missing or is not what was published."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: weights not found; download {entry['url']} and place it there")
    if path.stat().st_size != entry["size"]:
        raise UserError(f"{path}: {path.stat().st_size} bytes, the publisher's file has {entry['size']}; delete it and fetch it again")
    kind, expected = entry["checksum"].split(":")
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    found = hashlib.md5(data).hexdigest() if kind == "md5" else sha256
    matches = found.startswith(expected) if kind == "sha256-prefix" else found == expected
    if not matches:
        raise UserError(f"{path}: {kind} is {found}, the publisher's is {expected}; delete it and fetch it again")
    return sha256


def fetch_weights(path: str | Path, entry: dict[str, Any]) -> str:
    """Download the weights to ``path`` unless they are there, check them, and return their SHA-256."""
    import pooch

    path = Path(path)
    if not path.is_file():
        try:
            pooch.retrieve(entry["url"], known_hash=None, fname=path.name, path=path.parent)
        except Exception as error:
            raise UserError(
                f"{path}: could not be downloaded ({type(error).__name__}); download {entry['url']} elsewhere and place it there"
            ) from None
        try:
            return verify_weights(path, entry)
        except UserError:
            path.unlink()
            raise
    return verify_weights(path, entry)
