"""Latents of training images, made once: what latent diffusion learns from."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from radsynth.common.seeds import derive_seed
from radsynth.generators.augmentation import augment, draw_changes
from radsynth.learning.devices import Plan, to_floats

if TYPE_CHECKING:
    import diffusers

log = logging.getLogger(__name__)

#: Images that are encoded at once.
BATCH = 32


class Latents:
    """Means and standard deviations of the latents of n images in ``copies`` slightly changed copies each.

    The first copy is the image as it is. The autoencoder, which takes longer than a step of the diffusion, runs once
    for each; a training draws from these distributions. ``lesions``, float32 (n, height, width) in [0, 1] of pixels,
    move with the images and are averaged over the pixels of a latent: small ones stay. Implements
    ``denoising.Supply``: latents have mean 0 and standard deviation 1 in every channel, over the means of all copies.
    """

    def __init__(
        self,
        vae: "diffusers.AutoencoderKL",
        images: np.ndarray,
        lesions: np.ndarray | None,
        options: Mapping[str, Any],
        plan: Plan,
        seed: int,
    ):
        self.options, self.plan, self.seed = options, plan, seed
        vae = plan.place(vae).eval()
        copies = [self._copy(vae, images, lesions, k) for k in range(options["copies"])]
        means, deviations, covered = zip(*copies, strict=True)
        self.means, self.deviations = torch.stack(means), torch.stack(deviations)
        self.lesions = None if lesions is None else torch.stack(covered)
        self.shift = self.means.mean(dim=(0, 1, 3, 4), keepdim=True)[0]
        self.scale = self.means.std(dim=(0, 1, 3, 4), keepdim=True)[0].clamp(min=1e-6)
        if (self.deviations.mean(dim=(0, 1, 3, 4)) > self.scale.flatten()).any():
            log.warning("a channel of the latents holds more noise than image: lower options.kl_weight")

    @torch.no_grad()
    def _copy(
        self, vae: "diffusers.AutoencoderKL", images: np.ndarray, lesions: np.ndarray | None, k: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Return means and standard deviations of copy k of all images, and what lesions cover of their latents."""
        plan, means, deviations, covered = self.plan, [], [], []
        for start in range(0, len(images), BATCH):
            batch = to_floats(torch.from_numpy(images[start : start + BATCH]).to(plan.device))
            matrix = change = None
            if k:
                torch.manual_seed(derive_seed(self.seed, "copy", k, start))
                matrix, change = draw_changes(len(batch), self.options, plan.device)
            with plan.autocast():
                coded = vae.encode(augment(batch, matrix, change).clamp(-1, 1)).latent_dist
            means.append(coded.mean.float())
            deviations.append(coded.std.float())
            if lesions is not None:
                pixels = torch.from_numpy(lesions[start : start + BATCH]).to(plan.device).unsqueeze(1)
                times = pixels.shape[-1] // coded.mean.shape[-1]
                covered.append(torch.nn.functional.avg_pool2d(augment(pixels, matrix, None), times))
        return torch.cat(means), torch.cat(deviations), torch.cat(covered) if covered else None

    @property
    def reach(self) -> float:
        """The largest absolute value of a mean, in standard deviations of its channel."""
        return float(((self.means - self.shift) / self.scale).abs().max())

    def draw(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None]:
        device = self.means.device
        chosen = torch.randint(len(self.means), (len(indices),), device=device), torch.from_numpy(indices).to(device)
        mean, deviation = self.means[chosen], self.deviations[chosen]
        latents = (mean + deviation * torch.randn(mean.shape, device=device) - self.shift) / self.scale
        return latents, None if self.lesions is None else self.lesions[chosen]
