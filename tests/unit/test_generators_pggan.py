"""PGGAN: layers, growth, losses and parameter counts, each against a closed form or a hand case."""

import math

import numpy as np
import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.generators.adversarial import gradient_penalty
from radsynth.generators.growth import Growth, size_of
from radsynth.generators.options import resolve_options
from radsynth.generators.pggan import count_gflop
from radsynth.generators.progressive import (
    EqualizedConv2d,
    EqualizedSeed,
    PixelNorm,
    append_deviation,
    build_critic,
    build_generator,
    enlarge,
    fade_reals,
    halve,
)
from torch.nn import functional

PRESETS = ["default", "paper", "cpu"]


def options_of(preset, **overrides):
    return resolve_options("pggan", preset, overrides)


def small(preset):
    """The preset with few features: all that it decides but the width."""
    return options_of(preset, widths=[8, 8, 12, 4], latent_size=8)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


# Layers


@pytest.mark.parametrize(("inputs", "outputs", "kernel"), [(64, 96, 3), (24, 200, 1), (16, 64, 4)])
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
def test_equalized_layers_keep_unit_variance_times_the_squared_gain(inputs, outputs, kernel, gain):
    torch.manual_seed(0)
    layer = EqualizedConv2d(inputs, outputs, kernel, gain=gain)
    assert layer.weight.std().item() == pytest.approx(1, rel=0.03), "all weights have the same range"
    with torch.no_grad():
        out = layer(torch.randn(16, inputs, 12, 12))
    assert out.mean().item() == pytest.approx(0, abs=0.05)
    assert out.var().item() == pytest.approx(gain**2, rel=0.08)


def test_a_rectified_layer_keeps_the_mean_square():
    """After gain sqrt(2) and a rectifier of slope s it is (1 + s^2) times that of the input, through any depth."""
    torch.manual_seed(0)
    x, depth = torch.randn(8, 512, 8, 8), 3
    with torch.no_grad():
        for _ in range(depth):
            x = functional.leaky_relu(EqualizedConv2d(512, 512, 1)(x), 0.2)
    assert x.square().mean().item() == pytest.approx(1.04**depth, rel=0.06)


def test_seed_layer_is_the_dense_layer_of_the_paper():
    """Latent times weights scaled by sqrt(2) / 4 / sqrt(latent size), one bias per feature map."""
    torch.manual_seed(0)
    layer = EqualizedSeed(6, 5)
    torch.nn.init.normal_(layer.bias)
    latents = torch.randn(3, 6)
    expected = torch.einsum("nl,olyx->noyx", latents, layer.weight) * math.sqrt(2) / 4 / math.sqrt(6)
    assert torch.allclose(layer(latents[:, :, None, None]), expected + layer.bias.view(1, 5, 1, 1), atol=1e-6)


def test_pixel_norm_by_hand():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]]).view(2, 2, 1, 1)
    scale = math.sqrt(12.5)
    assert PixelNorm()(x).flatten().tolist() == pytest.approx([3 / scale, 4 / scale, 0, 0])


# Minibatch standard deviation


def test_deviation_of_identical_images_is_zero():
    image = torch.randn(1, 3, 4, 4)
    out = append_deviation(image.expand(8, -1, -1, -1).contiguous())
    # 1e-8 below the root keeps its gradient finite.
    assert out[:, 3].abs().max() <= 1.01e-4
    assert torch.equal(out[:, :3], image.expand(8, -1, -1, -1))


def test_deviation_by_hand():
    """Groups of 4 images in a row; per feature and pixel over the images, then averaged to one number."""
    images = torch.zeros(8, 2, 1, 2)
    images[:4, 0, 0, 0] = torch.tensor([1.0, 1.0, 3.0, 3.0])  # deviation 1
    images[:4, 1, 0, 1] = torch.tensor([0.0, 0.0, 0.0, 8.0])  # variance 3/4 * 16 = 12
    images[4:, 0, 0, 0] = torch.tensor([-2.0, 2.0, -2.0, 2.0])  # deviation 2
    out = append_deviation(images)
    assert out.shape == (8, 3, 1, 2)
    first, second = (1 + math.sqrt(12)) / 4, 2 / 4
    assert out[:4, 2].flatten().tolist() == pytest.approx([first] * 8, rel=1e-3)
    assert out[4:, 2].flatten().tolist() == pytest.approx([second] * 8, rel=1e-3)


