"""Noise schedules of diffusion models in numbers: what they leave of the image, and at which timesteps it is sampled.

Free of torch, so that it is known when a study is planned. The schedules are those of diffusers' DDPMScheduler.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from radsynth.common.errors import UserError

# Sampling begins at pure noise. What training leaves of the image at the last timestep is missing there: images come
# out with a mean that is off by up to sqrt(SNR) of their standard deviation. Stable Diffusion's schedule leaves .0047.
MOST_SIGNAL = 0.01
# log(alpha/sigma) below which images are pure noise to a solver: it begins there.
LEAST_LOG_SNR = -5.1


def noise_variances(options: Mapping[str, Any]) -> np.ndarray:
    """Return the noise variance (beta) that each timestep adds, float64 (timesteps,).

    ``options`` are a DDPM's: timesteps, beta_schedule, beta_start and beta_end (the cosine schedule of Nichol &
    Dhariwal 2021 takes neither of these).
    """
    timesteps, schedule = options["timesteps"], options["beta_schedule"]
    start, end = options["beta_start"], options["beta_end"]
    if schedule == "linear":
        return np.linspace(start, end, timesteps)
    if schedule == "scaled_linear":
        return np.linspace(math.sqrt(start), math.sqrt(end), timesteps) ** 2
    if schedule == "sigmoid":
        return start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, timesteps)))
    abar = np.cos((np.arange(timesteps + 1) / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - abar[1:] / abar[:-1], 0.999)


def terminal_snr(options: Mapping[str, Any]) -> float:
    """Return the signal-to-noise ratio abar / (1 - abar) at the last timestep."""
    abar = np.prod(1 - noise_variances(options))
    return float(abar / (1 - abar))


def check_noise(options: Mapping[str, Any]) -> None:
    """Raise UserError if the last timestep leaves too much of the image, or either end nothing in floating point."""
    found = f"after {options['timesteps']} with these betas ({options['beta_schedule']})"
    snr = terminal_snr(options)
    if snr > MOST_SIGNAL:
        raise UserError(
            f"options.timesteps: {found} the signal-to-noise ratio is {snr:.2g}, but images are drawn from pure noise: "
            f"they would come out too gray; expected at most {MOST_SIGNAL:g}, by more timesteps, larger betas or "
            "beta_schedule: squaredcos_cap_v2"
        )
    betas = noise_variances(options)
    if np.float32(1) - np.float32(1 - betas[0]) == 0:
        raise UserError(
            f"options.beta_start: the first timestep adds {betas[0]:.2g}, which is nothing in floating point; "
            "expected a larger beta_start or fewer timesteps"
        )
    if (1 - betas[0]) / betas[0] < math.exp(2 * LEAST_LOG_SNR):
        raise UserError(
            f"options.beta_start: the first timestep adds {betas[0]:.6g}, which leaves nothing to begin sampling from; "
            "expected a smaller one"
        )
    if snr < np.finfo(np.float32).tiny:
        raise UserError(
            f"options.timesteps: {found} nothing is left of the image, not even in floating point; expected fewer "
            "timesteps or smaller betas"
        )


def check_sampling_steps(steps: int | None, timesteps: int) -> None:
    """Raise UserError if a sampler takes more steps than the model has timesteps."""
    if steps and steps > timesteps:
        raise UserError(f"sampler.steps: {steps}, expected at most the model's {timesteps} timesteps")


def ancestral_timesteps(timesteps: int, steps: int) -> list[int]:
    """Return ``steps`` timesteps in even distances, from the last one down, as whole numbers (``trailing`` spacing).

    Not by diffusers, whose floating point takes timestep -1, pure noise, for the last of some numbers of steps.
    """
    return [timesteps - (2 * timesteps * i + steps) // (2 * steps) - 1 for i in range(steps)]
