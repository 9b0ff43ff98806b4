"""Progressive Growing of GANs (Karras et al. 2018) for grayscale images."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode

from radsynth.common.code import code_hash
from radsynth.common.hashing import sha256_json
from radsynth.common.seeds import derive_seed
from radsynth.generators.adversarial import AdversarialTask
from radsynth.generators.base import Batch, Generator, TrainingSet, image_rng
from radsynth.generators.growth import Growth, level_of
from radsynth.generators.limits import pggan_steps
from radsynth.generators.previews import write_preview
from radsynth.generators.progressive import build_critic, build_generator
from radsynth.learning.candidates import candidate_steps
from radsynth.learning.devices import choose_plan, gray_bytes
from radsynth.learning.loop import train

NAME = "model.safetensors"


class PGGAN(Generator):
    """A generator that learns against a critic, from small images to large ones; one model per label.

    What is saved and sampled is the moving average of the generator's weights. The facts ``resolution`` and ``alpha``
    say how far it has grown; images have the size of the data in any case.
    """

    libraries = ("numpy", "torch")

    def learn(self, data: TrainingSet, run_dir: Path, seed: int) -> None:
        options = self.options
        plan = choose_plan("fp32")
        self.device = plan.name
        growth = Growth.plan(options, *data.images.shape[1:])
        earliest, steps = pggan_steps(options, data.images.shape[1], len(data))
        candidates = candidate_steps(self.selection, earliest, steps)
        torch.manual_seed(derive_seed(seed, "initial weights"))
        generator, critic = build_generator(options, growth.last), build_critic(options, growth.last)
        task = AdversarialTask(generator, critic, data.images, growth, options, plan)
        self.generator = task.average
        self.facts["critic_parameters"] = sum(parameter.numel() for parameter in critic.parameters())
        fingerprint = sha256_json([options, data.sha256, seed, code_hash(__file__), candidates])

        def preview(path: Path) -> None:
            self.facts |= task.stage()
            write_preview(self, data, path, seed)

        def keep(folder: Path) -> None:
            self.facts |= task.stage()
            self.save(folder)

        train(
            task,
            plan=plan,
            n=len(data),
            steps=steps,
            options=options,
            run_dir=run_dir,
            seed=seed,
            fingerprint=fingerprint,
            preview=preview,
            candidates=candidates,
            keep=keep,
            notes=task.stage,
        )
        self.facts |= task.stage()

    def sample(
        self,
        indices: Sequence[int],
        seed: int,
        conditions: Sequence[Mapping[str, str]] | None = None,
        sampler: Mapping[str, Any] | None = None,
    ) -> Iterator[Batch]:
        plan = choose_plan("fp32")
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
        save_file({name: tensor.contiguous() for name, tensor in self.generator.state_dict().items()}, model_dir / NAME)

    def read(self, model_dir: Path) -> None:
        generator = build_generator(self.options, level_of(self.facts["data"]["height"]))
        generator.load_state_dict(load_file(model_dir / NAME))
        self.generator = choose_plan("fp32").place(generator)

    def measures(self) -> dict[str, Any]:
        return {
            "parameters": sum(parameter.numel() for parameter in self.generator.parameters()),
            "gflop_per_image": count_gflop(self.options, self.facts["data"]["height"]),
        }


def count_gflop(options: Mapping[str, Any], size: int) -> float:
    """Return the 1e9 floating point operations (two per multiply-add) that one image of ``size`` px takes."""
    with torch.device("meta"), torch.no_grad():
        generator = build_generator(options, level_of(size))
        with FlopCounterMode(display=False) as counter:
            generator(torch.empty(1, options["latent_size"]), level_of(size))
    return round(counter.get_total_flops() / 1e9, 4)
