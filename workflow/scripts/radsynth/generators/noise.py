"""Noise schedules of diffusion models in numbers: what they leave of the image, what few sampling steps cost.

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
    """Raise UserError if training ends with too much of the image left, or with nothing in floating point."""
    found = f"after {options['timesteps']} with these betas ({options['beta_schedule']})"
    snr = terminal_snr(options)
    if snr > MOST_SIGNAL:
        raise UserError(
            f"options.timesteps: {found} the signal-to-noise ratio is {snr:.2g}, but images are drawn from pure noise: "
            f"they would come out too gray; expected at most {MOST_SIGNAL:g}, by more timesteps, larger betas or "
            "beta_schedule: squaredcos_cap_v2"
        )
    if snr < np.finfo(np.float32).tiny:
        raise UserError(
            f"options.timesteps: {found} nothing is left of the image, not even in floating point; expected fewer "
            "timesteps or smaller betas"
        )


def ancestral_deviation(options: Mapping[str, Any], steps: int | None, deviation: float) -> float:
    """Return with which standard deviation ancestral sampling gives back a Gaussian variation, as a share of its own.

    With an exact denoiser, so that what is missing is the sampler's alone: each step adds the variance of the posterior
    for known clean images (Ho et al. 2020, equation 7), which is too little for the long steps of a subset.
    ``deviation`` is the true one for images in [-1, 1]; ``steps`` None takes every timestep. In [0, 1].
    """
    abar, total = np.cumprod(1 - noise_variances(options)), options["timesteps"]
    chosen = np.round(np.arange(total, 0, -total / (steps or total))).astype(int) - 1
    here, before = abar[chosen], np.append(abar[chosen[1:]], 1.0)
    variance, found = deviation**2, 1.0
    for now, then in zip(here, before, strict=True):
        alpha = now / then
        # The exact estimate of the clean image, and the posterior's mean, are linear in the noisy one.
        estimate = math.sqrt(now) * variance / (now * variance + 1 - now)
        factor = (math.sqrt(then) * (1 - alpha) * estimate + math.sqrt(alpha) * (1 - then)) / (1 - now)
        found = factor**2 * found + (1 - alpha) * (1 - then) / (1 - now)
    return math.sqrt(found) / deviation


def sampling_note(options: Mapping[str, Any], sampler: Mapping[str, Any]) -> str:
    """Return what a picture of a diffusion model's images must say of their sampler; empty if nothing."""
    if sampler.get("name") != "ancestral":
        return ""
    lost = [100 * (1 - ancestral_deviation(options, sampler["steps"], deviation)) for deviation in (0.1, 0.05)]
    steps = sampler["steps"] or options["timesteps"]
    return (
        f"Drawn by {steps:,} ancestral steps of {options['timesteps']:,} timesteps. Even with an exact denoiser "
        "they make images smoother: of variations with a standard deviation of .1 and .05 (for images in [-1, 1]) "
        f"{lost[0]:.0f} and {lost[1]:.0f} % are lost."
    )