def test_deviation_has_a_finite_gradient_where_it_is_zero():
    images = torch.zeros(4, 1, 2, 2, requires_grad=True)
    append_deviation(images).sum().backward()
    assert torch.isfinite(images.grad).all()


def test_scores_of_reals_and_fakes_in_one_batch_are_those_of_two_batches():
    critic = build_critic(small("default"), 1)
    a, b = torch.randn(2, 8, 1, 8, 8)
    whole = critic(torch.cat([a, b]), 1)
    assert torch.allclose(whole, torch.cat([critic(a, 1), critic(b, 1)]), atol=1e-6)


# Growth of the networks


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("level", [2, 3])
def test_generator_fades_from_the_smaller_network_enlarged_to_the_new_level(preset, level):
    torch.manual_seed(1)
    options = small(preset)
    generator, latents = build_generator(options, 3), torch.randn(4, 8)
    with torch.no_grad():
        smaller, alone = generator(latents, level - 1), generator(latents, level)
        mode = options["upsampling"]
        # An independent way to enlarge: repeated pixels, or weights 3/4 and 1/4 of the nearest two, border repeated.
        if mode == "nearest":
            enlarged = smaller.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        else:
            n = smaller.shape[-1]
            weights = torch.zeros(2 * n, n)
            for i in range(2 * n):
                weights[i, i // 2] += 0.75
                weights[i, min(max(i // 2 + (1 if i % 2 else -1), 0), n - 1)] += 0.25
            enlarged = weights @ smaller @ weights.T
        assert torch.allclose(generator(latents, level, torch.tensor(0.0)), enlarged, atol=1e-6)
        assert torch.equal(generator(latents, level, torch.tensor(1.0)), alone)
        assert not torch.allclose(alone, enlarged, atol=1e-2)
        half = generator(latents, level, torch.tensor(0.5))
        assert torch.allclose(half, (enlarged + alone) / 2, atol=1e-6)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("level", [2, 3])
def test_critic_fades_from_the_smaller_network_on_halved_images_to_the_new_level(preset, level):
    torch.manual_seed(1)
    critic, images = build_critic(small(preset), 3), torch.randn(4, 1, size_of(level), size_of(level))
    halved = (images[..., ::2, ::2] + images[..., 1::2, ::2] + images[..., ::2, 1::2] + images[..., 1::2, 1::2]) / 4
    with torch.no_grad():
        smaller, alone = critic(halved, level - 1), critic(images, level)
        assert torch.allclose(critic(images, level, torch.tensor(0.0)), smaller, atol=1e-5)
        assert torch.equal(critic(images, level, torch.tensor(1.0)), alone)
        assert not torch.allclose(alone, smaller, atol=1e-3)


def test_halving_is_bilinear_resampling_too():
    images = torch.randn(2, 1, 8, 8)
    other = functional.interpolate(images, scale_factor=0.5, mode="bilinear", align_corners=False)
    assert torch.allclose(halve(images), other, atol=1e-6)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_reals_fade_like_fakes(mode):
    images = torch.randn(2, 1, 8, 8)
    assert torch.allclose(fade_reals(images, 0.0, mode), enlarge(halve(images), mode), atol=1e-6)
    assert torch.equal(fade_reals(images, 1.0, mode), images)


def test_a_level_trains_its_blocks_its_gray_layer_and_the_one_that_fades_out():
    options = small("default")
    for network in (build_generator(options, 3), build_critic(options, 3)):
        for level in range(4):
            images = torch.randn(4, 1, size_of(level), size_of(level))
            inputs = (torch.randn(4, 8) if hasattr(network, "to_gray") else images, level)
            network.zero_grad()
            network(*inputs, torch.tensor(0.5) if level else None).square().sum().backward()
            used = [parameter for parameter in network.parameters() if parameter.grad is not None]
            assert {*map(id, used)} == {*map(id, network.active(level))}
            assert len(used) == len(network.active(level))


# The course of growth


def test_paper_schedule_is_the_published_one():
    options = options_of("paper")
    growth = Growth.plan(options, 128, 128)
    assert growth.count_steps(options["steps"]) == 160_000
    sixth = 200_000 / 6
    for phase, size in enumerate([8, 16, 32, 64, 128]):
        begin, end = math.ceil(phase * sixth), math.ceil((phase + 1) * sixth)
        first, last = growth.at(begin + 1), growth.at(end - 2)
        assert size_of(first[0]) == size_of(last[0]) == size
        assert last[1] == 1
        middle = (begin + end) // 2
        assert first[1] == (1 if size == 8 else pytest.approx(0, abs=1e-3))
        assert growth.at(middle - 1000)[1] == (1 if size == 8 else pytest.approx(1 - 1000 / (sixth / 2), abs=1e-3))
        assert growth.at(middle + 1)[1] == 1
    assert growth.at(159_999) == (5, 1.0)
    assert size_of(growth.at(10**6)[0]) == 128


def test_default_schedule_is_that_of_karras():
    """600,000 images at 4 px, then twice as many per resolution, of which the first half fades in."""
    growth = Growth.plan(options_of("default"), 32, 32)
    found = {images: growth.at(images // 16) for images in (0, 599_999, 600_000, 900_000, 1_200_000, 1_799_999)}
    assert found == {
        0: (0, 1), 599_999: (0, 1), 600_000: (1, 0), 900_000: (1, 0.5), 1_200_000: (1, 1), 1_799_999: (1, 1),
    }  # fmt: skip
    assert growth.count_steps(None) == (600_000 + 3 * 1_200_000) / 16


def test_growth_of_a_single_level_and_without_fading():
    options = options_of("cpu", start_size=4, start_images=10, fade_images=0, stabilize_images=10, batch_size=4)
    assert Growth.plan(options, 4, 4).count_steps(None) == 3
    growth = Growth.plan(options, 16, 16)
    assert [growth.at(step) for step in range(9)] == [(0, 1)] * 3 + [(1, 1)] * 2 + [(2, 1)] * 4
    assert growth.count_steps(None) == 8
    assert growth.count_steps(20) == 20


@pytest.mark.parametrize("size", [(20, 20), (16, 32), (2, 2), (0, 0), (24, 24)])
def test_other_image_sizes_are_refused(size):
    with pytest.raises(UserError, match=rf"square images of 4, 8, 16 ... px, found {size[0]} x {size[1]} px"):
        Growth.plan(options_of("default"), *size)


def test_paper_preset_never_grows_past_128_px_nor_begins_below_8():
    with pytest.raises(UserError, match=r"options.widths: 6 entries reach 128 px, expected at least 7 for 256 px"):
        Growth.plan(options_of("paper"), 256, 256)
    with pytest.raises(UserError, match=r"square images of 8, 16, 32 ... px, found 4 x 4 px"):
        Growth.plan(options_of("paper"), 4, 4)


def test_a_training_that_would_end_too_early_is_refused():
    growth = Growth.plan(options_of("paper"), 128, 128)
    with pytest.raises(UserError, match=r"options.steps: 100000 end at 32 px, expected at least 133334 to reach 128"):
        growth.count_steps(100_000)
    assert size_of(growth.at(growth.count_steps(133_334) - 1)[0]) == 128


def test_default_preset_is_the_published_recipe():
    expected = {
        "widths": [512, 512, 512, 512, 256, 128, 64, 32, 16],
        "latent_size": 512,
        "leaky_slope": 0.2,
        "upsampling": "nearest",
        "critic_pixel_norm": False,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "adam_betas": [0, 0.99],
        "gradient_penalty": 10,
        "drift": 0.001,
        "ema_decay": 0.999,
    }
    found = options_of("default")
    assert {key: found[key] for key in expected} == expected


# Gradient penalty


@pytest.mark.parametrize("size", [4, 8])
def test_gradient_penalty_of_a_linear_critic(size):
    """The gradient is w at every image: (|w| - 1)^2, the norm going over all channels and pixels."""
    weights = torch.randn(3, size, size)
    images = torch.randn(5, 3, size, size)
    penalty = gradient_penalty(lambda x: (x * weights).sum(dim=(1, 2, 3)) + 7, images)
    assert penalty.item() == pytest.approx((np.linalg.norm(weights.numpy().ravel()) - 1) ** 2, rel=1e-5)


def test_gradient_penalty_is_averaged_over_images_and_differentiable():
    """score = a |x|^2 / 2 has gradient a x: the penalty is the mean of (a |x| - 1)^2."""
    a = torch.tensor(2.0, requires_grad=True)
    images = torch.zeros(2, 1, 2, 2)
    images[0, 0, 0, 0], images[1, 0, 1] = 1.0, torch.tensor([3.0, 4.0])
    penalty = gradient_penalty(lambda x: a * x.square().sum(dim=(1, 2, 3)) / 2, images)
    assert penalty.item() == pytest.approx(((2 - 1) ** 2 + (2 * 5 - 1) ** 2) / 2)
    penalty.backward()
    assert a.grad.item() == pytest.approx((2 * 1 * (2 - 1) + 2 * 5 * (2 * 5 - 1)) / 2)


# Sizes


def conv(inputs, outputs, kernel):
    return inputs * outputs * kernel**2 + outputs


def test_number_of_parameters_of_the_paper_preset_by_hand():
    options = options_of("paper")
    # Latent to 4 x 4 and one convolution there; two at 8, 16 and 32 px (128 features), 64 px (to 64) and 128 px; one
    # layer that shows gray at each of the five resolutions.
    generator = 262_272 + 147_584 + 3 * 295_168 + (73_792 + 36_928) + 73_856 + (3 * 129 + 2 * 65)
    assert generator == 1_480_453
    # The mirror image; at 4 px 129 features come in, the last convolution covers 4 x 4, and one number comes out.
    critic = (3 * 256 + 2 * 128) + 73_856 + (36_928 + 73_856) + 3 * 295_168 + (148_736 + 262_272) + 129
    assert critic == 1_482_305
    assert count(build_generator(options, 5)) == generator
    assert count(build_critic(options, 5)) == critic
    assert generator == conv(128, 128, 4) + 7 * conv(128, 128, 3) + conv(128, 64, 3) + 3 * conv(64, 64, 3) + 517


def test_number_of_parameters_of_the_default_is_that_of_the_paper_of_karras():
    """23.1 M each for 1024 px (their table 2, in colour, without the layers of smaller images)."""
    options = options_of("default")
    for network, gray in ((build_generator(options, 8), 1), (build_critic(options, 8), 1)):
        layers = network.to_gray if hasattr(network, "to_gray") else network.from_gray
        published = count(network) - sum(count(layer) for layer in layers[:-gray])
        assert round(published / 1e6, 1) == 23.1
    # At 128 px: 512 features up to 32 px, then 256 and 128.
    generator = conv(512, 512, 4) + 7 * conv(512, 512, 3)
    generator += conv(512, 256, 3) + conv(256, 256, 3) + conv(256, 128, 3) + conv(128, 128, 3)
    generator += 4 * conv(512, 1, 1) + conv(256, 1, 1) + conv(128, 1, 1)
    assert count(build_generator(options, 5)) == generator


def test_gflop_by_hand():
    """Two per multiply-add: the seed layer, then each convolution at its resolution, then the gray layer."""
    options = options_of("cpu", widths=[4, 8], latent_size=3, start_size=4)
    by_hand = 3 * 4 * 16 + 4 * 4 * 9 * 16 + (4 * 8 * 9 + 8 * 8 * 9) * 64 + 8 * 64
    assert count_gflop(options, 8) == round(2 * by_hand / 1e9, 4)
    assert count_gflop(options_of("paper"), 128) == pytest.approx(
        2 * (128 * 128 * 16 + 128 * 128 * 9 * (16 + 2 * 64 + 2 * 256 + 2 * 1024)
             + (128 * 64 + 64 * 64) * 9 * 4096 + 2 * 64 * 64 * 9 * 16384 + 64 * 16384) / 1e9,
        abs=1e-4,
    )  # fmt: skip
