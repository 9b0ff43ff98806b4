"""Denoising diffusion probabilistic models (Ho et al. 2020) in pixel space, built on diffusers."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radsynth.common.sets import GRAY, Batch, Conditions, ImageSet
from radsynth.generators.base import Options, image_rng
from radsynth.generators.noise import check_noise, check_sampling_steps
from radsynth.generators.stepwise import Stepwise
from radsynth.generators.unet import (
    build_scheduler,
    build_unet,
    check_unet,
    count_gflop,
    count_parameters,
    import_diffusers,
)
from radsynth.learning.candidates import count_steps

if TYPE_CHECKING:
    import torch

    from radsynth.generators.denoising import DenoisingTask
    from radsynth.learning.devices import Plan

# Good enough to look at; pools use the sampler of the configuration.
QUICK_SAMPLER = {"name": "dpm_solver++", "steps": 20, "batch_size": 64}


class DDPM(Stepwise):
    """A U-Net that removes Gaussian noise step by step; one model per label, of gray images.

    Saved in the layout of diffusers: ``DDPMPipeline.from_pretrained(model_dir)`` loads it (with the averaged weights).
    """

    data_parallel = True
    pretrainable = True
    libraries = ("numpy", "torch", "diffusers")
    channels = GRAY

    @classmethod
    def check(cls, options: Options, sampler: Options, size: int) -> None:
        check_unet(options, size, size)
        check_noise(options)
        check_sampling_steps(sampler["steps"], options["timesteps"])

    @classmethod
    def steps(cls, options: Options, size: int, n: int) -> tuple[int, int]:
        return 1, count_steps(n, options["batch_size"], options["epochs"], options["steps"])

    @classmethod
    def count_parameters(cls, options: Options, size: int) -> int:
        return count_parameters(options)

    def plan(self, training: bool) -> "Plan":
        from radsynth.learning.devices import choose_plan

        if training:
            return choose_plan(self.options["precision"], self.options["compile"], self.team)
        return choose_plan(self.options["precision"], compile=False)

    def begin(self, data: ImageSet, steps: int, plan: "Plan") -> "DenoisingTask":
        from radsynth.generators.denoising import DenoisingTask

        self.unet = build_unet(self.options, *data.images.shape[1:3])
        self.scheduler = build_scheduler(self.options)
        return DenoisingTask(self.unet, self.scheduler, data.gray(), self.options, steps, plan)

    def take_over(self, task: "DenoisingTask", start: "DDPM") -> None:
        task.begin_from(start.unet)

    def shown(self, task: "DenoisingTask") -> AbstractContextManager[None]:
        return task.averaged_weights()

    def end(self, task: "DenoisingTask") -> None:
        task.keep_averaged_weights()

    def sample(
        self,
        indices: Sequence[int],
        seed: int,
        conditions: Conditions | None = None,
        sampler: Options | None = None,
    ) -> Iterator[Batch]:
        import torch

        from radsynth.generators.diffusion import denoise
        from radsynth.learning.devices import gray_bytes

        sampler = sampler or QUICK_SAMPLER | {"steps": min(QUICK_SAMPLER["steps"], self.options["timesteps"])}
        plan = self.plan(training=False)
        self.device = plan.name
        unet = plan.place(self.unet).eval()
        shape = (unet.config.in_channels, *unet.config.sample_size)

        @torch.no_grad()
        def predict(noisy: "torch.Tensor", timesteps: "torch.Tensor") -> "torch.Tensor":
            with plan.autocast():
                return unet(noisy, timesteps).sample

        for chunk, filled in plan.batches(indices, sampler["batch_size"]):
            rngs = [image_rng(seed, index) for index in filled]
            images = denoise(
                predict, self.options["prediction"], self.scheduler.config, sampler, rngs, shape, plan.device
            )
            yield Batch(chunk, gray_bytes(images[: len(chunk)]))

    def write(self, model_dir: Path) -> None:
        pipeline = import_diffusers().DDPMPipeline(unet=self.unet, scheduler=self.scheduler)
        pipeline.save_pretrained(model_dir)

    def read(self, model_dir: Path) -> None:
        diffusers = import_diffusers()
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
