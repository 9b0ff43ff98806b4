"""What made each result: a record beside the outputs of every job.

Snakemake keeps such records too, but apart from the results: a copied or renamed folder comes without them, and
Snakemake then takes it for what the configuration asks for. A record holds the rule, its parameters (the slice of the
configuration, seeds, and the hash of the code) and sums of inputs and outputs. Planning compares the parameters, and
the inputs with the records of what made them; jobs compare the sums of what they read.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.files import write_json
from radsynth.common.hashing import sha256_file, sha256_json

FOLDER = ".made"
RESULTS = "results"
#: Folders of images: the manifest beside them has the sum of each.
IN_MANIFEST = ("images", "masks")

NO_RECORD = "nothing tells what made it"
OTHER_CODE = "other code"

#: What is said of parameters whose values tell nothing.
WORDS = {
    "code": OTHER_CODE,
    "raw": "other raw files",
    "looked_for": "other raw files",
    "dataset.left_out": "another path or pattern of the dataset",
}
LONGEST_VALUE = 40
DIFFERENCES_SHOWN = 3
PATHS_SHOWN = 100


def _below_results(path: Path) -> tuple[str, ...]:
    """Return the parts of a path from the study's name on, none if it is not below ``results``.

    Another workflow that has this one as a module may set folders before.
    """
    return path.parts[path.parts.index(RESULTS) + 1 :] if RESULTS in path.parts else ()


def _by_record(outputs: Iterable[str]) -> dict[Path, list[Path]]:
    """Return the outputs of a job below ``results``, by the record of each of their folders."""
    folders: dict[Path, list[Path]] = {}
    for output in map(Path, outputs):
        if _below_results(output):
            folders.setdefault(output.parent, []).append(output)
    return {folder / FOLDER / f"{found[0].name}.json": found for folder, found in folders.items()}


def _plain(params: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """Return parameters as JSON gives them back; paths below results hold neither the study's name nor what is before.

    These are the study and the folders of a job's ``output``.
    """
    text = json.dumps(params, default=str)
    results = "/".join(output.parts[: output.parts.index(RESULTS) + 1])
    text = re.sub(rf'"{re.escape(results)}(?=[/"])', f'"{RESULTS}', text)
    return json.loads(re.sub(rf'"{RESULTS}/{re.escape(_below_results(output)[0])}(?=[/"])', f'"{RESULTS}/*', text))


def _sum(path: Path) -> str | dict[str, str] | None:
    """Return what tells that a file or folder is another: None if that is left to a manifest."""
    if path.is_dir():
        if path.name in IN_MANIFEST:
            return None
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        return {file.relative_to(path).as_posix(): _sum(file) for file in files}
    return sha256_file(path)


def remove_record(outputs: Iterable[str]) -> None:
    """Remove what has been said of a job's outputs: this run of it may not come to its end."""
    for found in _by_record(outputs).values():
        names = {path.name for path in found}
        for record, content in _records(found[0].parent):
            if names & content["outputs"].keys():
                record.unlink(missing_ok=True)


