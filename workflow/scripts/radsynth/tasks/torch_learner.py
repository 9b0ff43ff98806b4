"""The engine of learners in torch, on the loop that generators use: a subclass gives the network alone."""

import inspect
import math
import os
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from radsynth.common.code import code_hash
from radsynth.common.errors import UserError
from radsynth.common.files import sole_writer
from radsynth.common.hashing import sha256_json, sha256_pixels
from radsynth.common.images import gray_of
from radsynth.common.seeds import derive_seed
from radsynth.learning.measured import Measured, read_metrics
from radsynth.tasks.learner import Course, Examples, Learner

if TYPE_CHECKING:
    import torch

BATCH = 64  # images at a time where nothing is learned
# Options of the loop that a classifier has no key for.
LOOP = {"previews": 0, "checkpoint_minutes": 10, "max_nonfinite_steps": 1}


class TorchLearner(Learner):
    """A torch network, trained with Adam; a subclass names its facts and builds it (``build``).

    It reads float32 images (n, channels, input_size, input_size) in [-1, 1]. After an interruption training goes on
    where it was; on a CPU the result is the same, bit for bit.
    """

    scaling = "x / 127.5 - 1"
    channels = "as they are"
    weights_name = "model.safetensors"
    environment = {"tensorflow": "torch", "torch": "torch"}
    module: "torch.nn.Module"

    @abstractmethod
    def build(self, channels: int, size: int, outputs: int, weights: str | Path | None) -> "torch.nn.Module":
        """Return the untrained network, from images to ``outputs`` numbers each, (n, outputs).

        For ``cross_entropy`` these are logits. The last layer is a ``torch.nn.Linear``. ``weights`` is the file that
        it starts from, if it has a ``weights_file``; all else is drawn from torch's global generator.
        """

    @classmethod
    def prepare(cls, threads: int, keras_backend: str) -> dict[str, str]:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        import torch

        from radsynth.learning.devices import choose_plan

        plan = choose_plan("fp32", compile=False)
        return {"backend": "torch", "backend_version": torch.__version__, "device": plan.name}

    def fit(self, train: Examples, validation: Examples, run_dir: Path, course: Course) -> pd.DataFrame:
        import torch

        from radsynth.learning.devices import choose_plan
        from radsynth.learning.loop import Training

        plan = choose_plan("fp32", compile=False)
        torch.manual_seed(derive_seed(course.seed, "initial weights"))
        self.build_for(train.images.shape[3], course.weights)
        plan.place(self.module)
        steps = _Steps(self, train, validation, course, plan.device)
        with sole_writer(run_dir / ".training.lock"):
            Training(
                steps,
                plan=plan,
                n=len(train),
                steps=self.options["epochs"] * steps.per_epoch,
                options=LOOP | {"batch_size": self.options["batch_size"], "log_every": steps.per_epoch},
                run_dir=run_dir,
                seed=course.seed,
                fingerprint=steps.fingerprint(),
                preview=lambda path: None,
                notes=steps.notes,
            ).run()
        self.module.eval()
        return _history(read_metrics(run_dir / "progress" / "metrics.jsonl"), steps.per_epoch)

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self._each(images, lambda batch: self.activated(self.module(batch)))

    def features(self, images: np.ndarray) -> np.ndarray:
        import torch

        last = [module for module in self.module.modules() if isinstance(module, torch.nn.Linear)][-1]
        read: list[torch.Tensor] = []
        watch = last.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))

        def seen(batch: torch.Tensor) -> torch.Tensor:
            self.module(batch)
            return read.pop()

        try:
            return self._each(images, seen)
        finally:
            watch.remove()

    def write(self, folder: Path) -> None:
        from safetensors.torch import save_file

        save_file(
            {name: tensor.contiguous() for name, tensor in self.module.state_dict().items()}, folder / self.weights_name
        )

    def read(self, folder: Path) -> None:
        from safetensors.torch import load_file

        from radsynth.learning.devices import choose_plan

        self.build_for(self.options["channels"], None)
        self.module.load_state_dict(load_file(folder / self.weights_name))
        choose_plan("fp32", compile=False).place(self.module).eval()

    def describe(self) -> dict[str, Any]:
        parameters = list(self.module.parameters())
        trainable = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        return {"parameters": sum(parameter.numel() for parameter in parameters), "trainable_parameters": trainable}

    def build_for(self, channels: int, weights: str | Path | None) -> None:
        """Build the network for images with so many channels."""
        self.options["channels"] = channels
        self.module = self.build(channels, self.options["input_size"], self.outputs, weights)

    def inputs(self, images: np.ndarray, device: "torch.device") -> "torch.Tensor":
        """Return what the network reads of images, uint8 (n, height, width, channels).

        One that has learnt from gray images sees others as gray.
        """
        import torch

        if self.options["channels"] == 1:
            images = gray_of(images)[..., np.newaxis]
        batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device)
        batch = batch.float() / 127.5 - 1
        size = (self.options["input_size"],) * 2
        if batch.shape[2:] == size:
            return batch
        return torch.nn.functional.interpolate(batch, size, mode="bilinear", antialias=True, align_corners=False)

    def activated(self, output: "torch.Tensor") -> "torch.Tensor":
        """Return the predictions that an output of the network stands for."""
        return output.softmax(dim=1) if self.loss == "cross_entropy" else output

    def _each(self, images: np.ndarray, function: Callable[["torch.Tensor"], "torch.Tensor"]) -> np.ndarray:
        """Return what a function makes of all images, at least one, batch by batch, while nothing is learned."""
        import torch

        self.module.eval()
        device = next(self.module.parameters()).device
        with torch.inference_mode():
            parts = [function(self.inputs(images[i : i + BATCH], device)) for i in range(0, len(images), BATCH)]
            return torch.cat(parts).cpu().numpy()


