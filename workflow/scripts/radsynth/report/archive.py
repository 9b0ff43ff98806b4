"""The archive of a study: its metrics with a manifest; no image of a patient and no synthetic one.

Of single test images it keeps label, patient and predictions, under numbers (radsynth.report.predictions).
"""

import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from radsynth.common.errors import UserError
from radsynth.common.files import atomic_folder, read_json, write_json, write_text
from radsynth.common.hashing import sha256_file
from radsynth.report.chapter import chapters, read_metrics, tidy_tables
from radsynth.report.tidy import Metrics

log = logging.getLogger(__name__)

MANIFEST, CONFIG = "manifest.json", "config.yaml"
TIMESTAMP = ".snakemake_timestamp"  # Snakemake keeps the age of a folder in it
PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "torch", "diffusers", "tensorflow", "tensorflow-cpu", "keras")


def write_config(path: str | Path, config: Mapping[str, Any]) -> None:
    """Write the resolved configuration, as ``read_config`` reads it."""
    write_text(path, yaml.safe_dump(dict(config), sort_keys=False))


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the configuration that lies beside the metrics, or UserError if there is none."""
    if not Path(path).is_file():
        raise UserError(f"{path}: not found, expected the configuration beside the metrics")
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def write_archive(folder: str | Path, files: Iterable[str | Path], date: str) -> None:
    """Copy the metrics tables and the configuration beside them to ``folder``, with a manifest.

    The manifest holds the SHA-256 of every file, the study, ``date``, the versions and the machine in words, with the
    devices that the jobs recorded. UserError for any other file or content, so that no image gets in, and for an
    archive of other results that is there already. One of the same results is left as it is.
    """
    folder, files = Path(folder), [Path(file) for file in files]
    for file in files:
        _check_kept(file)
    sums = {file.name: sha256_file(file) for file in sorted(files, key=lambda file: file.name)}
    if folder.is_dir() and any(folder.iterdir()):
        if verify_archive(folder)["files"] == sums:
            log.info("%s: holds these results already", folder)
            return
        raise UserError(
            f"{folder}: holds an archive of other results, which is not overwritten; name another one with "
            f"--config 'paper={{version: NAME}}', or remove that folder"
        )
    config, costs = (next(file for file in files if file.name == name) for name in (CONFIG, "costs.csv"))
    manifest = {
        "study": read_config(config)["study"],
        "date": date,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "machine": {
            "cpu": _cpu_name(),
            "cpu_count": os.cpu_count(),
            "devices": sorted(set(pd.read_csv(costs)["device"].dropna())),
            "platform": f"{platform.system()} {platform.machine()}",
        },
        "files": sums,
    }
    with atomic_folder(folder) as partial:
        for file in files:
            shutil.copyfile(file, partial / file.name)
        write_json(partial / MANIFEST, manifest)


def _check_kept(file: Path) -> None:
    """Raise UserError unless the file is the configuration or a metrics table, by its name and by its columns."""
    if file.name == CONFIG:
        return
    known = tidy_tables()
    if file.name not in {f"{name}.csv" for name in known}:
        raise UserError(f"{file}: not {CONFIG} or one of the metrics tables {', '.join(known)}; only they are kept")
    with open(file, "rb") as stream:
        header = stream.readline().strip()
    expected = ",".join(known[file.stem].columns)
    if header != expected.encode():
        raise UserError(f"{file}: not the metrics table `{file.stem}`, whose first line is {expected}")


def verify_archive(folder: str | Path) -> dict[str, Any]:
    """Return the manifest of an archive, or raise UserError for a file that is missing, has changed or was added."""
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder / MANIFEST}: not found; paper.version names no archive")
    try:
        manifest = read_json(folder / MANIFEST)
        sums = dict(manifest["files"])
    except (UserError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder / MANIFEST}: not the manifest of an archive") from None
    for name in _expected(sums):
        if name not in sums:
            raise UserError(f"{folder / MANIFEST}: names no SHA-256 of {name}")
    for name, expected in sums.items():
        if Path(name).name != name:
            raise UserError(f"{folder / MANIFEST}: names {name!r}, expected files in its folder")
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: missing from the archive, expected SHA-256 {expected}")
        found = sha256_file(folder / name)
        if found != expected:
            raise UserError(f"{folder / name}: SHA-256 is {found}, the archive's manifest says {expected}")
    added = sorted({path.name for path in folder.iterdir()} - {MANIFEST, TIMESTAMP, *sums})
    if added:
        raise UserError(f"{folder / added[0]}: does not belong to the archive, whose manifest does not name it")
    return manifest


def _expected(found: Collection[str]) -> list[str]:
    """Return the files of a whole archive of which some were found: it may lack all tables of a later chapter."""
    parts = [(chapter.later, [f"{name}.csv" for name in chapter.metrics]) for chapter in chapters().values()]
    return [CONFIG, *(name for later, names in parts for name in names if not later or set(names) & set(found))]


def archived_tables(folder: str | Path) -> list[str]:
    """Return which tidy tables an archive holds; UserError if it is not whole (``verify_archive``)."""
    files = verify_archive(folder)["files"]
    return [name for name in tidy_tables() if f"{name}.csv" in files]


def read_source(files: Mapping[str, Any], source: str) -> Metrics:
    """Return the metrics named in ``files``; ``source`` is ``build`` or ``archive``, which is verified first."""
    paths = {name: files[name] for name in tidy_tables() if name in files.keys()}  # noqa: SIM118 (Snakemake's namedlist)
    if source == "archive":
        for folder in sorted({Path(path).parent for path in paths.values()}):
            verify_archive(folder)
    return read_metrics(paths)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str | None:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None)


def _git_commit() -> str | None:
    """Return the commit, with ``-dirty`` behind it if files have been changed since."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
