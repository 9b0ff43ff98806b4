"""The archive of a study: its aggregate metrics with a manifest; no image of a patient and no synthetic one."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
import yaml

from radsynth.analysis.tidy import COLUMNS, Metrics, read_metrics
from radsynth.common.errors import UserError
from radsynth.common.files import read_json, write_json, write_text
from radsynth.common.hashing import sha256_file

MANIFEST, CONFIG = "manifest.json", "config.yaml"
PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "torch", "diffusers", "tensorflow", "tensorflow-cpu", "keras")


def write_config(path: str | Path, config: Mapping[str, Any]) -> None:
    """Write the resolved configuration; absolute paths in it are cut to their last part."""
    write_text(path, yaml.safe_dump(_portable(config), sort_keys=False))


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the configuration that lies beside the metrics, or UserError if there is none."""
    if not Path(path).is_file():
        raise UserError(f"{path}: not found, expected the configuration beside the metrics")
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def write_archive(folder: str | Path, files: Iterable[str | Path], date: str) -> None:
    """Copy the metrics tables and the configuration beside them to ``folder``, with a manifest.

    The manifest holds the SHA-256 of every file, the study, ``date``, the versions and the machine in words, with the
    devices that the jobs recorded. UserError for any other file, so that no image gets in.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        if Path(file).name not in {CONFIG, *(f"{name}.csv" for name in COLUMNS)}:
            raise UserError(
                f"{file}: not {CONFIG} or one of the metrics tables {', '.join(COLUMNS)}; only they are kept"
            )
        shutil.copyfile(file, folder / Path(file).name)
    kept = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    manifest = {
        "study": read_config(folder / CONFIG)["study"],
        "date": date,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "machine": {
            "cpu": _cpu_name(),
            "cpu_count": os.cpu_count(),
            "devices": sorted(set(pd.read_csv(folder / "costs.csv")["device"].dropna())),
            "platform": f"{platform.system()} {platform.machine()}",
        },
        "files": {path.name: sha256_file(path) for path in kept},
    }
    write_json(folder / MANIFEST, manifest)


def verify_archive(folder: str | Path) -> dict[str, Any]:
    """Return the manifest of an archive, or raise UserError for a file that is missing or has changed."""
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder / MANIFEST}: not found; paper.version names no archive")
    manifest = read_json(folder / MANIFEST)
    for name, expected in manifest["files"].items():
        if Path(name).name != name:
            raise UserError(f"{folder / MANIFEST}: names {name!r}, expected files in its folder")
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: missing from the archive, expected SHA-256 {expected}")
        found = sha256_file(folder / name)
        if found != expected:
            raise UserError(f"{folder / name}: SHA-256 is {found}, the archive's manifest says {expected}")
    return manifest


def read_source(files: Mapping[str, Any], source: str) -> Metrics:
    """Return the metrics named in ``files``; ``source`` is ``build`` or ``archive``, which is verified first."""
    paths = {name: files[name] for name in COLUMNS if name in files.keys()}  # noqa: SIM118 (Snakemake's namedlist)
    if source == "archive":
        for folder in sorted({Path(path).parent for path in paths.values()}):
            verify_archive(folder)
    return read_metrics(paths)


def _portable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _portable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_portable(item) for item in value]
    if isinstance(value, str) and (PurePath(value).is_absolute() or value.startswith("~")):
        return PurePath(value).name
    return value


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