class Order:
    """Which examples each step of a run takes: every epoch visits all once, or ``epoch_counts`` of each label.

    It depends on seed and step alone, so that a run can go on anywhere. The last batch of an epoch holds what is left.
    """

    def __init__(self, strata: np.ndarray, batch_size: int, seed: int, epoch_counts: Sequence[int] | None):
        self.batch_size, self.seed, self.counts = batch_size, seed, epoch_counts
        self.n = len(strata)
        self.of_label = [np.flatnonzero(strata == label) for label in range(len(epoch_counts or ()))]
        self.length = math.ceil(sum(epoch_counts or [self.n]) / batch_size)
        self._epoch: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def rows(self, step: int) -> np.ndarray:
        """Return the examples of a step, (at most batch_size,)."""
        epoch, place = divmod(step, self.length)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._drawn(epoch)
        return self._epoch[1][place * self.batch_size : (place + 1) * self.batch_size]

    def _drawn(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng(derive_seed(self.seed, "order", epoch))
        if self.counts is None:
            return rng.permutation(self.n)
        parts = [self._of_label(label, epoch * count, count) for label, count in enumerate(self.counts)]
        return rng.permutation(np.concatenate(parts))

    def _of_label(self, label: int, start: int, count: int) -> np.ndarray:
        """Return a slice of an endless row: all examples of a label in a new order before any comes again."""
        own, found = self.of_label[label], []
        for turn in range(start // len(own), math.ceil((start + count) / len(own))):
            found.append(np.random.default_rng(derive_seed(self.seed, "order", label, turn)).permutation(own))
        first = start % len(own)
        return np.concatenate(found)[first : first + count] if found else own[:0]


class _Steps:
    """What the loop asks for: one optimization step, and all that later ones depend on."""

    def __init__(
        self, learner: TorchLearner, train: Examples, validation: Examples, course: Course, device: "torch.device"
    ):
        import torch

        self.learner, self.module, self.device = learner, learner.module, device
        self.train, self.validation, self.course = train, validation, course
        self.order = Order(train.strata, learner.options["batch_size"], course.seed, course.epoch_counts)
        self.per_epoch = course.steps or self.order.length
        self.optimizer = torch.optim.Adam(self.module.parameters(), learner.options["learning_rate"])
        self.began = time.monotonic()

    def fingerprint(self) -> str:
        """Return a hash of all that decides what comes out: data, options, course and code."""
        data = [[sha256_pixels(part.images), part.targets.tolist()] for part in (self.train, self.validation)]
        about = [self.learner.options, self.learner.loss, self.learner.outputs, self.train.strata.tolist()]
        code = code_hash(inspect.getfile(type(self.learner)))
        return sha256_json([data, about, {**vars(self.course), "weights": str(self.course.weights)}, code])

    def step(self, step: int, indices: np.ndarray) -> tuple[Measured, "torch.Tensor"]:
        """Take a step, on examples in an order of their own: the loop's knows no labels."""
        import torch

        rows = self.order.rows(step)
        self.module.train()
        measured, loss = self._measured(self._changed(rows, step), self.train.targets[rows])
        if not math.isfinite(loss.item()):
            raise UserError(
                f"classifiers: the loss became {loss.item()} in epoch {step // self.per_epoch + 1}, expected a number; "
                "a lower learning_rate may help"
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return measured, torch.ones((), dtype=torch.bool, device=self.device)

    def notes(self) -> dict[str, float]:
        """Return what the validation images say of the network, if there are any, and the seconds since last time."""
        import torch

        found: dict[str, float] = {}
        if len(self.validation):
            self.module.eval()
            with torch.inference_mode():
                sums: dict[str, Any] = {}
                for start in range(0, len(self.validation), BATCH):
                    part = slice(start, start + BATCH)
                    measured, _ = self._measured(self.validation.images[part], self.validation.targets[part])
                    for name, (total, count) in measured.items():
                        before = sums.get(name, (0.0, 0.0))
                        sums[name] = before[0] + total.item(), before[1] + count.item()
            found = {f"val_{name}": total / count for name, (total, count) in sums.items()}
        now = time.monotonic()
        found["seconds"], self.began = round(now - self.began, 3), now
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _changed(self, rows: np.ndarray, step: int) -> np.ndarray:
        """Return training images as this step sees them: every channel of an image is changed in the same way."""
        images = self.train.images[rows]
        if not self.course.augment:
            return images
        from radsynth.tasks.jitter import AUGMENTATIONS

        change, seed = AUGMENTATIONS[self.course.augment], derive_seed(self.course.seed, "augment", step)
        channels = range(images.shape[3])
        return np.stack([change(images[..., i], np.random.default_rng(seed)) for i in channels], axis=3)

    def _measured(self, images: np.ndarray, targets: np.ndarray) -> tuple[Measured, "torch.Tensor"]:
        """Return what is told of a batch, and its mean loss."""
        import torch

        output = self.module(self.learner.inputs(images, self.device))
        wanted = torch.from_numpy(targets).to(self.device)
        n = torch.tensor(float(len(images)), device=self.device)
        if self.learner.loss == "cross_entropy":
            loss = torch.nn.functional.cross_entropy(output, wanted.long())
            hits = (output.argmax(dim=1) == wanted).sum().float()
            return {"loss": (loss.detach() * n, n), "accuracy": (hits, n)}, loss
        loss = torch.nn.functional.mse_loss(output, wanted.float())
        return {"loss": (loss.detach() * n, n)}, loss


def _history(rows: list[dict[str, Any]], per_epoch: int) -> pd.DataFrame:
    """Return the history of a run from what the loop has told after every epoch."""
    names = [name for name in ("loss", "accuracy") if name in rows[0]]
    names = ["epoch", *names, *(f"val_{name}" for name in names), "seconds"]
    return pd.DataFrame([{"epoch": row["step"] // per_epoch, **row} for row in rows]).reindex(columns=names)
