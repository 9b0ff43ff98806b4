"""Whole files or none: everything is written under another name first, then moved into place."""

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from radsynth.common.errors import UserError


def _reason(error: Exception) -> str | None:
    """Return what the operating system said, None if it said nothing."""
    for cause in (error, error.__context__):  # torch hides it behind an error of its own
        if isinstance(cause, shutil.Error):  # of a folder that was copied, with every file
            return str(cause.args[0][0][2])
        if isinstance(cause, OSError):
            return cause.strerror or str(cause)
    return str(error) if "os error" in str(error) else None  # safetensors


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Make what hinders writing ``path``, such as a full disk, a UserError that names it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise UserError(f"{path}: could not be written ({reason})") from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path``, on error it is removed.

    What a killed process left under the temporary path is overwritten by the next one. UserError if the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            sync(temporary)
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_folder(path: str | Path, durable: bool = True) -> Iterator[Path]:
    """Yield a new folder beside ``path``; on success it replaces ``path``, on error it is removed.

    What a killed process left there is removed by the next one. UserError if the disk is full. Not ``durable``: files
    may be empty after a power cut, which costs time for each to exclude, and which the sums of a manifest tell as well.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with writing(path):
            temporary.mkdir(parents=True)
            yield temporary
            for part in [*temporary.rglob("*"), temporary] if durable else []:
                sync(part)
            shutil.rmtree(path, ignore_errors=True)
            temporary.replace(path)
            sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def sole_writer(path: str | Path) -> Iterator[None]:
    """Hold the lock file ``path`` as long as the body runs or the process lives; UserError if another process does.

    Snakemake's own lock does not cover jobs that outlive a killed Snakemake.
    """
    path = Path(path)
    with ExitStack() as stack:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without a buffer: what does not fit on a full disk is not tried again when the file is closed.
            stream = stack.enter_context(open(path, "ab+", buffering=0))
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise UserError(
                f"{path}: {stream.read().decode()} still writes here; wait for its end or end it, then start again"
            ) from None
        except OSError:
            pass  # a file system without locks
        stream.truncate(0)
        with suppress(OSError):
            stream.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def sync(path: str | Path) -> None:
    """Make the contents of a file or folder survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write indented JSON atomically; NaN and infinity are refused (undefined values are null)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; UserError if it is missing or is not one, as after a cut."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON ({error}); delete it to have it made anew") from None
