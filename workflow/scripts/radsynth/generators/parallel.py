"""Training of one model by several processes on this machine, each on its own GPU, or on the CPU.

python -m radsynth.generators.parallel FOLDER is one of these processes; FOLDER holds what ``fit_together`` was given.
"""

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.distributed import TCPStore

from radsynth.common.errors import UserError
from radsynth.common.files import read_json, write_json
from radsynth.common.gpu import confirm_device
from radsynth.common.registry import find
from radsynth.common.sets import ImageSet
from radsynth.learning.loop import stop_signals
from radsynth.learning.team import Accelerated

log = logging.getLogger(__name__)

LIBRARY = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1


def fit_together(
    family: str,
    options: Mapping[str, Any],
    data: ImageSet,
    run_dir: Path,
    seed: int,
    selection: Mapping[str, Any] | None,
    processes: int,
    start: str | Path | None = None,
) -> None:
    """Train a generator by ``processes`` processes, up to the final state below ``run_dir``.

    A generator that is then fitted with the same arguments takes that state over and has nothing left to learn. SIGTERM
    and SIGINT are handed on: the state is saved and SystemExit raised. If one process fails the others are ended; its
    UserError is raised here.
    """
    confirm_device("torch", torch.cuda.is_available())
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "images.npy", data.images)
        np.save(Path(folder) / "has_mask.npy", data.has_mask)
        if data.masks is not None:
            np.save(Path(folder) / "masks.npy", data.masks)
        call = {"run_dir": str(run_dir.resolve()), "seed": seed, "selection": selection, "parent": os.getpid()}
        call["start"] = None if start is None else str(Path(start).resolve())
        call |= {"family": family, "options": dict(options), "rows": data.rows, "channels": data.channels}
        call["ties"] = None if data.ties is None else data.ties.to_dict("list")
        write_json(Path(folder) / "call.json", call)
        # Held by this process, so that the port cannot be lost to another job between choosing and using it.
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        workers = [_Worker(folder, rank, processes, store.port) for rank in range(processes)]
        try:
            _wait(workers)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.wait()


class _Worker:
    """One of the processes. What it logs is logged here."""

    def __init__(self, folder: str, rank: int, processes: int, port: int):
        self.rank, self.error = rank, ""
        # What it says otherwise is of interest if it fails: when the leader stops, the others complain.
        self.output: deque[str] = deque(maxlen=200)
        threads = max(1, int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)) // processes)
        settings = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        settings |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": threads}
        # torch's name for a meeting point that none of the processes has to open.
        settings |= {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}
        path = os.pathsep.join(filter(None, [str(LIBRARY), os.environ.get("PYTHONPATH")]))
        settings |= {"PYTHONPATH": path, "PYTHONUNBUFFERED": 1}
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, folder],
            env=os.environ | {key: str(value) for key, value in settings.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C reaches this process, which decides.
            start_new_session=True,
        )
        self.reader = Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            try:
                record = json.loads(line)
                level, message = record["level"], record["message"]
            except (ValueError, TypeError, KeyError):
                self.output.append(line)
                continue
            if level >= logging.ERROR:
                self.error = message
            else:
                log.log(level, "%s%s", f"process {self.rank}: " if self.rank else "", message)


def _wait(workers: list[_Worker]) -> None:
    """Return when all have ended well."""
    leader = workers[0].process
    with stop_signals() as received:
        told = False
        while any(worker.process.poll() is None for worker in workers):
            if received and not told:
                # The others cannot go on without it.
                leader.send_signal(signal.SIGTERM)
                told = True
            if told and leader.poll() is not None:
                raise SystemExit(128 + received[0])
            if any(worker.process.poll() for worker in workers):
                break
            time.sleep(0.05)
    if any(worker.process.poll() for worker in workers):
        raise _failure(workers)


def _failure(workers: list[_Worker]) -> Exception:
    """Return why the training failed: a failed process takes the others along, by lost connections."""
    for worker in workers:
        worker.reader.join(timeout=5)
    for worker in workers:
        if worker.error:
            return UserError(worker.error)
        log.info("process %d:\n%s", worker.rank, "".join(worker.output))
    codes = ", ".join(str(worker.process.poll()) for worker in workers)
    return RuntimeError(f"the processes that train together ended with the codes {codes}")


class _Lines(logging.Handler):
    """Writes log records as lines of JSON."""

    def emit(self, record: logging.LogRecord) -> None:
        print(json.dumps({"level": record.levelno, "message": self.format(record)}), flush=True)


def main(folder: Path) -> None:
    """Take part in the training that ``folder`` describes."""
    call = read_json(folder / "call.json")
    if sys.platform == "linux":
        # Whatever kills the job must not leave this process behind, on a GPU that others take for free.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != call["parent"]:
        return
    team = Accelerated()
    logging.basicConfig(level=logging.INFO if team.leads else logging.WARNING, handlers=[_Lines()], force=True)
    images, masks, has_mask = (
        np.load(path, allow_pickle=False) if path.is_file() else None
        for path in (folder / f"{name}.npy" for name in ("images", "masks", "has_mask"))
    )
    ties = None if call["ties"] is None else pd.DataFrame(call["ties"])
    data = ImageSet(images, call["rows"], tuple(call["channels"]), masks, has_mask, ties)
    generator = find("families", call["family"], "family").load()(call["options"])
    generator.team = team
    try:
        generator.fit(data, call["run_dir"], call["seed"], call["selection"], call["start"])
    except UserError as error:
        logging.getLogger().error("%s", error)
        sys.exit(1)
    team.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
