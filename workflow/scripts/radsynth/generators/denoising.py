"""One training step of a denoising diffusion model."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import diffusers
import numpy as np
import torch

from radsynth.generators.augmentation import augment, draw_changes
from radsynth.generators.diffusion import loss_weights, snr, target
from radsynth.learning.devices import Plan
from radsynth.learning.measured import SNR_EDGES, Measured
from radsynth.learning.weights_taken import copy_weights


class DenoisingTask:
    """Teaches a U-Net to predict noise or v on uint8 images (n, height, width), which stay on the device.

    Implements ``loop.Task``.
    """

    def __init__(
        self,
        unet: diffusers.ModelMixin,
        scheduler: diffusers.SchedulerMixin,
        images: np.ndarray,
        options: Mapping[str, Any],
        steps: int,
        plan: Plan,
    ):
        self.options, self.steps, self.plan = options, steps, plan
        self.unet = plan.place(unet).train()
        self.model = plan.compiled(self.unet)
        self.images = torch.from_numpy(images).to(plan.device)
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(),
            lr=options["learning_rate"],
            betas=tuple(options["adam_betas"]),
            weight_decay=options["weight_decay"],
            fused=plan.fast,
        )
        self.scaler = plan.grad_scaler()
        self.average = None
        if options["ema_decay"]:
            self.average = diffusers.EMAModel(
                self.unet.parameters(),
                decay=options["ema_decay"],
                use_ema_warmup=True,
                inv_gamma=options["ema_inv_gamma"],
                power=options["ema_power"],
                foreach=True,
            )
        abar = scheduler.alphas_cumprod.to(plan.device)
        self.abar = abar
        self.weights = loss_weights(abar, options["prediction"], options["snr_gamma"])
        self.snr_bins = torch.bucketize(snr(abar), torch.tensor(SNR_EDGES, device=plan.device))

    def step(self, step: int, indices: np.ndarray) -> tuple[Measured, torch.Tensor]:
        options, device = self.options, self.plan.device
        clean = self.images[torch.from_numpy(indices).to(device)].unsqueeze(1) / 127.5 - 1
        clean = augment(clean, *draw_changes(len(clean), options, device)).clamp(-1, 1)
        clean = clean.expand(-1, options["channels"], -1, -1)
        noise = torch.randn(clean.shape, device=device)
        timesteps = torch.randint(len(self.abar), (len(clean),), device=device)
        # Drawn for the whole batch, however many processes there are: the same training.
        clean, noise, timesteps = self.plan.team.share(clean, noise, timesteps)
        abar = self.abar[timesteps].view(-1, 1, 1, 1)
        noisy = (abar.sqrt() * clean + (1 - abar).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        with self.plan.autocast():
            output = self.model(noisy, timesteps).sample
        errors = (output.float() - target(options["prediction"], clean, noise, abar)).square().mean(dim=(1, 2, 3))
        loss = (self.weights[timesteps] * errors).mean()

        rate = learning_rate(step, self.steps, options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.unet.parameters(), options["gradient_clip"], foreach=True)
        # The scaler leaves the step out if a gradient is not finite.
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.step(self.unet.parameters())
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
        return {
            "unet": self.unet.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.unet.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
            self.average.to(self.plan.device)

    def begin_from(self, unet: torch.nn.Module) -> None:
        """Take over the weights of another U-Net, before the first step; their moving average begins there, too."""
        copy_weights(unet, self.unet)
        if self.average is not None:
            self.average.shadow_params = [parameter.detach().clone() for parameter in self.unet.parameters()]

    def keep_averaged_weights(self) -> None:
        """Replace the U-Net's weights by their moving average, at the end of training."""
        if self.average is not None:
            self.average.copy_to(self.unet.parameters())

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Put the moving average in place for a while, to look at samples during training."""
        if self.average is not None:
            self.average.store(self.unet.parameters())
            self.average.copy_to(self.unet.parameters())
        try:
            yield
        finally:
            if self.average is not None:
                self.average.restore(self.unet.parameters())
            self.unet.train()


def learning_rate(step: int, steps: int, options: Mapping[str, Any]) -> float:
    """Return the learning rate of a step: linear warm-up, then constant or a half cosine down to 0 at ``steps``."""
    peak, warmup = options["learning_rate"], options["warmup_steps"]
    if step < warmup:
        return peak * step / warmup
    if options["learning_rate_schedule"] == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))
