"""Content hashes."""

import hashlib
import json
from pathlib import Path

import numpy as np


def sha256_file(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_pixels(image: np.ndarray) -> str:
    """Return the hexadecimal SHA-256 of an array's bytes in C order (its shape is not included)."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def sha256_json(value: object) -> str:
    """Return the hexadecimal SHA-256 of a JSON-serialisable value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
