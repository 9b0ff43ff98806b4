"""One training step of a progressively grown GAN: critic, then generator, then the average of its weights."""

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn

from radsynth.generators.augmentation import augment, draw_changes
from radsynth.generators.growth import Growth, size_of
from radsynth.generators.progressive import ProgressiveCritic, ProgressiveGenerator, fade_reals
from radsynth.learning.devices import Plan
from radsynth.learning.measured import Measured
from radsynth.learning.weights_taken import copy_weights

log = logging.getLogger(__name__)

# Eager steps before a CUDA graph is captured: they make the optimizers' state and choose the convolutions' kernels.
WARM_UP = 3

MEASURES = [
    "critic_loss",
    "generator_loss",
    "real_score",
    "fake_score",
    "gradient_penalty",
    "critic_gradient_norm",
    "generator_gradient_norm",
]


def gradient_penalty(critic: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Return the mean of (norm - 1)^2, the norm being that of the gradient of an image's score over all its values.

    From Gulrajani et al. 2017. ``critic`` maps images (n, channels, height, width) to scores (n,).
    """
    images = images.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return (gradients.flatten(1).norm(dim=1) - 1).square().mean()


class AdversarialTask:
    """Trains generator and critic on uint8 images (n, size, size), which stay on the device: WGAN-GP with drift.

    Implements ``loop.Task``. Critic and generator see the same generated images of a step, so these are made once.
    At each new level both Adam optimizers begin anew. On a GPU the whole step is one CUDA graph per level and per
    part of it (fade-in, stabilization), since small batches cost more to launch than to compute. ``average`` is the
    generator whose weights are the moving average.
    """

    def __init__(
        self,
        generator: ProgressiveGenerator,
        critic: ProgressiveCritic,
        images: np.ndarray,
        growth: Growth,
        options: Mapping[str, Any],
        plan: Plan,
    ):
        self.options, self.growth, self.plan = options, growth, plan
        self.generator, self.critic = plan.place(generator), plan.place(critic)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.images = torch.from_numpy(images).to(plan.device).unsqueeze(1)
        batch, device = options["batch_size"], plan.device
        # What changes from step to step has a fixed place, where a CUDA graph finds it.
        self.indices = torch.zeros(batch, dtype=torch.long, device=device)
        self.latents = torch.zeros(batch, options["latent_size"], device=device)
        self.mixing = torch.zeros(batch, 1, 1, 1, device=device)
        # Of reals and fakes, each its own.
        self.changes = [
            None if drawn is None else torch.zeros_like(drawn) for drawn in draw_changes(2 * batch, options, device)
        ]
        self.alpha = torch.ones((), device=device)
        self.average_weights = get_ema_multi_avg_fn(options["ema_decay"])
        self.graphs = plan.fast and options["cuda_graphs"]
        self.stream = torch.cuda.Stream() if self.graphs else None
        self.level = self.fading = None
        self._enter(*growth.at(0))

    def stage(self) -> dict[str, float]:
        """Return how far the networks have grown: resolution in px, and alpha."""
        return {"resolution": size_of(self.level), "alpha": self.faded}

    def step(self, step: int, indices: np.ndarray) -> tuple[Measured, torch.Tensor]:
        self._enter(*self.growth.at(step))
        self.indices.copy_(torch.from_numpy(indices), non_blocking=True)
        self.latents.normal_()
        self.mixing.uniform_()
        for place, drawn in zip(
            self.changes, draw_changes(2 * len(indices), self.options, self.plan.device), strict=True
        ):
            if place is not None:
                place.copy_(drawn)
        values, finite = self._run()
        counted, one = finite.float(), torch.ones_like(self.alpha)
        measured = {name: (value, counted) for name, value in zip(MEASURES, values.unbind(), strict=True)}
        return {**measured, "skipped": (1 - counted, one)}, finite

    def _enter(self, level: int, alpha: float) -> None:
        """Go to a level, with new optimizers if it is another one, and to an alpha."""
        if level != self.level:
            size, options = size_of(level), self.options
            self.reals = functional.avg_pool2d(self.images.float(), self.images.shape[-1] // size) / 127.5 - 1
            self.learning = {"generator": self.generator.active(level), "critic": self.critic.active(level)}
            self.optimizers = {
                name: torch.optim.Adam(
                    parameters,
                    lr=options["learning_rate"],
                    betas=tuple(map(float, options["adam_betas"])),
                    fused=True,
                    capturable=self.plan.fast,
                )
                for name, parameters in self.learning.items()
            }
        if (level, alpha < 1) != (self.level, self.fading):
            self.level, self.fading = level, alpha < 1
            self.graph, self.eager_steps = None, 0
        self.faded = alpha
        self.alpha.fill_(alpha)

    def _run(self) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.graphs:
            return self._update()
        if self.graph is None:
            if self.eager_steps < WARM_UP:
                self.eager_steps += 1
                return self._update_aside()
            self._capture()
            if self.graph is None:
                return self._update()
        self.graph.replay()
        # The next replay writes to the same place.
        values, finite = self.results
        return values.clone(), finite.clone()

    def _update_aside(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Take a step on the stream of the later capture, as that asks for."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            results = self._update()
        torch.cuda.current_stream().wait_stream(self.stream)
        return results

    def _capture(self) -> None:
        """Record ``_update`` without computing it; where that fails, training goes on without graphs."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                self.results = self._update()
        except RuntimeError as error:
            self.graphs = False
            log.warning("no CUDA graph, training step by step: %s", str(error).splitlines()[0])
        else:
            self.graph = graph

    def _update(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one step; return what ``MEASURES`` names and whether all gradients were finite. Never waits."""
        options, level = self.options, self.level
        alpha = self.alpha if self.fading else None
        reals = self.reals.index_select(0, self.indices)
        if self.fading:
            reals = fade_reals(reals, alpha, options["upsampling"])
        fakes = self.generator(self.latents, level, alpha)
        # Before the critic sees them, reals and fakes alike, so that the generator need not learn the changes.
        reals, fakes = augment(torch.cat([reals, fakes]), *self.changes).chunk(2)
        reals = reals.detach()

        made = fakes.detach()
        real, fake = self.critic(torch.cat([reals, made]), level, alpha).chunk(2)
        mixed = made.lerp(reals, self.mixing)
        penalty = gradient_penalty(lambda images: self.critic(images, level, alpha), mixed)
        critic_loss = (
            fake.mean() - real.mean() + options["gradient_penalty"] * penalty + options["drift"] * real.square().mean()
        )
        critic_norm, finite = self._descend("critic", critic_loss, True)
        generator_loss = -self.critic(fakes, level, alpha).mean()
        generator_norm, finite = self._descend("generator", generator_loss, finite)
        self.average_weights(list(self.average.parameters()), list(self.generator.parameters()), 0)
        with torch.no_grad():
            values = [critic_loss, generator_loss, real.mean(), fake.mean(), penalty, critic_norm, generator_norm]
            return torch.where(finite, torch.stack(values), 0.0), finite

    def _descend(self, name: str, loss: torch.Tensor, go: torch.Tensor | bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Step one optimizer where ``go`` holds and the gradient is finite; return its norm and whether it did."""
        parameters, optimizer = self.learning[name], self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        # Unlike autograd.grad, this lays gradients out like the parameters, which a fused optimizer takes for granted.
        loss.backward(inputs=parameters)
        # The gray layer of the level before has none once the level is faded in.
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        finite = torch.isfinite(norm) & go
        # How a GradScaler tells a fused optimizer, without waiting for the device, to leave a step out.
        optimizer.found_inf = 1 - finite.float()
        optimizer.step()
        return norm, finite

    def begin_from(self, generator: ProgressiveGenerator, critic: ProgressiveCritic) -> None:
        """Take over the weights of grown networks, before the first step: the whole training is at the last level."""
        for start, network in [(generator, self.generator), (generator, self.average), (critic, self.critic)]:
            copy_weights(start, network)
        self.growth = replace(self.growth, first=self.growth.last)
        self._enter(*self.growth.at(0))

    def state_dict(self) -> dict[str, Any]:
        modules = {"generator": self.generator, "critic": self.critic, "average": self.average}
        return {
            "level": self.level,
            "alpha": self.faded,
            **{name: module.state_dict() for name, module in modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._enter(state["level"], state["alpha"])
        for name in ("generator", "critic", "average"):
            getattr(self, name).load_state_dict(state[name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        # Loading gives the optimizers new tensors, which a graph captured before does not know.
        self.graph, self.eager_steps = None, 0
