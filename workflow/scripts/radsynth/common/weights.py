"""Published network weights: found by name in the registry, checked against the publisher's own checksum."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import yaml

from radsynth.common.errors import UserError

REGISTRY = Path(__file__).resolve().parents[4] / "resources" / "weights.yaml"
REQUIRED = {"file", "url", "checksum", "licence", "source"}
ALGORITHMS = {"sha256": "sha256", "sha256-prefix": "sha256", "md5": "md5"}

log = logging.getLogger(__name__)


def read_registry(path: str | Path = REGISTRY) -> dict[str, dict[str, Any]]:
    """Return the registry: per name ``file``, ``url``, ``checksum``, ``licence``, ``source``, maybe ``size`` (bytes).

    A checksum is ``sha256:...``, ``md5:...`` or ``sha256-prefix:...`` (torch hub file names), whichever is published.
    """
    registry = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    for name, entry in registry.items():
        if missing := REQUIRED - entry.keys():
            raise UserError(f"{path}: {name} lacks {', '.join(sorted(missing))}")
        if entry["checksum"].split(":")[0] not in ALGORITHMS:
            raise UserError(f"{path}: {name}: checksum {entry['checksum']}, expected one of {', '.join(ALGORITHMS)}")
    return registry


def weights_entry(file: str, registry: str | Path = REGISTRY) -> dict[str, Any]:
    """Return the registry's entry of a weights file, by the name of the file."""
    entries = {entry["file"]: entry for entry in read_registry(registry).values()}
    if file not in entries:
        raise UserError(f"{file}: not in the registry {registry}, which knows {', '.join(sorted(entries))}")
    return entries[file]


def verify_weights(path: str | Path, entry: dict[str, Any]) -> str:
    """Return the file's SHA-256, or raise UserError if the file is missing or is not what was published."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: weights not found; download {entry['url']} and place it there")
    size = path.stat().st_size
    if size != entry.get("size", size):
        raise UserError(f"{path}: {size} bytes, the publisher's file has {entry['size']}; delete it and fetch it again")
    kind, expected = entry["checksum"].split(":")
    digests = {}
    for algorithm in {"sha256", ALGORITHMS[kind]}:
        with open(path, "rb") as stream:
            digests[algorithm] = hashlib.file_digest(stream, algorithm).hexdigest()
    found = digests[ALGORITHMS[kind]]
    matches = found.startswith(expected) if kind == "sha256-prefix" else found == expected
    if not matches:
        raise UserError(f"{path}: {kind} is {found}, the publisher's is {expected}; delete it and fetch it again")
    return digests["sha256"]


def fetch_weights(path: str | Path, entry: dict[str, Any]) -> str:
    """Download the weights to ``path`` unless they are there, check them, and return their SHA-256.

    A download that fails its check is removed; a file placed by hand is refused, but left for its owner to look at.
    """
    import pooch

    path = Path(path)
    if path.is_file():
        return verify_weights(path, entry)
    log.info("downloading %s", entry["url"])
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        pooch.retrieve(entry["url"], known_hash=None, fname=path.name, path=path.parent)
    except Exception as error:
        raise UserError(
            f"{path}: could not be downloaded ({type(error).__name__}); "
            f"download {entry['url']} elsewhere and place it there"
        ) from None
    try:
        return verify_weights(path, entry)
    except UserError:
        path.unlink()
        raise
