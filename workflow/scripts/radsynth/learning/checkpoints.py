"""The state of an unfinished training: always one whole checkpoint on disk, whenever the process dies."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch

from radsynth.common.errors import UserError
from radsynth.common.files import sync, writing
from radsynth.common.hashing import sha256_file

log = logging.getLogger(__name__)


class Checkpoints:
    """Checkpoints of one training below ``folder``, which must not be a declared Snakemake output.

    Each is a folder ``step_N`` with ``state.pt`` (tensors and plain values, no pickled classes) and ``manifest.json``
    (step, fingerprint, size and SHA-256 of the state). It is written under another name and moved into
    place when whole; its predecessor stays, for the case that the newest is damaged later. A state with another
    ``fingerprint`` (other data, options, seed or code) is discarded.
    """

    def __init__(self, folder: str | Path, fingerprint: str):
        self.folder, self.fingerprint = Path(folder), fingerprint

    def save(self, step: int, state: dict[str, Any], keep: int = 2) -> None:
        """Write the state after ``step`` steps and remove all but the ``keep`` newest.

        UserError if it cannot be written, as on a full disk; the states before it stay.
        """
        final = self.folder / f"step_{step:09d}"
        partial = self.folder / ".partial"
        try:
            with writing(final / "state.pt"):
                self._write(partial, step, state)
        except UserError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if final.exists():
            # Only after going back to an older state: this one is then not the newest good state.
            shutil.rmtree(final)
        partial.replace(final)
        sync(self.folder)
        for old in self._newest_first()[keep:]:
            shutil.rmtree(old)

    def _write(self, partial: Path, step: int, state: dict[str, Any]) -> None:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with open(partial / "state.pt", "wb") as stream:  # given a path, torch does not tell why it failed
            torch.save(state, stream)
        sync(partial / "state.pt")
        manifest = {
            "step": step,
            "fingerprint": self.fingerprint,
            "size": (partial / "state.pt").stat().st_size,
            "sha256": sha256_file(partial / "state.pt"),
        }
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        sync(partial / "manifest.json")
        sync(partial)

    def load(self) -> dict[str, Any] | None:
        """Return the newest whole state, or None. Damaged ones are skipped with a warning."""
        for folder in self._newest_first():
            state = self._read(folder)
            if state is not None:
                return state
            shutil.rmtree(folder)
        return None

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("step_*"), reverse=True)

    def _read(self, folder: Path) -> dict[str, Any] | None:
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            if manifest["fingerprint"] != self.fingerprint:
                log.info("%s belongs to other data, options, seed or code: starting anew", folder)
                return None
            if sha256_file(folder / "state.pt") != manifest["sha256"]:
                raise ValueError("its hash is not that of its manifest")
        except (OSError, ValueError, KeyError) as error:
            log.warning("%s is damaged (%s): going back to the state before it", folder, error)
            return None
        return torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
