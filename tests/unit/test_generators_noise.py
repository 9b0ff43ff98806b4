"""Noise of diffusion models: schedules, what they leave of the image, ancestral steps, one stream per image."""

import math

import diffusers
import numpy as np
import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.common.seeds import derive_seed
from radsynth.generators.base import image_rng
from radsynth.generators.diffusion import ancestral_step, denoise, sampling_scheduler
from radsynth.generators.noise import ancestral_timesteps, check_noise, noise_variances, terminal_snr
from radsynth.generators.options import check_generator, resolve_options, resolve_sampler
from radsynth.generators.unet import build_scheduler

SCHEDULES = ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"]


def options(**overrides):
    return resolve_options("ddpm", "default", overrides)


def exact_denoiser(scheduler, mean, deviation):
    """Return the network that knows that every pixel is N(mean, deviation^2), as it predicts v."""

    def predict(noisy, t):
        abar = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
        gain = abar.sqrt() * deviation**2 / (abar * deviation**2 + 1 - abar)
        clean = mean + gain * (noisy - abar.sqrt() * mean)
        noise = (noisy - abar.sqrt() * clean) / (1 - abar).sqrt()
        return abar.sqrt() * noise - (1 - abar).sqrt() * clean

    return predict


def ancestral_deviation(chosen, steps, deviation):
    """Return with which SD exact ancestral sampling gives back a Gaussian variation of an SD, as a share of that.

    Noisy image, exact estimate and posterior mean are linear in each other, so variances follow from step to step.
    """
    abar = np.cumprod(1 - noise_variances(chosen))
    times = ancestral_timesteps(chosen["timesteps"], steps)
    variance, found = deviation**2, 1.0
    for now, then in zip(abar[times], np.append(abar[times[1:]], 1.0), strict=True):
        alpha, estimate = now / then, math.sqrt(now) * variance / (now * variance + 1 - now)
        factor = (math.sqrt(then) * (1 - alpha) * estimate + math.sqrt(alpha) * (1 - then)) / (1 - now)
        found = factor**2 * found + (1 - alpha) * (1 - then) / (1 - now)
    return math.sqrt(found) / deviation


def drawn(chosen, sampler, mean, deviation, n=16):
    scheduler = build_scheduler(chosen)
    rngs = [image_rng(1, index) for index in range(n)]
    predict = exact_denoiser(scheduler, mean, deviation)
    return denoise(predict, "v_prediction", scheduler.config, sampler, rngs, (1, 16, 16), torch.device("cpu"))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("timesteps", [700, 1000, 4000])
def test_the_last_signal_to_noise_ratio_is_that_of_diffusers(schedule, timesteps):
    chosen = options(beta_schedule=schedule, timesteps=timesteps)
    abar = build_scheduler(chosen).alphas_cumprod[-1].double().item()
    assert terminal_snr(chosen) == pytest.approx(abar / (1 - abar), rel=1e-3)


def test_a_schedule_that_leaves_signal_is_refused_when_planned_with_its_ratio():
    generator = {
        "family": "ddpm",
        "gpus": 1,
        "options": options(timesteps=100),
        "sampler": resolve_sampler("ddpm", "default", {}),
    }
    expected = r"^generators.g.options.timesteps: after 100 .*\(linear\) the signal-to-noise ratio is 0.57, .*cos"
    with pytest.raises(UserError, match=expected):
        check_generator(generator, 128, "generators.g")
    with pytest.raises(UserError, match="signal-to-noise ratio is 0.57"):
        build_scheduler(options(timesteps=100))
    for fine in ({"timesteps": 1000}, {"timesteps": 500}, {"timesteps": 4, "beta_schedule": "squaredcos_cap_v2"}):
        check_noise(options(**fine))


def test_the_signal_that_may_be_left_moves_the_mean_by_a_tenth_of_the_deviation_at_most(monkeypatch):
    """Every pixel N(.8, .1^2): the bright end, where what is missing at the beginning matters most."""

    def shift(timesteps):
        images = drawn(options(timesteps=timesteps), {"name": "dpm_solver++", "steps": 25}, 0.6, 0.1)
        return (images.mean().item() - 0.6) / 0.1

    assert abs(shift(470)) < 0.1  # SNR .0095
    monkeypatch.setattr("radsynth.generators.noise.MOST_SIGNAL", 1.0)
    assert shift(100) < -0.3, "what is refused"


