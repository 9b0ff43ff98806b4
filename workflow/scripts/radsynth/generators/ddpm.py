"""Denoising diffusion probabilistic models (Ho et al. 2020) in pixel space, built on diffusers."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from radsynth.common.sets import GRAY, ImageSet
from radsynth.generators.base import Options
from radsynth.generators.denoiser import Denoiser
from radsynth.generators.unet import check_unet, count_parameters, import_diffusers

if TYPE_CHECKING:
    import torch

    from radsynth.generators.denoising import Pixels
    from radsynth.learning.devices import Plan


class DDPM(Denoiser):
    """A U-Net that removes Gaussian noise from gray images step by step.

    One that is told nothing is saved in the layout of diffusers' DDPMPipeline, which loads it (with the averaged
    weights).
    """

    data_parallel = True
    channels = GRAY

    @classmethod
    def check(cls, options: Options, sampler: Options, size: int) -> None:
        check_unet(options, size, size)
        super().check(options, sampler, size)

    @classmethod
    def count_parameters(cls, options: Options, size: int) -> int:
        return count_parameters(options, options["channels"], 2 * (options["lesions"] != "none"))

    def latent_shape(self, data: ImageSet) -> tuple[int, int, int]:
        return self.options["channels"], *data.images.shape[1:3]

    def supply(self, data: ImageSet, lesions: np.ndarray | None, plan: "Plan") -> "Pixels":
        from radsynth.generators.denoising import Pixels

        return Pixels(data.gray(), lesions, self.options, plan)

    def decode(self, latents: "torch.Tensor", plan: "Plan") -> np.ndarray:
        from radsynth.learning.devices import gray_bytes

        return gray_bytes(latents)

    def write(self, model_dir: Path) -> None:
        if self.conditioner.parts:
            super().write(model_dir)
        else:
            import_diffusers().DDPMPipeline(unet=self.unet, scheduler=self.scheduler).save_pretrained(model_dir)
