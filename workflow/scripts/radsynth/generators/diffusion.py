"""The mathematics of denoising diffusion: loss weights, clean estimates, samplers."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import diffusers
import numpy as np
import torch

from radsynth.generators.noise import LEAST_LOG_SNR, ancestral_timesteps, check_sampling_steps


def snr(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """Return the signal-to-noise ratio abar / (1 - abar) of each timestep."""
    return alphas_cumprod / (1 - alphas_cumprod)


def loss_weights(alphas_cumprod: torch.Tensor, prediction: str, gamma: float | None) -> torch.Tensor:
    """Return the weight of the squared error at each timestep: min-SNR-gamma (Hang et al. 2023), or 1 without gamma.

    The weight of the error in the clean image, min(SNR, gamma), is divided by what turns it into the error in the
    prediction: SNR for epsilon, SNR + 1 for v.
    """
    if gamma is None:
        return torch.ones_like(alphas_cumprod)
    ratio = snr(alphas_cumprod)
    # The same as ratio.clamp(max=gamma) / ratio, which would be 0 / 0 where next to nothing is left of the image.
    return (gamma / ratio).clamp(max=1) if prediction == "epsilon" else ratio.clamp(max=gamma) / (ratio + 1)


def target(prediction: str, clean: torch.Tensor, noise: torch.Tensor, abar: torch.Tensor) -> torch.Tensor:
    """Return what the network predicts: noise, or v = sqrt(abar) noise - sqrt(1 - abar) clean (Salimans & Ho 2022)."""
    return noise if prediction == "epsilon" else abar.sqrt() * noise - (1 - abar).sqrt() * clean


def clean_estimate(
    prediction: str, output: torch.Tensor, noisy: torch.Tensor, abar: torch.Tensor, reach: float = 1.0
) -> torch.Tensor:
    """Return the clean image (latent) that a prediction implies, clipped to [-reach, reach]."""
    if prediction == "epsilon":
        clean = (noisy - (1 - abar).sqrt() * output) / abar.sqrt()
    else:
        clean = abar.sqrt() * noisy - (1 - abar).sqrt() * output
    return clean.clamp(-reach, reach)


def sampling_scheduler(config: Mapping[str, Any], sampler: Mapping[str, Any]) -> diffusers.SchedulerMixin:
    """Return the scheduler of a sampler ``{name, steps}``, its timesteps set. It expects clean images as model output.

    ``ancestral``: Ho et al. 2020, on every timestep or a subset of them that begins with the last (DDPMPipeline's
    subset begins earlier, where images still hold some signal that noise has not; Lin et al. 2024). ``dpm_solver++``:
    the second-order multistep solver of Lu et al. 2022. ``ddim``: its first-order form, which is deterministic DDIM
    (Song et al. 2021). Both solvers take ``solver_timesteps``.
    """
    steps = sampler["steps"] or config["num_train_timesteps"]
    check_sampling_steps(steps, config["num_train_timesteps"])
    # The clean images are clipped before they reach the scheduler.
    changes = {"prediction_type": "sample", "clip_sample": False, "timestep_spacing": "trailing"}
    if sampler["name"] == "ancestral":
        scheduler = diffusers.DDPMScheduler.from_config(config, **changes)
        scheduler.set_timesteps(timesteps=ancestral_timesteps(config["num_train_timesteps"], steps))
    else:
        order = 1 if sampler["name"] == "ddim" else 2
        # The solver does not know all schedules by name.
        changes["trained_betas"] = diffusers.DDPMScheduler.from_config(config).betas.tolist()
        scheduler = diffusers.DPMSolverMultistepScheduler.from_config(config, **changes, solver_order=order)
        scheduler.set_timesteps(timesteps=solver_timesteps(scheduler.alphas_cumprod, steps))
    return scheduler


def solver_timesteps(alphas_cumprod: torch.Tensor, steps: int) -> list[int]:
    """Return at most ``steps`` descending timesteps, evenly spaced in log(alpha/sigma) (Lu et al. 2022) down to 0.

    The first is where log(alpha/sigma) = LEAST_LOG_SNR: before that images are pure noise, and with many timesteps
    (8,000) most steps would be spent there. In log(alpha/sigma) a solver errs alike for variations of all sizes and for
    all schedules. With timesteps spaced quadratically an exact denoiser keeps, of the exposure of 32 px images (SD 5 of
    their 1,024 pixels together), 77 % of the SD in 20 steps of the cosine schedule, 57 % of that of 64 px images.
    """
    log_snr = (torch.log(snr(alphas_cumprod.double())) / 2).numpy()
    first = int((log_snr >= LEAST_LOG_SNR).sum()) - 1
    spaced = np.interp(np.linspace(log_snr[first], log_snr[0], steps), log_snr[::-1], np.arange(len(log_snr))[::-1])
    return sorted({round(t) for t in spaced.tolist()}, reverse=True)


def ancestral_step(
    clean: torch.Tensor, noisy: torch.Tensor, abar: float, abar_before: float
) -> tuple[torch.Tensor, float]:
    """Return mean and standard deviation of the less noisy images, given clean and noisy ones.

    The posterior q(x_s | x_t, x_0) of Ho et al. 2020, equation 7, from ``abar`` of timestep t to ``abar_before`` of any
    earlier timestep s (1 for the clean image).
    """
    alpha = abar / abar_before
    mean = (abar_before**0.5 * (1 - alpha) * clean + alpha**0.5 * (1 - abar_before) * noisy) / (1 - abar)
    return mean, ((1 - alpha) * (1 - abar_before) / (1 - abar)) ** 0.5


def denoise(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    prediction: str,
    config: Mapping[str, Any],
    sampler: Mapping[str, Any],
    rngs: Sequence[np.random.Generator],
    shape: tuple[int, int, int],
    device: torch.device,
    reach: float = 1.0,
) -> torch.Tensor:
    """Return images (n, channels, height, width), one per random generator, from which its noise comes.

    They lie in [-reach, reach].

    ``predict(noisy, timesteps)`` is the network.
    """
    scheduler = sampling_scheduler(config, sampler)
    ancestral, times = sampler["name"] == "ancestral", scheduler.timesteps.tolist()
    if not ancestral:
        scheduler.set_begin_index(0)
    # torch's own generators have seeds of 32 bits on a CPU: two of 100,000 images would be the same.
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:

        def noise() -> torch.Tensor:
            drawn = threads.map(lambda rng: rng.standard_normal(shape, np.float32), rngs)
            return torch.from_numpy(np.stack(list(drawn))).to(device)

        images = noise()
        for t, before in zip(times, [*times[1:], None], strict=True):
            output = predict(images, torch.full((len(images),), t, device=device))
            clean = clean_estimate(prediction, output.float(), images, scheduler.alphas_cumprod[t], reach)
            if ancestral:
                abar = [1.0 if i is None else scheduler.alphas_cumprod[i].item() for i in (t, before)]
                images, deviation = ancestral_step(clean, images, *abar)
                if deviation:
                    images = images + deviation * noise()
            else:
                images = scheduler.step(clean, t, images).prev_sample
    return images.clamp(-reach, reach)
