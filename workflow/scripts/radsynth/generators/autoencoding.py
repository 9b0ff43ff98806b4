"""One training step of the autoencoder of latent diffusion."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from radsynth.generators.augmentation import augment, draw_changes
from radsynth.generators.autoencoder import factor
from radsynth.learning.descent import Descent
from radsynth.learning.devices import Plan, to_floats
from radsynth.learning.measured import Measured

if TYPE_CHECKING:
    import diffusers

#: How unlike two batches of images (n, channels, height, width) in [-1, 1] look: a mean over both.
Likeness = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Coding(torch.nn.Module):
    """An autoencoder as training calls it: there and back by a latent drawn with ``noise``."""

    def __init__(self, vae: "diffusers.AutoencoderKL"):
        super().__init__()
        self.vae = vae

    def forward(self, images: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images as decoded, and the KL divergence of each latent from N(0, 1), summed over it (n,)."""
        coded = self.vae.encode(images).latent_dist
        decoded = self.vae.decode(coded.mean + coded.std * noise).sample
        return decoded, divergence(coded.mean.float(), coded.logvar.float())


class PatchCritic(torch.nn.Module):
    """Scores overlapping patches of images: 1 real, 0 decoded (Isola et al. 2017, of three levels)."""

    def __init__(self, channels: int, width: int = 32):
        super().__init__()
        layers: list[torch.nn.Module] = []
        inputs = channels
        for outputs in (width, 2 * width, 4 * width):
            layers += [torch.nn.Conv2d(inputs, outputs, 4, 2, 1)]
            # No statistics of the batch: a patch is scored by itself.
            layers += [torch.nn.GroupNorm(8, outputs), torch.nn.LeakyReLU(0.2)]
            inputs = outputs
        self.layers = torch.nn.Sequential(*layers, torch.nn.Conv2d(inputs, 1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


class AutoencodingTask:
    """Teaches an autoencoder to give images, uint8 (n, height, width, channels), back. Implements ``loop.Task``.

    The loss: L1 + ``kl_weight`` KL + ``likeness_weight`` ``likeness``, and from ``critic_from`` of the steps on
    ``critic_weight`` times what a critic of patches finds (least squares, Mao et al. 2017), which learns beside; with
    fewer than ``critic_images`` images there is none, as it would know them by heart.
    """

    def __init__(
        self,
        vae: "diffusers.AutoencoderKL",
        images: np.ndarray,
        options: Mapping[str, Any],
        steps: int,
        plan: Plan,
        likeness: Likeness,
    ):
        self.options, self.plan, self.likeness = options, plan, likeness
        coding = plan.place(Coding(vae)).train()
        self.model, times = plan.compiled(coding), factor(options, images.shape[1])
        self.latent_shape = options["latent_channels"], images.shape[1] // times, images.shape[2] // times
        self.images = torch.from_numpy(images).to(plan.device)
        self.descent = Descent(coding, options, steps, plan)
        self.critic_step = steps
        if options["critic_weight"] and len(images) >= options["critic_images"]:
            self.critic_step = round(options["critic_from"] * steps)
        self.critic = None
        if self.critic_step < steps:
            critic = plan.place(PatchCritic(images.shape[3])).train()
            self.critic = Descent(critic, {**options, "ema_decay": 0}, steps, plan)

    def step(self, step: int, indices: np.ndarray) -> tuple[Measured, torch.Tensor]:
        options, device = self.options, self.plan.device
        images = to_floats(self.images[torch.from_numpy(indices).to(device)])
        images = augment(images, *draw_changes(len(images), options, device)).clamp(-1, 1)
        noise = torch.randn(len(images), *self.latent_shape, device=device)
        with self.plan.autocast():
            decoded, coded = self.model(images, noise)
        decoded = decoded.float()
        difference = (decoded - images).abs().mean()
        loss = difference + options["kl_weight"] * coded.mean()
        loss = loss + options["likeness_weight"] * self.likeness(decoded, images)
        fooling = self.critic is not None and step >= self.critic_step
        if fooling:
            loss = loss + options["critic_weight"] * (self.critic.network(decoded) - 1).square().mean()
        norm, rate = self.descent.take(step, loss)
        measured = _measured(loss=loss, reconstruction=difference, kl=coded.mean(), gradient_norm=norm)
        one = torch.ones((), device=device)
        measured |= {"learning_rate": (rate * one, one), "skipped": ((~torch.isfinite(norm)).float(), one)}
        if self.critic is not None:  # counted from its first step on
            measured["critic_loss"] = (0 * one, 0 * one)
        if fooling:
            measured |= _measured(critic_loss=self._teach_critic(step, images, decoded.detach()))
        return measured, torch.isfinite(norm)

    def _teach_critic(self, step: int, images: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
        real, fake = self.critic.network(torch.cat([images, decoded])).chunk(2)
        loss = ((real - 1).square().mean() + fake.square().mean()) / 2
        self.critic.take(step, loss)
        return loss

    def state_dict(self) -> dict[str, Any]:
        critic = None if self.critic is None else self.critic.state_dict()
        return {"autoencoder": self.descent.state_dict(), "critic": critic}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.descent.load_state_dict(state["autoencoder"])
        if self.critic is not None:
            self.critic.load_state_dict(state["critic"])


def divergence(mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """Return the KL divergence of N(mean, exp(logvar)) from N(0, 1), summed over all but the first dimension (n,)."""
    return (mean.square() + logvar.exp() - 1 - logvar).flatten(1).sum(dim=1) / 2


def edge_difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute difference of the steps between neighbouring pixels: edges that are kept or blurred."""
    difference = a - b
    return difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()


def create_likeness(options: Mapping[str, Any], size: int, weights: Path | None, plan: Plan) -> Likeness:
    """Return the ``likeness`` of the options: edges, or LPIPS of gray images (Zhang et al. 2018) by its weights."""
    if options["likeness"] == "edges":
        return edge_difference
    from radsynth.features.similarities import create_similarity

    lpips = create_similarity("lpips", (size, size), weights, str(plan.device))
    lpips.network.requires_grad_(False)

    def likeness(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return lpips(*((images.mean(dim=1, keepdim=True) + 1) / 2 for images in (a, b))).mean()

    return likeness


@torch.no_grad()
def _measured(**values: torch.Tensor) -> Measured:
    """Return finite values once, others not at all."""
    return {
        name: (torch.where(torch.isfinite(value), value.detach(), 0.0), torch.isfinite(value).float())
        for name, value in values.items()
    }
