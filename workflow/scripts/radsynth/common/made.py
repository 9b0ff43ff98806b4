"""What made each result: a record beside the outputs of every job.

Snakemake keeps such records too, but apart from the results: a copied or renamed folder comes without them, and
Snakemake then takes it for what the configuration asks for. A record holds the rule, its parameters (the slice of the
configuration, seeds, and the hash of the code) and a sum of every output. Planning compares the parameters, jobs
compare the sums of what they read.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.files import write_json
from radsynth.common.hashing import sha256_file

FOLDER = ".made"
RESULTS = "results"
#: Folders of images: the manifest beside them has the sum of each.
IN_MANIFEST = ("images", "masks")
#: Larger files (bytes) are known by their size alone: reading them twice would be felt.
HASHED = 64 * 2**20

LONGEST_VALUE = 40
DIFFERENCES_SHOWN = 3
PATHS_SHOWN = 100


def _by_record(outputs: Iterable[str]) -> dict[Path, list[Path]]:
    """Return the outputs of a job below ``results``, by the record of each of their folders."""
    folders: dict[Path, list[Path]] = {}
    for output in map(Path, outputs):
        if output.parts[0] == RESULTS:
            folders.setdefault(output.parent, []).append(output)
    return {folder / FOLDER / f"{found[0].name}.json": found for folder, found in folders.items()}


def _plain(params: Mapping[str, Any], study: str) -> dict[str, Any]:
    """Return parameters as JSON gives them back; paths below the study's results do not hold its name."""
    text = json.dumps(params, default=str)
    return json.loads(re.sub(rf'"{RESULTS}/{re.escape(study)}(?=[/"])', f'"{RESULTS}/*', text))


def _sum(path: Path) -> str | dict[str, str] | None:
    """Return what tells that a file or folder is another: None if that is left to a manifest."""
    if path.is_dir():
        if path.name in IN_MANIFEST:
            return None
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        return {file.relative_to(path).as_posix(): _sum(file) for file in files}
    size = path.stat().st_size
    return sha256_file(path) if size <= HASHED else f"{size} bytes"


def remove_record(outputs: Iterable[str]) -> None:
    """Remove what a job's last run has said of its outputs: this one may not come to its end."""
    for record in _by_record(outputs):
        record.unlink(missing_ok=True)


def write_record(rule: str, params: Mapping[str, Any], outputs: Iterable[str]) -> None:
    """Record what made the outputs of a job, in ``.made`` beside them; those outside ``results`` have no record."""
    for record, found in _by_record(outputs).items():
        sums = {path.name: _sum(path) for path in found}
        write_json(record, {"rule": rule, "params": _plain(params, found[0].parts[1]), "outputs": sums})


def _read(record: Path) -> dict[str, Any] | None:
    """Return a record, None if it is not there or not one."""
    with suppress(OSError, ValueError):
        found = json.loads(record.read_text(encoding="utf-8"))
        if isinstance(found, dict) and found.keys() == {"rule", "params", "outputs"}:
            return found
    return None


def recorded_param(output: str | Path, name: str) -> Any:
    """Return a parameter of the job that made an output, None if that is not known."""
    for _, record in _records(Path(output).parent):
        if Path(output).name in record["outputs"]:
            return record["params"].get(name)
    return None


def _records(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((folder / FOLDER).glob("*.json")):
        if record := _read(path):
            yield path, record


def check_inputs(inputs: Iterable[str]) -> None:
    """Raise UserError for a result that is not any more what its job has written: cut off, swapped or edited.

    Images in folders are left to those who read them (``common.images``), since a manifest has the sum of each.
    """
    known: dict[Path, dict[str, tuple[str, Any]]] = {}
    for path in map(Path, inputs):
        if path.parts[0] != RESULTS:
            continue
        if path.parent not in known:
            known[path.parent] = {
                name: (record["rule"], sums)
                for _, record in _records(path.parent)
                for name, sums in record["outputs"].items()
            }
        rule, expected = known[path.parent].get(path.name, ("", None))
        if expected is None:
            continue
        found = _sum(path)
        if found != expected:
            inside = _first_difference(found, expected) if isinstance(expected, dict) else ""
            raise UserError(
                f"{path / inside}: not what the job {rule} has written; delete {path} to have it made anew, or put "
                "back what was there"
            )


def _first_difference(found: Any, expected: Mapping[str, str]) -> str:
    found = found if isinstance(found, dict) else {}
    return next((name for name in sorted(found | expected) if found.get(name) != expected.get(name)), "")


def differences(rule: str, params: Mapping[str, Any], outputs: Iterable[str]) -> list[str]:
    """Return in words what differs between the job that made the outputs and one of ``rule`` with ``params``.

    Empty if nothing does. Outputs that are not there, and those outside ``results``, are passed over.
    """
    for path, found in _by_record(outputs).items():
        if not any(map(os.path.lexists, found)):
            continue
        record = _read(path)
        if record is None:
            return ["nothing tells what made it"]
        if record["rule"] != rule:
            return [f"made by {record['rule']}"]
        then, now = (dict(_leaves(values)) for values in (record["params"], _plain(params, found[0].parts[1])))
        if changed := [key for key in {**now, **then} if then.get(key, _NOTHING) != now.get(key, _NOTHING)]:
            return [_in_words(key, then, now) for key in changed]
    return []


_NOTHING = object()


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings by their dotted keys."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value


def _in_words(key: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if key in ("code", "raw"):
        return {"code": "other code", "raw": "other raw files"}[key]
    texts = [json.dumps(values[key]) if key in values else "nothing" for values in (then, now)]
    if max(map(len, texts)) > LONGEST_VALUE:
        return key
    return f"{key} {texts[0]}, now {texts[1]}"


def stop(stale: Mapping[str, tuple[str, list[str]]], kept: Iterable[str]) -> UserError:
    """Return the error that says in one line which results something else has made, and what to do.

    ``stale`` has rule and differences by output, ``kept`` are outputs that are as configured.
    """
    first, (rule, found) = next(iter(stale.items()))
    others = f" and {len(stale) - 1} other results were" if len(stale) > 1 else " was"
    shown = "; ".join(found[:DIFFERENCES_SHOWN]) + ("; ..." if len(found) > DIFFERENCES_SHOWN else "")
    return UserError(
        f"{first}{others} not made by this configuration ({rule}: {shown}), and Snakemake has no record of it; to make "
        f"anew what differs, delete {' '.join(_to_delete(stale, kept))}; to keep it, take the change back, or give the "
        "study another name (study: ...)"
    )


def _to_delete(stale: Iterable[str], kept: Iterable[str]) -> list[str]:
    """Return the fewest paths, from a stage's folder down, that hold all stale outputs and none that is kept."""
    above_kept = {folder for path in kept for folder in [Path(path), *Path(path).parents]}
    chosen: dict[Path, None] = {}
    stages: dict[Path, None] = {}
    for path in map(Path, stale):
        ways = [Path(*path.parts[:length]) for length in range(3, len(path.parts) + 1)]
        chosen[next((way for way in ways if way not in above_kept), path)] = None
        stages[ways[0]] = None
    return list(map(str, chosen if len(chosen) <= PATHS_SHOWN else stages))
