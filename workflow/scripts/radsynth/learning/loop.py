"""The training loop that all networks trained in torch share: data order, seeds, checkpoints, metrics, previews."""

import logging
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from radsynth.common.errors import UserError
from radsynth.common.progress import Progress
from radsynth.common.seeds import derive_seed
from radsynth.learning.candidates import Candidates
from radsynth.learning.checkpoints import Checkpoints
from radsynth.learning.curves import plot_training
from radsynth.learning.devices import Plan
from radsynth.learning.measured import Measured, MetricsLog, Window

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3


class Task(Protocol):
    """What a network brings: one optimization step, and its state."""

    def step(self, step: int, indices: np.ndarray) -> tuple[Measured, torch.Tensor]:
        """Take step number ``step`` on the training images ``indices``.

        Randomness comes from torch's global generators, which the loop seeds before each step. Returns what was
        measured and whether the step was finite (a boolean tensor on the device); a network whose gradient was
        not has changed no weight.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return all that later steps depend on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over such a state."""


def batch_indices(step: int, n: int, batch_size: int, seed: int) -> np.ndarray:
    """Return the images of a step, (batch_size,): a slice of the endless row of seeded permutations, one per epoch.

    Every batch is full and every image is seen equally often; the order depends on (seed, step) alone.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    return np.array([_permutation(n, seed, int(position // n))[position % n] for position in positions])


@lru_cache(maxsize=4)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(n)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them at once."""
    received: list[int] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in previous:
        signal.signal(number, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@dataclass
class Training:
    """A training of ``steps`` steps on n images, which goes on from the newest state in ``run_dir/state``, if any.

    ``options``: batch_size, log_every, previews, checkpoint_minutes, max_nonfinite_steps (as in the schemas). Metrics,
    with what ``notes`` says at the time, and ``preview`` pictures go to ``run_dir/progress``. ``keep`` writes the model
    of the moment to a folder; this is done after each of the steps ``candidates``, below ``run_dir/candidates``, and
    changes nothing in the training. A state with another ``fingerprint`` is discarded.

    On a CPU the result is the same, bit for bit, however often training was interrupted. The processes of ``plan.team``
    take the same steps together; its leader alone writes, and listens to signals.
    """

    task: Task
    plan: Plan
    n: int
    steps: int
    options: Mapping[str, Any]
    run_dir: Path
    seed: int
    fingerprint: str
    preview: Callable[[Path], None]
    candidates: Collection[int] = ()
    keep: Callable[[Path], None] = lambda folder: None
    notes: Callable[[], Mapping[str, float]] = dict

    def __post_init__(self) -> None:
        self._team = self.plan.team
        self._checkpoints = Checkpoints(self.run_dir / "state", self.fingerprint)
        self._metrics = MetricsLog(self.run_dir / "progress" / "metrics.jsonl")
        self._kept = Candidates(self.run_dir / "candidates", self.candidates, self.keep)
        self._window = Window()
        self._step = self._attempt = 0
        self._streak = torch.zeros((), dtype=torch.long, device=self.plan.device)

    def run(self) -> None:
        """Take all steps that are left.

        After SIGTERM or SIGINT the state is saved and SystemExit raised. UserError if training diverges again and
        again, or something cannot be written.
        """
        self._begin()
        if self._step >= self.steps:
            return
        progress = Progress("training", self.steps, start=self._step)
        self._saved_at = time.monotonic()
        self._restart_clock()
        with stop_signals() as received:
            while self._step < self.steps:
                self._take()
                note = f"epoch {self._step * self.options['batch_size'] // self.n}"
                if self._step % self.options["log_every"] == 0 or self._step == self.steps:
                    row = self._flush()
                    if row is None:
                        continue
                    note += f", loss {row['loss']:.4g}" if row.get("loss") else ""
                progress.update(1, note)
                if self._team.leads:
                    self._write(received)

    def _begin(self) -> None:
        """Go to where the training was left."""
        state = self._load()
        if state is not None:
            self._restore(state)
            log.info("going on from step %d of %d", self._step, self.steps)
        elif self._team.leads:
            self._forget_after(-1)
            self._save()

    def _take(self) -> None:
        """Take one step."""
        step = self._step
        torch.manual_seed(derive_seed(self.seed, "step", self._attempt, step))
        indices = batch_indices(step, self.n, self.options["batch_size"], self.seed)
        measured, finite = self.task.step(step, indices)
        self._window.add(measured)
        self._streak.copy_((self._streak + 1) * ~finite)
        self._step += 1

    def _flush(self) -> dict[str, Any] | None:
        """Write and return what was measured since the last flush; None if training diverged and was taken back."""
        step, batch_size = self._step, self.options["batch_size"]
        self._window.sums = self._team.total(self._window.sums)
        row = self._window.flush()
        if self._streak.item() >= self.options["max_nonfinite_steps"]:
            self._go_back()
            return None
        speed = (step - self._clock_step) * batch_size / max(time.monotonic() - self._clock, 1e-9)
        self._restart_clock()
        extra = {"images_per_s": round(speed, 2), "peak_memory_mb": round(self.plan.peak_memory_mb(), 1)}
        if self._team.leads:
            self._metrics.append({"step": step, "images": step * batch_size, **self.notes(), **row, **extra})
        return row

    def _go_back(self) -> None:
        """Take up the last good state, to go on from there with other noise."""
        if self._attempt + 1 >= MAX_ATTEMPTS:
            raise UserError(
                f"training diverged at step {self._step} in {MAX_ATTEMPTS} attempts, expected finite gradients: "
                "lower options.learning_rate or, where it is an option, set options.precision to fp32"
            )
        attempt = self._attempt + 1
        log.warning("%d non-finite steps in a row at step %d: going back", self._streak.item(), self._step)
        self._restore(self._load())
        self._attempt, self._clock_step = attempt, self._step

    def _write(self, received: list[int]) -> None:
        """Write what is due after a step: preview, model, state; stop if a signal was received."""
        step, steps = self._step, self.steps
        if _due(step, steps, self.options["previews"]):
            self.preview(self.run_dir / "progress" / f"preview_{step:07d}.png")
            plot_training(self._metrics.rows(), self.run_dir / "progress" / "training.png")
            self._restart_clock()
        if self._kept.keep(step):
            self._restart_clock()
        late = time.monotonic() - self._saved_at >= 60 * self.options["checkpoint_minutes"]
        if step == steps or received or (late and not self._streak.item()):
            self._save(keep=1 if step == steps else 2)
            self._saved_at = time.monotonic()
        if received and step < steps:
            log.info("stopped by signal %d at step %d; the state is saved", received[0], step)
            raise SystemExit(128 + received[0])

    def _restart_clock(self) -> None:
        """Measure the speed from here on: pictures and models that are written do not count."""
        self._clock, self._clock_step = time.monotonic(), self._step

    def _save(self, keep: int = 2) -> None:
        state = {"step": self._step, "attempt": self._attempt, "streak": self._streak.item()}
        state |= {"window": self._window.sums, "task": self.task.state_dict()}
        self._checkpoints.save(self._step, state, keep)

    def _load(self) -> dict[str, Any] | None:
        with self._team.leader_first():
            return self._checkpoints.load()

    def _restore(self, state: dict[str, Any]) -> None:
        self.task.load_state_dict(state["task"])
        self._step, self._attempt = state["step"], state["attempt"]
        self._streak.fill_(state["streak"])
        # Those of the leader, which the others must not count again.
        sums, device = state["window"] if self._team.leads else {}, self.plan.device
        self._window.sums = {key: (a.to(device), b.to(device)) for key, (a, b) in sums.items()}
        self._forget_after(self._step)

    def _forget_after(self, step: int) -> None:
        if self._team.leads:
            self._metrics.truncate(step)
            self._kept.truncate(step)


def _due(step: int, steps: int, previews: int) -> bool:
    """Whether one of ``previews`` equal parts of the training ends with this step; the last one ends elsewhere."""
    return step < steps and step * previews // steps != (step - 1) * previews // steps
