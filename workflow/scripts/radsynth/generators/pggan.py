"""Progressive Growing of GANs (Karras et al. 2018) for grayscale images."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from radsynth.common.errors import UserError
from radsynth.common.sets import GRAY, Batch, Conditions, ImageSet
from radsynth.generators.base import Options, image_rng
from radsynth.generators.growth import Growth, level_of
from radsynth.generators.stepwise import Stepwise

if TYPE_CHECKING:
    from torch import nn

    from radsynth.generators.adversarial import AdversarialTask
    from radsynth.learning.devices import Plan

NAME = "model.safetensors"
# Only beside a model that other trainings begin from: it makes no image.
CRITIC = "critic.safetensors"


class PGGAN(Stepwise):
    """A generator that learns against a critic, from small images to large ones; one model per label, of gray images.

    What is saved and sampled is the moving average of the generator's weights. The facts ``resolution`` and ``alpha``
    say how far it has grown; images have the size of the data in any case. A training that begins from another model
    takes over its critic, too, and all its steps are at the last resolution.
    """

    pretrainable = True
    libraries = ("numpy", "torch")
    channels = GRAY
    # Of a training, or of a model that others begin from.
    critic: "nn.Module | None" = None

    @classmethod
    def check(cls, options: Options, sampler: Options, size: int) -> None:
        Growth.plan(options, size, size).count_steps(options["steps"])

    @classmethod
    def steps(cls, options: Options, size: int, n: int) -> tuple[int, int]:
        growth = Growth.plan(options, size, size)
        # A model to choose must have reached the last resolution.
        return growth.first_step(growth.last) + 1, growth.count_steps(options["steps"])

    @classmethod
    def count_parameters(cls, options: Options, size: int) -> int:
        # The convolutions of generator and critic up to the size.
        widths = options["widths"][: size.bit_length() - 2]
        pairs = zip([widths[0], *widths], widths, strict=False)
        layers = [(inputs, outputs) for pair in pairs for inputs, outputs in (pair, (pair[1], pair[1]))]
        convolutions = sum(9 * inputs * outputs + outputs for inputs, outputs in layers)
        return 16 * options["latent_size"] * widths[0] + 2 * convolutions

    def plan(self, training: bool) -> "Plan":
        from radsynth.learning.devices import choose_plan

        return choose_plan("fp32")

    def begin(self, data: ImageSet, steps: int, plan: "Plan") -> "AdversarialTask":
        from radsynth.generators.adversarial import AdversarialTask
        from radsynth.generators.progressive import build_critic, build_generator

        growth = Growth.plan(self.options, *data.images.shape[1:3])
        generator, critic = build_generator(self.options, growth.last), build_critic(self.options, growth.last)
        task = AdversarialTask(generator, critic, data.gray(), growth, self.options, plan)
        self.generator = task.average
        self.facts["critic_parameters"] = sum(parameter.numel() for parameter in critic.parameters())
        return task

    def take_over(self, task: "AdversarialTask", start: "PGGAN") -> None:
        if start.critic is None:
            raise UserError(f"{self.start}: no {CRITIC}, expected a model that was trained for others to begin from it")
        task.begin_from(start.generator, start.critic)

    @contextmanager
    def shown(self, task: "AdversarialTask") -> Iterator[None]:
        self.facts |= task.stage()
        yield

    def notes(self, task: "AdversarialTask") -> Mapping[str, float]:
        return task.stage()

    def end(self, task: "AdversarialTask") -> None:
        self.facts |= task.stage()
        self.critic = task.critic

    def sample(
        self,
        indices: Sequence[int],
        seed: int,
        conditions: Conditions | None = None,
        sampler: Options | None = None,
    ) -> Iterator[Batch]:
        import torch

        from radsynth.learning.devices import gray_bytes

        plan = self.plan(training=False)
        self.device = plan.name
        generator = self.generator.eval()
        # None is cheaper than an alpha of 1, which would mix in nothing of the level before.
        stage = level_of(self.facts["resolution"]), self.facts["alpha"] if self.facts["alpha"] < 1 else None
        for chunk, filled in plan.batches(indices, (sampler or {"batch_size": 64})["batch_size"]):
            latents = [
                image_rng(seed, index).standard_normal(self.options["latent_size"], np.float32) for index in filled
            ]
            with torch.no_grad():
                images = generator(torch.from_numpy(np.stack(latents)).to(plan.device), *stage)[: len(chunk)]
            # Only previews are drawn before the last level is reached.
            factor = self.facts["data"]["height"] // self.facts["resolution"]
            yield Batch(chunk, gray_bytes(images).repeat(factor, axis=1).repeat(factor, axis=2))

    def write(self, model_dir: Path) -> None:
        _write(self.generator, model_dir / NAME)

    def write_rest(self, model_dir: Path) -> None:
        _write(self.critic, model_dir / CRITIC)

    def read(self, model_dir: Path) -> None:
        from safetensors.torch import load_file

        from radsynth.generators.progressive import build_critic, build_generator

        level = level_of(self.facts["data"]["height"])
        generator = build_generator(self.options, level)
        generator.load_state_dict(load_file(model_dir / NAME))
        self.generator = self.plan(training=False).place(generator)
        if (model_dir / CRITIC).is_file():
            self.critic = build_critic(self.options, level)
            self.critic.load_state_dict(load_file(model_dir / CRITIC))

    def measures(self) -> dict[str, Any]:
        return {
            "parameters": sum(parameter.numel() for parameter in self.generator.parameters()),
            "gflop_per_image": count_gflop(self.options, self.facts["data"]["height"]),
        }


def _write(network: "nn.Module", file: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, file)


def count_gflop(options: Options, size: int) -> float:
    """Return the 1e9 floating point operations (two per multiply-add) that one image of ``size`` px takes."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from radsynth.generators.progressive import build_generator

    with torch.device("meta"), torch.no_grad():
        generator = build_generator(options, level_of(size))
        with FlopCounterMode(display=False) as counter:
            generator(torch.empty(1, options["latent_size"]), level_of(size))
    return round(counter.get_total_flops() / 1e9, 4)
