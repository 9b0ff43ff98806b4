"""The models that a training keeps to choose from: after which steps, and where. Free of torch and numpy."""

import logging
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.files import atomic_folder

log = logging.getLogger(__name__)

# In the finished model directory: the models that were kept, and the training images that none of them has seen.
CHECKPOINTS = "checkpoints"
WITHHELD = "withheld.csv"


def candidate_steps(selection: Mapping[str, Any], earliest: int, steps: int) -> list[int]:
    """Return the steps after which a training of ``steps`` steps keeps its model, ascending.

    ``selection`` is that of the configuration. Before ``earliest`` steps a model makes no images of full size. For
    ``kid`` the steps are spaced evenly in their logarithm, from ``first`` (a tenth of the training if None, but
    not before ``earliest``) to the last step; UserError, beginning with ``selection.``, for steps that do not exist.
    """
    if selection["method"] == "last":
        return []
    if selection["method"] == "iteration":
        if not earliest <= selection["step"] <= steps:
            raise UserError(f"selection.step: {selection['step']}, expected {earliest} to {steps} steps")
        return [selection["step"]]
    first = max(steps // 10, earliest) if selection["first"] is None else selection["first"]
    if not earliest <= first < steps:
        raise UserError(f"selection.first: {first}, expected at least {earliest} and fewer than all {steps} steps")
    intervals = selection["checkpoints"] - 1
    return sorted({round(first * (steps / first) ** (i / intervals)) for i in range(intervals + 1)})


def count_steps(n: int, batch_size: int, epochs: int, steps: int | None) -> int:
    """Return the number of steps: ``steps`` if given, else ``epochs`` times the batches that hold n images."""
    return steps or epochs * -(-n // batch_size)


def read_candidates(model_dir: str | Path) -> dict[int, Path]:
    """Return the folders of the models that a training kept, by step, ascending; each is read by ``Generator.load``."""
    folders = sorted((Path(model_dir) / CHECKPOINTS).glob("step_*"))
    return {int(folder.name.removeprefix("step_")): folder for folder in folders}


class Candidates:
    """The models of an unfinished training below ``folder``, which must not be a declared Snakemake output.

    ``save`` writes the model of the moment to an empty folder. Each becomes ``step_N`` when it is whole.
    """

    def __init__(self, folder: str | Path, steps: Collection[int], save: Callable[[Path], None]):
        self.folder, self.steps, self.save = Path(folder), frozenset(steps), save

    def truncate(self, step: int) -> None:
        """Drop the models after ``step``, when training goes on from there and may take another course."""
        for folder in self.folder.glob("step_*"):
            if folder.name > _name(step):
                shutil.rmtree(folder)

    def keep(self, step: int) -> bool:
        """Keep the model of the moment if ``step`` is one of the steps; return whether it is."""
        if step not in self.steps:
            return False
        with atomic_folder(self.folder / _name(step)) as partial:
            self.save(partial)
        log.info("the model after step %d is kept to choose from", step)
        return True


def _name(step: int) -> str:
    return f"step_{step:09d}"
