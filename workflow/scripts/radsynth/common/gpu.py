"""Leases on local GPUs: ``--resources gpu=2`` limits how many jobs run, this decides which device each one gets."""

import fcntl
import logging
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from radsynth.common.errors import UserError

log = logging.getLogger(__name__)


def visible_gpus() -> list[str]:
    """Return the ids of the GPUs this process may use: CUDA_VISIBLE_DEVICES if set, else what nvidia-smi lists."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [gpu for gpu in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu.strip()]
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
    gpus = visible_gpus()
    if not gpus:
        if require:
            raise UserError("require_gpu: true, but no GPU is visible (nvidia-smi, CUDA_VISIBLE_DEVICES)")
        log.info("no GPU visible: running on the CPU")
        return []
    if count > len(gpus):
        raise UserError(f"the job asks for {count} GPUs, but only {len(gpus)} are visible: {', '.join(gpus)}")
    lock_dir = Path(lock_dir or tempfile.gettempdir()) / f"radsynth-gpu-{os.getuid()}"
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
                return held
        files.close()
        log.info("all of the GPUs %s are leased, waiting", ",".join(gpus))
        time.sleep(poll_s)
