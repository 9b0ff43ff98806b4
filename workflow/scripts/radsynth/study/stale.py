"""Results that another configuration has made, and that Snakemake would take for those of this one."""

import os
import sys
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.persistence import PersistenceBase
from snakemake.settings.types import RerunTrigger

from radsynth.common import made
from radsynth.common.code import LIBRARY

_asked = PersistenceBase.has_metadata


def asked_to_delete() -> bool:
    """Return whether the command deletes what a study has made: not the weights and archives that studies share."""
    return any(argument.startswith("--delete-a") for argument in sys.argv)  # options may be shortened


def _is_ours(job: Any) -> bool:
    """Return whether a rule is one of this project's, not of a workflow that has it as a module."""
    return Path(job.rule.basedir.get_path_or_uri(secret_free=False)).resolve().is_relative_to(LIBRARY.parents[1])


def _seen_written(persistence: PersistenceBase, path: str) -> bool:
    """Return whether Snakemake's record of a file is of the file that is there, or no file is.

    Or whether Snakemake was killed with the job that writes it, of which it has kept a mark.
    """
    record = persistence.metadata(path)
    return (
        not os.path.lexists(path)
        or (record is not None and (Path(path).is_dir() or abs(Path(path).stat().st_mtime - record.endtime) < 1))
        or bool(persistence._filter_incomplete_keys([path]))
    )


def _made_otherwise(workflow: Any, persistence: PersistenceBase, job: Any) -> list[str]:
    """Return what differs between a job and the one that made its results, if Snakemake does not compare these itself.

    It cannot where it knows nothing of them, and is not to without `params` among its `--rerun-triggers`, which is
    how results are kept when their code has changed, but not when they are to be others.
    """
    if not _is_ours(job):
        return []
    known = all(_seen_written(persistence, path) for path in job.output)
    compares = RerunTrigger.PARAMS in workflow.rerun_triggers
    if known and compares:
        return []
    found = made.differences(job.rule.name, dict(job.params.items()), job.input, job.output)
    passed = [*([made.NO_RECORD] if known else []), *([] if compares else [made.OTHER_CODE])]
    return [difference for difference in found if difference not in passed]


def refuse_stale(workflow: Any) -> None:
    """Have Snakemake stop before it takes results that it has no record of for those of the configuration.

    It asks whether it has one of every job whose results are there and not too old. Only the whole plan tells what has
    to go.
    """

    def has_metadata(persistence: PersistenceBase, job: Any) -> bool:
        if workflow.is_main_process and not asked_to_delete() and _made_otherwise(workflow, persistence, job):
            dag = persistence.dag
            jobs = [other for level in dag.toposorted() for other in sorted(level, key=str)]
            stale = {other: found for other in jobs if (found := _made_otherwise(workflow, persistence, other))}
            # What follows has to go as well: Snakemake makes nothing anew for which all that needs it is there.
            follow = set(dag.bfs(dag.depending, *stale))
            there = {other: list(filter(os.path.lexists, other.output)) for other in jobs}
            raise WorkflowError(
                str(
                    made.stop(
                        {path: (other.rule.name, found) for other, found in stale.items() for path in there[other]},
                        [path for other in jobs if other in follow for path in there[other]],
                        [path for other in jobs if other not in follow for path in there[other]],
                    )
                )
            )
        return _asked(persistence, job)

    PersistenceBase.has_metadata = has_metadata
