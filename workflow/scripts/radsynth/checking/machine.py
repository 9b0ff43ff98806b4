"""What this machine has, and whether that suits the study."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from radsynth.checking.part import Part, counted
from radsynth.common.gpu import visible_gpus
from radsynth.generators.options import read_presets
from radsynth.study.config import Study

GB = 10**9


@dataclass(frozen=True)
class Machine:
    """Cores, memory and free disk (both in bytes), ids of the visible GPUs, and whether conda is there."""

    cores: int
    memory: int
    disk: int
    gpus: Sequence[str]
    conda: bool


def this_machine(results: str | Path) -> Machine:
    """Return what is here; the disk is that of the folder ``results``, which need not exist yet."""
    folder = Path(results).absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk=shutil.disk_usage(there).free,
        gpus=visible_gpus(),
        conda=shutil.which("conda") is not None,
    )


def machine_part(study: Study, machine: Machine, sdm_conda: bool) -> Part:
    """Return what the machine has; ``sdm_conda``: jobs are to run in environments that conda makes."""
    part = Part("This machine")
    part.lines.append(
        f"{counted(machine.cores, 'core')}, {machine.memory / GB:.1f} GB of memory, "
        f"{machine.disk / GB:.1f} GB free where the results go, "
        + (counted(len(machine.gpus), "GPU") if machine.gpus else "no GPU")
    )
    if sdm_conda and not machine.conda:
        part.mend.append("--sdm conda: there is no conda; install it, or leave that option out")
    if study["paper"]["source"] == "archive":
        return part
    if not machine.gpus:
        if study["require_gpu"]:
            part.mend.append("require_gpu: true, but no GPU is visible here")
        slow = [name for name, generator in study["generators"].items() if generator["preset"] != "cpu"]
        for name in slow:
            generator = study["generators"][name]
            way_out = "; preset: cpu is meant for CPUs" if "cpu" in read_presets(generator["family"]) else ""
            part.look.append(
                f"no GPU is visible here: {name} ({generator['family']}, preset {generator['preset']}, "
                f"{study['image_size']} px) would be trained on the CPU, which takes many times as long{way_out}"
            )
    for name, generator in study["generators"].items():
        if machine.gpus and generator["gpus"] > len(machine.gpus):
            part.mend.append(f"generators.{name}.gpus: {generator['gpus']} asked, {len(machine.gpus)} visible here")
    if machine.gpus and study["keras_backend"] == "tensorflow" and not sdm_conda:
        part.look.append(
            "keras_backend: tensorflow computes on the CPU here, its build in requirements.lock has no CUDA; write "
            "keras_backend: torch" + (", or add --sdm conda" if machine.conda else "")
        )
    return part
