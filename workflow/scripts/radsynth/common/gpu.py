"""Leases on local GPUs: ``--resources gpu=2`` limits how many jobs run, this decides which device each one gets."""

import fcntl
import logging
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path

from radsynth.common.errors import UserError

log = logging.getLogger(__name__)

# The leases of this process: the GPUs, and whether it must compute there.
_leases: list[tuple[list[str], bool]] = []


def visible_gpus() -> list[str]:
    """Return the ids of the GPUs this process may use: CUDA_VISIBLE_DEVICES if set, else what nvidia-smi lists.

    As for CUDA, the first id that names no device, such as -1, ends the list.
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        ids = [gpu.strip() for gpu in os.environ["CUDA_VISIBLE_DEVICES"].split(",")]
        return list(takewhile(lambda gpu: gpu.isdigit() or gpu.startswith(("GPU-", "MIG-")), ids))
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.split(":")[0].removeprefix("GPU ") for line in listing.stdout.splitlines() if line.startswith("GPU ")]


def lease_gpus(
    count: int,
    stack: ExitStack,
    *,
    require: bool = False,
    lock_dir: str | Path | None = None,
    poll_s: float = 2.0,
) -> list[str]:
    """Hold ``count`` visible GPUs until ``stack`` closes (or the process dies) and hide the others from CUDA.

    Must run before torch or TensorFlow is imported. Without a GPU the job runs on the CPU, or fails with a
    UserError if ``require``. Waits while other jobs hold the devices.
    """
    gpus, waiting = visible_gpus(), False
    if not gpus:
        if require:
            raise UserError("require_gpu: true, but no GPU is visible (nvidia-smi, CUDA_VISIBLE_DEVICES)")
        log.info("no GPU visible: running on the CPU")
        return []
    if count > len(gpus):
        raise UserError(f"the job asks for {count} GPUs, but only {len(gpus)} are visible: {', '.join(gpus)}")
    # Within a SLURM job devices may be counted from 0 again: GPU 0 of two jobs on one node are then different ones.
    scope = "-".join(["radsynth-gpu", str(os.getuid()), *filter(None, [os.environ.get("SLURM_JOB_ID")])])
    lock_dir = Path(lock_dir or tempfile.gettempdir()) / scope
    lock_dir.mkdir(parents=True, exist_ok=True)
    while True:
        held, files = [], ExitStack()
        for gpu in gpus:
            stream = files.enter_context((lock_dir / f"{gpu}.lock").open("w"))
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            held.append(gpu)
            if len(held) == count:
                stack.enter_context(files)
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held)
                log.info("running on GPU %s", ",".join(held))
                _leases.append((held, require))
                stack.callback(_leases.pop)
                return held
        files.close()
        if not waiting:
            log.info("all of the GPUs %s are leased, waiting", ",".join(gpus))
            waiting = True
        time.sleep(poll_s)


def held_gpus() -> list[str]:
    """Return the ids of the GPUs that this process has leased, none on a machine without."""
    return _leases[-1][0] if _leases else []


def confirm_device(framework: str, sees_gpu: bool, advice: str = "is it a build without CUDA?") -> None:
    """Say so, with ``advice``, if the job holds a GPU that its framework cannot use; UserError if ``require_gpu``."""
    if not _leases or sees_gpu:
        return
    held, required = _leases[-1]
    message = f"{framework} cannot use the leased GPU {','.join(held)}: {advice}"
    if required:
        raise UserError(f"require_gpu: true, but {message}")
    log.warning("%s; computing on the CPU", message)
