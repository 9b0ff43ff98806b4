"""All that `snakemake check` prints."""

import shlex
from collections.abc import Mapping, Sequence

from radsynth.checking.contents import plan_part
from radsynth.checking.datasets import data_part
from radsynth.checking.machine import Machine, machine_part, this_machine
from radsynth.checking.needs import needs_part
from radsynth.checking.part import Part, counted
from radsynth.checking.times import times_part
from radsynth.study.config import Study


def start_command(configfiles: Sequence[str], settings: Sequence[str], machine: Machine) -> str:
    """Return the command that runs the study; ``settings`` are the arguments of --config."""
    words = ["snakemake"]
    words += ["--configfile", *configfiles] if configfiles else []
    words += ["--config", *settings] if settings else []
    words += ["--cores", str(machine.cores)]
    words += ["--resources", f"gpu={len(machine.gpus)}"] if machine.gpus else []
    return shlex.join(words)


def check(
    study: Study,
    costs: Sequence[str],
    memory: Mapping[str, int],
    configfiles: Sequence[str] = (),
    settings: Sequence[str] = (),
    sdm_conda: bool = False,
) -> str:
    """Return the report on a study.

    ``costs`` are the benchmark files of the jobs that cost something, ``memory`` what a job of each rule asks for (MB),
    ``sdm_conda`` whether jobs are to run in environments of conda.
    """
    machine = this_machine(f"results/{study['study']}")
    data, n_images = data_part(study)
    times, used = times_part(study, costs, machine.cores)
    parts = [
        plan_part(study),
        data,
        machine_part(study, machine, sdm_conda),
        needs_part(study, n_images, machine, memory, used),
        times,
    ]
    return render(parts, start_command(configfiles, settings, machine))


def render(parts: Sequence[Part], command: str) -> str:
    """Return the parts as text: what they say, what to look at, what to mend, and a verdict in the last lines."""
    lines = []
    for part in parts:
        if part.lines:
            lines += [part.title, *(f"  {line}" for line in part.lines), ""]
    look = list(dict.fromkeys(text for part in parts for text in part.look))
    mend = list(dict.fromkeys(text for part in parts for text in part.mend))
    if look:
        lines += ["Look at", *(f"  - {text}" for text in look), ""]
    if not mend:
        return "\n".join([*lines, f"Ready: {command}"])
    lines += [f"Not ready: {counted(len(mend), 'thing')} to mend first"]
    return "\n".join([*lines, *(f"  {number}. {text}" for number, text in enumerate(mend, 1))])
