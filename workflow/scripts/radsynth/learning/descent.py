"""How a network learns from the gradient of a loss: AdamW, clipping, a moving average of its weights."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import diffusers
import torch

from radsynth.learning.devices import Plan
from radsynth.learning.weights_taken import copy_weights


class Descent:
    """The steps of one network down the gradient of its losses; ``network`` is on its device, in training.

    ``options``: learning_rate, learning_rate_schedule, warmup_steps, adam_betas, weight_decay, gradient_clip,
    ema_decay (0: no moving average), ema_inv_gamma and ema_power. ``steps`` are those of the whole training.
    """

    def __init__(self, network: torch.nn.Module, options: Mapping[str, Any], steps: int, plan: Plan):
        self.network, self.options, self.steps, self.plan = network, options, steps, plan
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=options["learning_rate"],
            betas=tuple(options["adam_betas"]),
            weight_decay=options["weight_decay"],
            fused=plan.fast,
        )
        self.scaler = plan.grad_scaler()
        self.average = None
        if options["ema_decay"]:
            self.average = diffusers.EMAModel(
                network.parameters(),
                decay=options["ema_decay"],
                use_ema_warmup=True,
                inv_gamma=options["ema_inv_gamma"],
                power=options["ema_power"],
                foreach=True,
            )

    def take(self, step: int, loss: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Take step number ``step``; return the norm of the gradient, and the learning rate.

        A gradient that is not finite changes no weight.
        """
        rate = learning_rate(step, self.steps, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options["gradient_clip"], foreach=True)
        # The scaler leaves the step out if a gradient is not finite.
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.step(self.network.parameters())
        return norm, rate

    def state_dict(self) -> dict[str, Any]:
        """Return all that later steps depend on."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over such a state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
            self.average.to(self.plan.device)

    def begin_from(self, network: torch.nn.Module) -> None:
        """Take over the weights of another network, before the first step; their moving average begins there, too."""
        copy_weights(network, self.network)
        if self.average is not None:
            self.average.shadow_params = [parameter.detach().clone() for parameter in self.network.parameters()]

    def keep_averaged_weights(self) -> None:
        """Replace the network's weights by their moving average, at the end of training."""
        if self.average is not None:
            self.average.copy_to(self.network.parameters())

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Put the moving average in place for a while, to look at results during training."""
        if self.average is not None:
            self.average.store(self.network.parameters())
            self.average.copy_to(self.network.parameters())
        try:
            yield
        finally:
            if self.average is not None:
                self.average.restore(self.network.parameters())
            self.network.train()


def learning_rate(step: int, steps: int, options: Mapping[str, Any]) -> float:
    """Return the learning rate of a step: linear warm-up, then constant or a half cosine down to 0 at ``steps``."""
    peak, warmup = options["learning_rate"], options["warmup_steps"]
    if step < warmup:
        return peak * step / warmup
    if options["learning_rate_schedule"] == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))
