"""The training loop that families trained in torch share: data order, seeds, checkpoints, metrics, previews."""

import logging
import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
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
    """What a family brings: one optimization step, and its state."""

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


def train(
    task: Task,
    *,
    plan: Plan,
    n: int,
    steps: int,
    options: dict[str, Any],
    run_dir: Path,
    seed: int,
    fingerprint: str,
    preview: Callable[[Path], None],
    candidates: Collection[int] = (),
    keep: Callable[[Path], None] = lambda folder: None,
    notes: Callable[[], dict[str, float]] = dict,
) -> None:
    """Take ``steps`` steps on n images, starting from the newest state in ``run_dir/state`` if there is one.

    ``options`` are those of the family's schema: batch_size, log_every, previews, checkpoint_minutes,
    max_nonfinite_steps. Metrics, with what ``notes`` says at the time, and ``preview`` grids go to
    ``run_dir/progress``. ``keep`` writes the model of the moment to a folder; this is done after each of the steps
    ``candidates``, below ``run_dir/candidates``, and changes nothing in the training. After SIGTERM or SIGINT the state
    is saved and SystemExit raised. On a CPU the result is the same, bit for bit, however often training was
    interrupted. Raises UserError if training diverges again and again.

    The processes of ``plan.team`` take the same steps together; its leader alone writes, and listens to signals.
    """
    team, batch_size = plan.team, options["batch_size"]
    checkpoints = Checkpoints(run_dir / "state", fingerprint)
    metrics = MetricsLog(run_dir / "progress" / "metrics.jsonl")
    kept = Candidates(run_dir / "candidates", candidates, keep)
    window = Window()
    step = attempt = 0
    streak = torch.zeros((), dtype=torch.long, device=plan.device)

    def save(keep: int = 2) -> None:
        state = {"step": step, "attempt": attempt, "streak": streak.item(), "window": window.sums}
        checkpoints.save(step, {**state, "task": task.state_dict()}, keep)

    def forget_after(step: int) -> None:
        if team.leads:
            metrics.truncate(step)
            kept.truncate(step)

    def restore(state: dict[str, Any]) -> None:
        nonlocal step, attempt
        task.load_state_dict(state["task"])
        step, attempt = state["step"], state["attempt"]
        streak.fill_(state["streak"])
        # Those of the leader, which the others must not count again.
        sums = state["window"] if team.leads else {}
        window.sums = {key: (a.to(plan.device), b.to(plan.device)) for key, (a, b) in sums.items()}
        forget_after(step)

    def load() -> dict[str, Any] | None:
        with team.leader_first():
            return checkpoints.load()

    state = load()
    if state is not None:
        restore(state)
        log.info("going on from step %d of %d", step, steps)
    elif team.leads:
        forget_after(-1)
        save()
    if step >= steps:
        return
    progress = Progress("training", steps, start=step)
    saved_at = flushed_at = time.monotonic()
    flushed_step = step
    with stop_signals() as received:
        while step < steps:
            torch.manual_seed(derive_seed(seed, "step", attempt, step))
            measured, finite = task.step(step, batch_indices(step, n, batch_size, seed))
            window.add(measured)
            streak.copy_((streak + 1) * ~finite)
            step += 1
            note = ""
            if step % options["log_every"] == 0 or step == steps:
                window.sums = team.total(window.sums)
                row = window.flush()
                if streak.item() >= options["max_nonfinite_steps"]:
                    if attempt + 1 >= MAX_ATTEMPTS:
                        raise UserError(
                            f"training diverged at step {step} in {MAX_ATTEMPTS} attempts, expected finite gradients: "
                            "lower options.learning_rate or, where it is an option, set options.precision to fp32"
                        )
                    again = attempt + 1
                    log.warning("%d non-finite steps in a row at step %d: going back", streak.item(), step)
                    restore(load())
                    attempt, flushed_step = again, step
                    continue
                now = time.monotonic()
                speed = (step - flushed_step) * batch_size / max(now - flushed_at, 1e-9)
                flushed_at, flushed_step = now, step
                extra = {"images_per_s": round(speed, 2), "peak_memory_mb": round(plan.peak_memory_mb(), 1)}
                if team.leads:
                    metrics.append({"step": step, "images": step * batch_size, **notes(), **row, **extra})
                note = f"epoch {step * batch_size // n}, loss {row['loss']:.4g}" if row.get("loss") else ""
            progress.update(1, note or f"epoch {step * batch_size // n}")
            if not team.leads:
                continue
            if _due(step, steps, options["previews"]):
                preview(run_dir / "progress" / f"preview_{step:07d}.png")
                plot_training(metrics.rows(), run_dir / "progress" / "training.png")
                flushed_at, flushed_step = time.monotonic(), step
            if kept.keep(step):
                flushed_at, flushed_step = time.monotonic(), step
            late = time.monotonic() - saved_at >= 60 * options["checkpoint_minutes"]
            if step == steps or received or (late and not streak.item()):
                save(keep=1 if step == steps else 2)
                saved_at = time.monotonic()
            if received and step < steps:
                log.info("stopped by signal %d at step %d; the state is saved", received[0], step)
                raise SystemExit(128 + received[0])


def _due(step: int, steps: int, previews: int) -> bool:
    """Whether one of ``previews`` equal parts of the training ends with this step; the last one ends elsewhere."""
    return step < steps and step * previews // steps != (step - 1) * previews // steps