def write_record(rule: str, params: Mapping[str, Any], inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Record what made the outputs of a job, in ``.made`` beside them; those outside ``results`` have no record."""
    for record, found in _by_record(outputs).items():
        content = {
            "rule": rule,
            "params": _plain(params, found[0]),
            "inputs": _recorded_sums(inputs),
            "outputs": {path.name: _sum(path) for path in found},
        }
        write_json(record, content)


@cache
def _read(record: Path, _state: tuple[int, ...]) -> dict[str, Any] | None:
    """Return a record, None if it is not one; read once for each state of the file."""
    with suppress(OSError, ValueError):
        found = json.loads(record.read_text(encoding="utf-8"))
        if isinstance(found, dict) and found.keys() == {"rule", "params", "inputs", "outputs"}:
            return found
    return None


def _records(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((folder / FOLDER).glob("[!.]*.json")):
        try:
            facts = path.stat()
        except FileNotFoundError:  # another job of this folder has just begun
            continue
        if record := _read(path, (facts.st_mtime_ns, facts.st_size, facts.st_ino)):
            yield path, record


def _of(output: Path) -> dict[str, Any] | None:
    """Return the record of the job that made an output, None if there is none."""
    return next((record for _, record in _records(output.parent) if output.name in record["outputs"]), None)


def recorded_param(output: str | Path, name: str) -> Any:
    """Return a parameter of the job that made an output, None if that is not known."""
    record = _of(Path(output))
    return record["params"].get(name) if record else None


def _recorded_sums(inputs: Iterable[str]) -> dict[str, str]:
    """Return what the records say of inputs, by their path below the study; not of images, whose manifest is one."""
    sums = {}
    for path in map(Path, inputs):
        record = _of(path) if _below_results(path) else None
        if record and (found := record["outputs"][path.name]) is not None:
            sums["/".join(_below_results(path)[1:])] = found if isinstance(found, str) else sha256_json(found)
    return sums


def check_inputs(inputs: Iterable[str]) -> None:
    """Raise UserError for a result that is not any more what its job has written: cut off, swapped or edited.

    Images in folders are left to those who read them (``common.images``), since a manifest has the sum of each.
    """
    for path in map(Path, inputs):
        record = _of(path) if _below_results(path) else None
        expected = record["outputs"][path.name] if record else None
        if expected is None:
            continue
        found = _sum(path)
        if found != expected:
            inside = _first_difference(found, expected) if isinstance(expected, dict) else ""
            raise UserError(
                f"{path / inside}: not what the job {record['rule']} has written; delete {path} to have it made anew, "
                "or put back what was there"
            )


def _first_difference(found: Any, expected: Mapping[str, str]) -> str:
    found = found if isinstance(found, dict) else {}
    return next((name for name in sorted(found | expected) if found.get(name) != expected.get(name)), "")


def differences(rule: str, params: Mapping[str, Any], inputs: Iterable[str], outputs: Iterable[str]) -> list[str]:
    """Return in words what differs between the job that made the outputs and one of ``rule`` with ``params``.

    Or between the inputs that it read and those that are there, by the records of both. Empty if nothing does. Outputs
    that are not there, and those outside ``results``, are passed over.
    """
    for path, found in _by_record(outputs).items():
        if not any(map(os.path.lexists, found)):
            continue
        record = next((record for name, record in _records(path.parents[1]) if name == path), None)
        if record is None:
            return [NO_RECORD]
        if record["rule"] != rule:
            return [f"made by {record['rule']}"]
        then, now = (dict(_leaves(values)) for values in (record["params"], _plain(params, found[0])))
        if changed := [key for key in {**now, **then} if then.get(key, _NOTHING) != now.get(key, _NOTHING)]:
            return list(dict.fromkeys(_in_words(key, then, now) for key in changed))
        for name, known in _recorded_sums(inputs).items():
            if record["inputs"].get(name, known) != known:
                return [f"made from another {name}"]
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
    if key in WORDS:
        return WORDS[key]
    texts = [json.dumps(values[key]) if key in values else "nothing" for values in (then, now)]
    if max(map(len, texts)) > LONGEST_VALUE:
        return key
    return f"{key} {texts[0]}, now {texts[1]}"


def stop(stale: Mapping[str, tuple[str, list[str]]], doomed: Iterable[str], kept: Iterable[str]) -> UserError:
    """Return the error that says in one line which results something else has made, and what to do.

    ``stale`` has rule and differences by output, ``doomed`` are these outputs and those that follow from them,
    ``kept`` those that are as configured.
    """
    first, (rule, found) = next(iter(stale.items()))
    others = f" and {len(stale) - 1} more were" if len(stale) > 1 else " was"
    shown = "; ".join(found[:DIFFERENCES_SHOWN]) + ("; ..." if len(found) > DIFFERENCES_SHOWN else "")
    return UserError(
        f"{first}{others} not made by this configuration ({rule}: {shown}), which Snakemake does not see; to make anew "
        f"what differs and what follows from it, delete {' '.join(_to_delete(doomed, kept))}; to keep it, take the "
        "change back, or give the study another name (study: ...)"
    )


def _to_delete(doomed: Iterable[str], kept: Iterable[str]) -> list[str]:
    """Return the fewest paths, from a stage's folder down, that hold all doomed outputs and none that is kept."""
    above_kept = {folder for path in kept for folder in [Path(path), *Path(path).parents]}
    chosen: dict[Path, None] = {}
    stages: dict[Path, None] = {}
    for path in map(Path, doomed):
        ways = [Path(*path.parts[:length]) for length in range(path.parts.index(RESULTS) + 3, len(path.parts) + 1)]
        chosen[next((way for way in ways if way not in above_kept), path)] = None
        stages[ways[0]] = None
    return list(map(str, chosen if len(chosen) <= PATHS_SHOWN else stages))
