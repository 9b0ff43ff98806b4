"""Denoising diffusion probabilistic models (Ho et al. 2020) in pixel space, built on diffusers."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch.utils.flop_counter import FlopCounterMode

from radsynth.common.code import code_hash
from radsynth.common.hashing import sha256_json
from radsynth.common.seeds import derive_seed
from radsynth.generators.base import Batch, Generator, TrainingSet, image_rng
from radsynth.generators.denoising import DenoisingTask
from radsynth.generators.diffusion import denoise
from radsynth.generators.limits import check_unet, ddpm_steps
from radsynth.generators.noise import check_noise
from radsynth.generators.previews import write_preview
from radsynth.learning.candidates import candidate_steps
from radsynth.learning.devices import choose_plan, gray_bytes
from radsynth.learning.loop import train

# Good enough to look at; pools use the sampler of the configuration.
QUICK_SAMPLER = {"name": "dpm_solver++", "steps": 20, "batch_size": 64}


class DDPM(Generator):
    """A U-Net that removes Gaussian noise step by step; one model per label.

    Saved in the layout of diffusers: ``DDPMPipeline.from_pretrained(model_dir)`` loads it (with the averaged weights).
    """

    libraries = ("numpy", "torch", "diffusers")

    def learn(self, data: TrainingSet, run_dir: Path, seed: int) -> None:
        options = self.options
        plan = choose_plan(options["precision"], options["compile"], self.team)
        self.device = plan.name
        height, width = data.images.shape[1:]
        torch.manual_seed(derive_seed(seed, "initial weights"))
        self.unet = build_unet(options, height, width)
        self.scheduler = build_scheduler(options)
        earliest, steps = ddpm_steps(options, height, len(data))
        candidates = candidate_steps(self.selection, earliest, steps)
        task = DenoisingTask(self.unet, self.scheduler, data.images, options, steps, plan)
        fingerprint = sha256_json([options, data.sha256, seed, code_hash(__file__), candidates])

        def preview(path: Path) -> None:
            with task.averaged_weights():
                write_preview(self, data, path, seed)

        def keep(folder: Path) -> None:
            with task.averaged_weights():
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
        )
        task.keep_averaged_weights()

    def sample(
        self,
        indices: Sequence[int],
        seed: int,
        conditions: Sequence[Mapping[str, str]] | None = None,
        sampler: Mapping[str, Any] | None = None,
    ) -> Iterator[Batch]:
        sampler = sampler or QUICK_SAMPLER | {"steps": min(QUICK_SAMPLER["steps"], self.options["timesteps"])}
        plan = choose_plan(self.options["precision"], compile=False)
        self.device = plan.name
        unet = plan.place(self.unet).eval()
        shape = (unet.config.in_channels, *unet.config.sample_size)

        @torch.no_grad()
        def predict(noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
            with plan.autocast():
                return unet(noisy, timesteps).sample

        for chunk, filled in plan.batches(indices, sampler["batch_size"]):
            rngs = [image_rng(seed, index) for index in filled]
            images = denoise(
                predict, self.options["prediction"], self.scheduler.config, sampler, rngs, shape, plan.device
            )
            yield Batch(chunk, gray_bytes(images[: len(chunk)]))

    def write(self, model_dir: Path) -> None:
        pipeline = diffusers.DDPMPipeline(unet=self.unet, scheduler=self.scheduler)
        pipeline.save_pretrained(model_dir)

    def read(self, model_dir: Path) -> None:
        self.unet = diffusers.UNet2DModel.from_pretrained(
            model_dir / "unet", low_cpu_mem_usage=False, use_safetensors=True
        )
        self.scheduler = diffusers.DDPMScheduler.from_pretrained(model_dir / "scheduler")

    def measures(self) -> dict[str, Any]:
        height, width = self.unet.config.sample_size
        return {
            "parameters": sum(parameter.numel() for parameter in self.unet.parameters()),
            "gflop_per_image": count_gflop(self.options, height, width),
        }


def build_unet(options: Mapping[str, Any], height: int, width: int) -> diffusers.ModelMixin:
    """Return the untrained U-Net for images of a size; UserError if the size cannot be halved often enough."""
    check_unet(options, height, width)
    channels, attention = options["block_out_channels"], options["attention_levels"]
    levels = range(len(channels))
    return diffusers.UNet2DModel(
        sample_size=(height, width),
        in_channels=options["channels"],
        out_channels=options["channels"],
        block_out_channels=tuple(channels),
        layers_per_block=options["layers_per_block"],
        down_block_types=tuple("AttnDownBlock2D" if i in attention else "DownBlock2D" for i in levels),
        up_block_types=tuple("AttnUpBlock2D" if i in attention else "UpBlock2D" for i in reversed(levels)),
        norm_num_groups=options["norm_groups"],
        dropout=options["dropout"],
    )


def build_scheduler(options: Mapping[str, Any]) -> diffusers.SchedulerMixin:
    """Return the noise schedule, as DDPMPipeline uses it for ancestral sampling; UserError as of ``check_noise``."""
    check_noise(options)
    return diffusers.DDPMScheduler(
        num_train_timesteps=options["timesteps"],
        beta_schedule=options["beta_schedule"],
        beta_start=options["beta_start"],
        beta_end=options["beta_end"],
        prediction_type=options["prediction"],
        clip_sample=True,
    )


def count_gflop(options: Mapping[str, Any], height: int, width: int) -> float:
    """Return the 1e9 floating point operations (two per multiply-add) of one forward pass of one image."""
    with torch.device("meta"), torch.no_grad():
        unet = build_unet(options, height, width)
        with FlopCounterMode(display=False) as counter:
            unet(torch.empty(1, options["channels"], height, width), torch.zeros(1, dtype=torch.long))
    return round(counter.get_total_flops() / 1e9, 4)
