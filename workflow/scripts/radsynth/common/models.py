"""What tells one model from another."""

from pathlib import Path

from radsynth.common.hashing import sha256_file, sha256_json

# What a model directory tells about its training, but not about its images.
_NOT_THE_MODEL = {"metrics.jsonl", "describe.json", "selection.json"}


def model_hash(model_dir: str | Path) -> str:
    """Return one hash of all files of a model, without those that hold timings."""
    model_dir = Path(model_dir)
    files = sorted(file for file in model_dir.rglob("*") if file.is_file() and file.name not in _NOT_THE_MODEL)
    return sha256_json([[file.relative_to(model_dir).as_posix(), sha256_file(file)] for file in files])
