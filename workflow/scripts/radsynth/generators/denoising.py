"""One training step of a denoising diffusion model."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import diffusers
import numpy as np
import torch

from radsynth.generators.augmentation import augment, draw_changes
from radsynth.generators.diffusion import loss_weights, snr, target
from radsynth.learning.descent import Descent
from radsynth.learning.devices import Plan
from radsynth.learning.measured import SNR_EDGES, Measured


class Supply(Protocol):
    """Where clean images come from, or latents, changed at random."""

    def draw(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return those of some training images, (n, channels, height, width), and what their lesions cover.

        The latter (n, 1, height, width) in [0, 1], or None if the network is told of none. Randomness comes from
        torch's global generator.
        """


class Pixels:
    """Training images, uint8 (n, height, width), in [-1, 1], slightly changed anew each time; they stay on the device.

    ``lesions``, float32 (n, height, width) in [0, 1], move with them.
    """

    def __init__(self, images: np.ndarray, lesions: np.ndarray | None, options: Mapping[str, Any], plan: Plan):
        self.images = torch.from_numpy(images).to(plan.device)
        self.lesions = None if lesions is None else torch.from_numpy(lesions).to(plan.device)
        self.options, self.device = options, plan.device

    def draw(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None]:
        chosen = torch.from_numpy(indices).to(self.device)
        clean = self.images[chosen].unsqueeze(1) / 127.5 - 1
        matrix, change = draw_changes(len(clean), self.options, self.device)
        clean = augment(clean, matrix, change).clamp(-1, 1).expand(-1, self.options["channels"], -1, -1)
        lesions = None if self.lesions is None else augment(self.lesions[chosen].unsqueeze(1), matrix, None)
        return clean, lesions


class Told:
    """What the network is told of the training images, of which it must also do without.

    ``known``: float32 (n, columns), as ``conditions.Conditioner.encode``; ``parts``: how many columns belong together.
    Of one sample all are dropped with the probability ``drop_all`` (for guidance without a classifier, Ho & Salimans
    2022), and each part with the probability ``drop_each``; lesions are the last part, if they are told.
    """

    def __init__(self, known: np.ndarray, parts: Sequence[int], options: Mapping[str, Any], plan: Plan):
        self.known = torch.from_numpy(known).to(plan.device)
        self.part_of = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor(parts)).to(plan.device)
        self.n_parts, self.options = len(parts), options

    def draw(self, indices: np.ndarray, lesions: torch.Tensor | None) -> list[torch.Tensor]:
        """Return what a batch is told: (n, columns), and lesions with their "known" (n, 2, height, width)."""
        device = self.known.device
        known = self.known[torch.from_numpy(indices).to(device)]
        kept = torch.rand(len(known), self.n_parts, device=device) >= self.options["drop_each"]
        kept &= torch.rand(len(known), 1, device=device) >= self.options["drop_all"]
        known = known * kept[:, self.part_of]
        return [known] if lesions is None else [known, with_known(lesions, known[:, -1])]


def with_known(lesions: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return lesions (n, 1, height, width) beside whether they are ``known`` (n,): (n, 2, height, width).

    Where they are not, both are 0: that is not the same as none being there.
    """
    known = known.view(-1, 1, 1, 1).expand_as(lesions)
    return torch.cat([lesions * known, known], 1)


class DenoisingTask:
    """Teaches a network to predict noise or v. Implements ``loop.Task``.

    The network is a U-Net of diffusers, or with ``told`` one that is also given what that draws.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        scheduler: diffusers.SchedulerMixin,
        supply: Supply,
        options: Mapping[str, Any],
        steps: int,
        plan: Plan,
        told: Told | None = None,
    ):
        self.options, self.plan, self.supply, self.told = options, plan, supply, told
        network = plan.place(network).train()
        self.model = plan.compiled(network)
        self.descent = Descent(network, options, steps, plan)
        self.abar = scheduler.alphas_cumprod.to(plan.device)
        self.weights = loss_weights(self.abar, options["prediction"], options["snr_gamma"])
        self.snr_bins = torch.bucketize(snr(self.abar), torch.tensor(SNR_EDGES, device=plan.device))

    def step(self, step: int, indices: np.ndarray) -> tuple[Measured, torch.Tensor]:
        clean, lesions = self.supply.draw(indices)
        device = self.plan.device
        noise = torch.randn(clean.shape, device=device)
        timesteps = torch.randint(len(self.abar), (len(clean),), device=device)
        told = self.told.draw(indices, lesions) if self.told else []
        # Drawn for the whole batch, however many processes there are: the same training.
        clean, noise, timesteps, *told = self.plan.team.share(clean, noise, timesteps, *told)
        abar = self.abar[timesteps].view(-1, 1, 1, 1)
        noisy = (abar.sqrt() * clean + (1 - abar).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        with self.plan.autocast():
            output = self.model(noisy, timesteps, *told).sample
        wanted = target(self.options["prediction"], clean, noise, abar)
        errors = (output.float() - wanted).square().mean(dim=(1, 2, 3))
        loss = (self.weights[timesteps] * errors).mean()
        norm, rate = self.descent.take(step, loss)
        return self._measure(loss, errors, timesteps, norm, rate), torch.isfinite(norm)

    @torch.no_grad()
    def _measure(
        self, loss: torch.Tensor, errors: torch.Tensor, timesteps: torch.Tensor, norm: torch.Tensor, rate: float
    ) -> Measured:
        one = torch.ones((), device=errors.device)
        bins, zeros = self.snr_bins[timesteps], torch.zeros(len(SNR_EDGES) + 1, device=errors.device)
        per_bin = zeros.index_add(0, bins, errors.detach()), zeros.index_add(0, bins, torch.ones_like(errors))
        finite = torch.isfinite(norm)
        return {
            "loss": (torch.where(finite, loss.detach(), 0.0), finite.float()),
            "loss_per_snr": per_bin,
            "gradient_norm": (torch.where(finite, norm, 0.0), finite.float()),
            "learning_rate": (rate * one, one),
            "skipped": (1 - finite.float(), one),
        }

    def state_dict(self) -> dict[str, Any]:
        return self.descent.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.descent.load_state_dict(state)
