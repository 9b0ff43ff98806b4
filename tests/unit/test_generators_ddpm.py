"""DDPM: the published size, loss weights and targets, samplers, saved models."""

import math

import diffusers
import numpy as np
import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.common.sets import ImageSet
from radsynth.generators.base import image_rng
from radsynth.generators.ddpm import DDPM
from radsynth.generators.denoising import DenoisingTask, Pixels
from radsynth.generators.diffusion import (
    clean_estimate,
    denoise,
    loss_weights,
    sampling_scheduler,
    target,
)
from radsynth.generators.options import resolve_options
from radsynth.generators.unet import build_scheduler, build_unet, count_gflop
from radsynth.learning.descent import learning_rate
from radsynth.learning.devices import choose_plan

TINY = {
    "block_out_channels": [8, 16],
    "norm_groups": 4,
    "layers_per_block": 1,
    "attention_levels": [],
    "timesteps": 50,
    "steps": 6,
    "batch_size": 4,
    "log_every": 2,
    "previews": 1,
    "warmup_steps": 2,
}


@pytest.fixture(scope="module")
def data():
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 16), dtype=np.uint8)
    return ImageSet(images[..., None], [{"label": "NORMAL"}] * 9)


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddpm")
    generator = DDPM(resolve_options("ddpm", "cpu", TINY))
    generator.fit(data, folder, seed=3)
    generator.save(folder / "model")
    return generator, folder


@pytest.mark.parametrize(("preset", "parameters"), [("paper", 113_673_219), ("default", 113_668_609)])
def test_published_number_of_parameters(preset, parameters):
    options = resolve_options("ddpm", preset, {})
    with torch.device("meta"):
        unet = build_unet(options, 128, 128, options["channels"])
    assert sum(p.numel() for p in unet.parameters()) == parameters
    assert round(parameters / 1e6, 2) == 113.67
    attention = [i for i, block in enumerate(unet.down_blocks) if hasattr(block, "attentions")]
    assert attention == [4]
    assert [i for i, block in enumerate(unet.up_blocks) if hasattr(block, "attentions")] == [1]


def test_published_work_per_image():
    with torch.device("meta"):
        unet = build_unet(resolve_options("ddpm", "paper", {}), 128, 128, 3)
    assert count_gflop(unet) == pytest.approx(124, abs=0.5)


def test_gflop_of_one_convolution_by_hand():
    unet_options = {**resolve_options("ddpm", "cpu", {}), "block_out_channels": [8], "attention_levels": []}
    small, large = (count_gflop(build_unet(unet_options, size, size, 1)) for size in (32, 64))
    # Everything but the time embedding grows with the number of pixels; attention with its square.
    assert 4 < large / small < 16


def test_signal_is_gone_in_three_quarters_of_the_paper_preset():
    abar = build_scheduler(resolve_options("ddpm", "paper", {})).alphas_cumprod.double()
    assert (abar / (1 - abar) >= 0.01).double().mean().item() == pytest.approx(0.236, abs=0.001)
    abar = build_scheduler(resolve_options("ddpm", "default", {})).alphas_cumprod.double()
    assert (abar / (1 - abar) >= 0.01).double().mean().item() == pytest.approx(0.674, abs=0.001)


def test_loss_weights_in_closed_form():
    abar = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)  # SNR 9, 1, 1/9
    epsilon = loss_weights(abar, "epsilon", 5.0)
    v = loss_weights(abar, "v_prediction", 5.0)
    assert epsilon.tolist() == pytest.approx([5 / 9, 1, 1])
    assert v.tolist() == pytest.approx([5 / 10, 1 / 2, (1 / 9) / (10 / 9)])
    assert loss_weights(abar, "epsilon", None).tolist() == [1, 1, 1]


def test_loss_weights_are_finite_where_the_signal_vanishes():
    abar = build_scheduler(resolve_options("ddpm", "paper", {})).alphas_cumprod
    assert torch.isfinite(loss_weights(abar, "epsilon", 5.0)).all()
    assert loss_weights(torch.tensor([0.0]), "epsilon", 5.0).tolist() == [1]


