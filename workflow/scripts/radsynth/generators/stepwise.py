"""Families whose networks are trained step by step in torch, on the shared loop. Free of torch until they train."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radsynth.common.code import code_hash
from radsynth.common.hashing import sha256_json
from radsynth.common.seeds import derive_seed
from radsynth.common.sets import ImageSet
from radsynth.generators.base import Generator
from radsynth.generators.previews import write_preview
from radsynth.learning.candidates import candidate_steps

if TYPE_CHECKING:
    from radsynth.learning.devices import Plan
    from radsynth.learning.loop import Task


class Stepwise(Generator):
    """A generator whose class says ``steps``. Subclasses implement ``begin`` and ``shown``, and may say more.

    The shared loop brings data order, seeds, checkpoints, resume, metrics and previews; ``options`` have what it asks
    for (see ``learning/loop.py``).
    """

    # What a training begins from beside options, data and seed, for those that are resumed: plain values.
    grounds: Sequence[Any] = ()

    def plan(self, training: bool) -> "Plan":
        """Return how the networks run, on the device that is there; ``training`` on the whole team."""
        raise NotImplementedError

    def begin(self, data: ImageSet, steps: int, plan: "Plan") -> "Task":
        """Return the task of a training that has not begun, with initial weights from torch's global generator."""
        raise NotImplementedError

    def take_over(self, task: "Task", start: Any) -> None:
        """Give a task that has not begun the weights of ``start``, a model of this family; optimizers begin anew.

        Families that are ``pretrainable`` implement it. UserError if the networks differ (see ``copy_weights``).
        """
        raise NotImplementedError

    def shown(self, task: "Task") -> AbstractContextManager[None]:
        """Return the context in which the generator draws and saves the model of the moment, during a training."""
        raise NotImplementedError

    def notes(self, task: "Task") -> Mapping[str, float]:
        """Return what the metrics say of the state besides what a step measures."""
        return {}

    def end(self, task: "Task") -> None:
        """Take over what the task has learnt, when all steps are taken."""
        raise NotImplementedError

    def learn(self, data: ImageSet, run_dir: Path, seed: int) -> None:
        import torch

        from radsynth.learning.loop import Training

        plan = self.plan(training=True)
        self.device = plan.name
        earliest, steps = self.steps(self.options, data.images.shape[1], len(data))
        candidates = candidate_steps(self.selection, earliest, steps)
        torch.manual_seed(derive_seed(seed, "initial weights"))
        task = self.begin(data, steps, plan)
        known = [self.options, data.sha256, seed, *self.grounds]
        if self.start is not None:
            self.take_over(task, type(self).load(self.start))
            known.append(self.facts["start"]["sha256"])
        code = code_hash(sys.modules[type(self).__module__].__file__)

        def preview(path: Path) -> None:
            with self.shown(task):
                write_preview(self, data, path, seed)

        def keep(folder: Path) -> None:
            with self.shown(task):
                self.save(folder)

        Training(
            task,
            plan=plan,
            n=len(data),
            steps=steps,
            options=self.options,
            run_dir=run_dir,
            seed=seed,
            fingerprint=sha256_json([*known, code, candidates]),
            preview=preview,
            candidates=candidates,
            keep=keep,
            notes=lambda: self.notes(task),
        ).run()
        self.end(task)