def test_an_ancestral_step_is_that_of_diffusers():
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=1000, prediction_type="sample", clip_sample=False)
    scheduler.set_timesteps(100)
    clean, noisy = torch.rand(2, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for t, before in ((500, 490), (10, 0), (0, None)):
        theirs = scheduler.step(clean, t, noisy, generator=torch.Generator().manual_seed(5)).prev_sample
        abar = [1.0 if i is None else scheduler.alphas_cumprod[i].item() for i in (t, before)]
        mean, deviation = ancestral_step(clean, noisy, *abar)
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
        torch.testing.assert_close(mean + deviation * noise, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("deviation", "kept"), [(0.1, 0.892), (0.05, 0.787)])
def test_the_papers_sampler_smooths_as_its_preset_says(deviation, kept):
    paper = resolve_options("ddpm", "paper", {"prediction": "v_prediction"})
    sampler = resolve_sampler("ddpm", "paper", {})
    assert ancestral_deviation(paper, sampler["steps"], deviation) == pytest.approx(kept, abs=0.001)
    measured = drawn(paper, sampler, 0.0, deviation, n=8).std().item() / deviation
    assert measured == pytest.approx(kept, abs=4 * kept / math.sqrt(2 * 8 * 256))


def test_all_steps_of_the_paper_smooth_less():
    paper = resolve_options("ddpm", "paper_full", {})
    sampler = resolve_sampler("ddpm", "paper_full", {})
    assert paper == resolve_options("ddpm", "paper", {}) and sampler["steps"] == paper["timesteps"] == 8000
    kept = [ancestral_deviation(paper, sampler["steps"], deviation) for deviation in (0.1, 0.05)]
    assert kept == pytest.approx([0.977, 0.944], abs=0.001)


def test_ancestral_timesteps_are_as_many_as_asked_for_and_all_different():
    """Also where floating point would add timestep -1: 61, 103, 121 ... of 1,000."""
    for total in (15, 50, 500, 1000):
        for steps in range(1, total + 1):
            times = ancestral_timesteps(total, steps)
            assert len(times) == steps and times[0] == total - 1 and times[-1] >= 0
            assert all(a > b for a, b in zip(times, times[1:], strict=False))
    assert ancestral_timesteps(8000, 1000)[:2] == [7999, 7991] and ancestral_timesteps(8000, 1000)[-1] == 7


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver++"])
def test_every_sampler_draws_from_every_schedule(schedule, sampler):
    """In 61 steps, which do not divide 1,000."""
    images = drawn(options(beta_schedule=schedule), {"name": sampler, "steps": 61}, 0.2, 0.3, n=4)
    assert images.mean().item() == pytest.approx(0.2, abs=0.05) and images.std().item() == pytest.approx(0.3, rel=0.2)


@pytest.mark.parametrize(("preset", "steps"), [("default", 25), ("cpu", 20)])
@pytest.mark.parametrize("deviation", [0.05, 0.5, 5.0, 20.0])
def test_the_solver_keeps_variations_of_all_sizes(preset, steps, deviation):
    """From texture, .05 per pixel, to the exposure of a whole image: of 1,024 pixels by .15 each it is 5 in all."""
    scheduler = build_scheduler(resolve_options("ddpm", preset, {}))
    solver = sampling_scheduler(scheduler.config, {"name": "dpm_solver++", "steps": steps})
    solver.set_begin_index(0)
    values = torch.randn(4000, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    start = values.std().item()
    for t in solver.timesteps.tolist():
        abar = solver.alphas_cumprod[t]
        clean = abar.sqrt() * deviation**2 * values / (abar * deviation**2 + 1 - abar)
        values = solver.step(clean, t, values).prev_sample
    assert values.std().item() / start == pytest.approx(deviation, rel=0.05)


@pytest.mark.parametrize(("beta_start", "message"), [(1e-8, "nothing in floating point"), (0.99999, "begin sampling")])
def test_first_steps_that_cannot_be_sampled_are_refused(beta_start, message):
    with pytest.raises(UserError, match=f"^options.beta_start: .*{message}"):
        check_noise(options(beta_start=beta_start, beta_end=0.999991 if beta_start > 0.5 else 0.02))


@pytest.mark.parametrize("name", ["dpm_solver++", "ancestral"])
def test_images_whose_seeds_end_in_the_same_32_bits_differ(name):
    """Some 200,000 images have several such pairs; torch's generators on a CPU would draw the same noise for them."""
    seen, pair = {}, None
    for index in range(400_000):
        low = derive_seed(1, "image", index) % 2**32
        if low in seen:
            pair = seen[low], index
            break
        seen[low] = index
    scheduler = build_scheduler(options())
    rngs = [image_rng(1, index) for index in pair]
    predict = exact_denoiser(scheduler, 0.2, 0.3)
    sampler = {"name": name, "steps": 5}
    images = denoise(predict, "v_prediction", scheduler.config, sampler, rngs, (1, 16, 16), torch.device("cpu"))
    correlation = np.corrcoef(images.flatten(1).numpy())[0, 1]
    assert abs(correlation) < 5 / math.sqrt(256)