def test_targets_agree_with_diffusers():
    scheduler = build_scheduler(resolve_options("ddpm", "default", {}))
    clean, noise = torch.randn(2, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([0, 10, 500, 999])
    abar = scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    velocity = scheduler.get_velocity(clean, noise, timesteps)
    assert torch.allclose(target("v_prediction", clean, noise, abar), velocity, atol=1e-6)
    assert target("epsilon", clean, noise, abar) is noise


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_true_prediction_gives_back_the_clean_image(prediction):
    clean = torch.rand(3, 1, 8, 8, dtype=torch.float64) * 2 - 1
    noise = torch.randn_like(clean)
    abar = torch.tensor([0.99, 0.5, 0.01], dtype=torch.float64).view(-1, 1, 1, 1)
    noisy = abar.sqrt() * clean + (1 - abar).sqrt() * noise
    output = target(prediction, clean, noise, abar)
    assert torch.allclose(clean_estimate(prediction, output, noisy, abar), clean)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("timesteps", [1000, 8000])
@pytest.mark.parametrize(
    ("name", "steps", "tolerance"), [("ancestral", 1000, 0.05), ("ddim", 50, 0.05), ("dpm_solver++", 25, 0.03)]
)
def test_samplers_reach_the_distribution_of_an_exact_denoiser(prediction, timesteps, name, steps, tolerance):
    """Data N(0.2, 0.3^2) per pixel have a known denoiser; every sampler must return that mean and deviation."""
    mean, variance = 0.2, 0.09
    options = resolve_options("ddpm", "default", {"timesteps": timesteps, "prediction": prediction})
    scheduler = build_scheduler(options)

    def predict(noisy, t):
        abar = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
        gain = abar.sqrt() * variance / (abar * variance + 1 - abar)
        clean = mean + gain * (noisy - abar.sqrt() * mean)
        noise = (noisy - abar.sqrt() * clean) / (1 - abar).sqrt()
        return noise if prediction == "epsilon" else abar.sqrt() * noise - (1 - abar).sqrt() * clean

    rngs = [image_rng(1, index) for index in range(16)]
    sampler = {"name": name, "steps": steps}
    images = denoise(predict, prediction, scheduler.config, sampler, rngs, (1, 16, 16), torch.device("cpu"))
    # 4096 values: standard errors .005 of the mean and .0033 of the deviation; few steps change it a little.
    assert images.mean().item() == pytest.approx(mean, abs=0.02)
    assert images.std().item() == pytest.approx(math.sqrt(variance), rel=tolerance)


def test_ddim_is_the_deterministic_step_of_diffusers():
    options = resolve_options("ddpm", "default", {})
    config = build_scheduler(options).config
    ours = sampling_scheduler(config, {"name": "ddim", "steps": 50})
    theirs = diffusers.DDIMScheduler.from_config(config, prediction_type="sample", clip_sample=False)
    theirs.set_timesteps(50)
    image, clean = torch.randn(1, 1, 4, 4), torch.rand(1, 1, 4, 4)
    # The same step, from timestep 400 to 380, from either library class.
    ours.set_timesteps(timesteps=[400, 380])
    ours.set_begin_index(0)
    assert torch.allclose(
        ours.step(clean, 400, image).prev_sample, theirs.step(clean, 400, image).prev_sample, atol=1e-5
    )


def test_solvers_begin_at_the_same_noise_whatever_the_number_of_timesteps():
    for timesteps in (1000, 8000):
        config = build_scheduler(resolve_options("ddpm", "default", {"timesteps": timesteps})).config
        scheduler = sampling_scheduler(config, {"name": "dpm_solver++", "steps": 25})
        assert len(scheduler.timesteps) == 25
        assert scheduler.timesteps[-1] == 0
        assert -math.log(scheduler.sigmas[0]) == pytest.approx(-5.08, abs=0.05)


def test_more_sampling_steps_than_timesteps_are_refused():
    config = build_scheduler(resolve_options("ddpm", "cpu", TINY)).config
    with pytest.raises(UserError, match="sampler.steps: 60, expected at most the model's 50"):
        sampling_scheduler(config, {"name": "ancestral", "steps": 60})
    assert len(sampling_scheduler(config, {"name": "ancestral", "steps": None}).timesteps) == 50


@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpm_solver++"])
def test_shards_and_batch_sizes_give_the_same_pool(fitted, name):
    generator, _ = fitted
    sampler = {"name": name, "steps": 5, "batch_size": 7}
    batches = list(generator.sample(range(10), 21, sampler=sampler))
    assert [len(batch.images) for batch in batches] == [7, 3]
    whole = np.concatenate([batch.images for batch in batches])
    assert whole.shape == (10, 16, 16, 1)
    assert whole.dtype == np.uint8
    shards = [generator.sample(part, 21, sampler={**sampler, "batch_size": 2}) for part in ([8, 9, 3], range(3))]
    parts = {index: image for shard in shards for b in shard for index, image in zip(b.indices, b.images, strict=True)}
    for index, image in parts.items():
        assert np.abs(image.astype(int) - whole[index]).max() <= 1
    other = np.concatenate([b.images for b in generator.sample(range(10), 22, sampler=sampler)])
    assert (other != whole).mean() > 0.5


def test_saved_model_gives_the_same_images(fitted):
    generator, folder = fitted
    loaded = DDPM.load(folder / "model")
    a, b = (np.concatenate([x.images for x in g.sample(range(3), 5)]) for g in (generator, loaded))
    assert np.array_equal(a, b)
    assert loaded.describe()["data"] == generator.describe()["data"]
    assert loaded.describe()["parameters"] == sum(p.numel() for p in generator.unet.parameters())


def test_saved_model_loads_in_diffusers_with_the_averaged_weights(fitted):
    generator, folder = fitted
    pipeline = diffusers.DDPMPipeline.from_pretrained(folder / "model", low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    for ours, theirs in zip(generator.unet.parameters(), pipeline.unet.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    image = pipeline(num_inference_steps=2, output_type="np").images
    assert image.shape == (1, 16, 16, 1)
    assert not list((folder / "model").rglob("*.bin"))


def test_saved_weights_are_the_average_not_the_last(fitted):
    generator, folder = fitted
    state = torch.load(next((folder / "state").glob("step_*")) / "state.pt", weights_only=True)["task"]
    last, average = state["network"], state["average"]["shadow_params"]
    names = [name for name, _ in generator.unet.named_parameters()]
    kept = dict(generator.unet.named_parameters())
    assert all(torch.equal(kept[name], value) for name, value in zip(names, average, strict=True))
    assert any(not torch.equal(kept[name], last[name]) for name in names)


def test_three_channels_repeat_the_gray_image(data, tmp_path):
    generator = DDPM(resolve_options("ddpm", "cpu", {**TINY, "channels": 3, "steps": 2, "ema_decay": 0}))
    generator.fit(data, tmp_path, seed=3)
    assert next(generator.sample([0], 1)).images.shape == (1, 16, 16, 1)


def test_training_depends_on_the_seed_only(data, tmp_path):
    def weights(folder, seed):
        generator = DDPM(resolve_options("ddpm", "cpu", {**TINY, "steps": 3, "previews": 0}))
        generator.fit(data, tmp_path / folder, seed)
        return torch.cat([p.flatten() for p in generator.unet.parameters()])

    assert torch.equal(weights("a", 3), weights("b", 3))
    assert not torch.equal(weights("a", 3), weights("c", 4))


def test_metrics_of_a_run_hold_what_is_promised(fitted):
    from radsynth.learning.measured import read_metrics

    rows = read_metrics(fitted[1] / "progress" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [2, 4, 6]
    row = rows[-1]
    assert set(row) >= {"images", "loss", "gradient_norm", "learning_rate", "images_per_s", "peak_memory_mb"}
    assert len(row["loss_per_snr"]) == 6
    assert row["skipped"] == 0


def test_learning_rate_warms_up_then_follows_a_half_cosine():
    options = {"learning_rate": 2.0, "warmup_steps": 10, "learning_rate_schedule": "cosine"}
    rates = [learning_rate(step, 110, options) for step in (0, 5, 10, 60, 110)]
    assert rates == pytest.approx([0, 1, 2, 1, 0])
    options["learning_rate_schedule"] = "constant"
    assert learning_rate(109, 110, options) == 2.0


@pytest.mark.parametrize(
    ("overrides", "size", "message"),
    [
        (
            {"block_out_channels": [8, 8, 8, 8]},
            12,
            "options.block_out_channels: 4 levels .* multiple of 8, found 12 x 12",
        ),
        ({"attention_levels": [5]}, 16, r"options.attention_levels: \[5\], expected levels from 0 to 1"),
        ({"norm_groups": 3}, 16, r"options.norm_groups: 3 does not divide \[8, 16\]"),
    ],
)
def test_impossible_networks_are_refused(overrides, size, message):
    options = resolve_options("ddpm", "cpu", {**TINY, **overrides})
    with pytest.raises(UserError, match=message):
        build_unet(options, size, size, 1)


@pytest.fixture
def task(data):
    options = resolve_options("ddpm", "cpu", TINY | {"ema_decay": 0.5})
    torch.manual_seed(0)
    plan = choose_plan()
    supply = Pixels(data.gray(), None, options, plan)
    return DenoisingTask(build_unet(options, 16, 16, 1), build_scheduler(options), supply, options, 6, plan)


def test_the_average_warms_up_to_its_highest_decay(task):
    """Decays of the steps after the first: 1 - 2^-.75 = .405, then 1 - 3^-.75 = .561, cut to .5."""
    weights = []
    for step in range(3):
        task.step(step + 1, np.arange(4))
        weights.append(next(task.descent.network.parameters()).detach().clone())
    first = 1 - 2**-0.75
    expected = 0.5 * (first * weights[0] + (1 - first) * weights[1]) + 0.5 * weights[2]
    assert not torch.equal(weights[0], weights[2])
    torch.testing.assert_close(task.descent.average.shadow_params[0], expected)


def test_a_step_weighs_the_errors_by_their_timestep(task):
    def loss(weights):
        task.weights = weights
        torch.manual_seed(1)
        total, count = task.step(0, np.arange(4))[0]["loss"]  # the learning rate of step 0 is 0
        return float(total / count)

    ones = torch.ones_like(task.weights)
    assert loss(3 * ones) == pytest.approx(3 * loss(ones))
    torch.manual_seed(1)
    per_bin = task.step(0, np.arange(4))[0]["loss_per_snr"]
    early = (task.snr_bins == task.snr_bins.max()).float()
    assert loss(early) == pytest.approx(float(per_bin[0][-1]) / 4)


def test_betas_that_leave_nothing_of_the_image_are_refused():
    with pytest.raises(UserError, match="^options.timesteps: after 12000"):
        build_scheduler(resolve_options("ddpm", "default", {"timesteps": 12000}))


def test_few_timesteps_can_be_previewed(data, tmp_path):
    generator = DDPM(resolve_options("ddpm", "cpu", {**TINY, "timesteps": 4, "steps": 1, "previews": 0}))
    generator.fit(data, tmp_path, seed=3)
    assert next(generator.sample([0], 1)).images.shape == (1, 16, 16, 1)


def test_nan_loss_leaves_the_weights_untouched(task):
    before = [p.clone() for p in task.descent.network.parameters()]
    task.weights = task.weights * float("nan")
    _, finite = task.step(3, np.arange(4))
    assert not finite
    assert all(torch.equal(a, b) for a, b in zip(before, task.descent.network.parameters(), strict=True))
