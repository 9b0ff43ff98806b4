"""Latent diffusion: its stages, what is saved, where it goes on, and when its autoencoder is refused."""

import hashlib
import json
import logging

import diffusers
import numpy as np
import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.common.sets import Conditions, ImageSet
from radsynth.generators.augmentation import augment
from radsynth.generators.autoencoder import build_autoencoder, factor
from radsynth.generators.autoencoding import AutoencodingTask, divergence, edge_difference
from radsynth.generators.denoising import DenoisingTask
from radsynth.generators.latent_diffusion import LatentDiffusion
from radsynth.generators.latents import Latents
from radsynth.generators.options import check_counts, check_generator, resolve_options, resolve_sampler
from radsynth.generators.reconstruction import expect_no_bottleneck, judge, reconstruct, shrunk
from radsynth.generators.unet import build_unet
from radsynth.learning.devices import choose_plan, to_floats
from radsynth.learning.measured import Window

SIZE = 16
STILL = dict.fromkeys(("augment_rotation", "augment_shift", "augment_scale", "augment_intensity"), 0)
TINY = {
    "block_out_channels": [8, 16],
    "norm_groups": 4,
    "batch_size": 4,
    "log_every": 1,
    "previews": 1,
    "warmup_steps": 2,
    "checkpoint_minutes": 0,
    "autoencoder_channels": [8, 8],
    "autoencoder_norm_groups": 4,
    "autoencoder_batch_size": 4,
    "bottleneck": "warn",
    "copies": 3,
}


def options_of(**changes):
    return resolve_options("latent_diffusion", "cpu", TINY | {"steps": 5, "autoencoder_steps": 5} | changes)


def data_of(n=24, channels=1, size=SIZE):
    """Smooth images of two labels, some with a box that is bright."""
    rng = np.random.default_rng(0)
    images, rows = np.empty((n, size, size, channels), np.uint8), []
    for i in range(n):
        images[i] = rng.integers(0, 10, (size, size, channels)) + (60, 130)[i % 2]
        boxes = []
        if i % 3:
            x, y = (int(place) for place in rng.integers(1, size - 6, 2))
            images[i, y : y + 5, x : x + 5], boxes = 240, [[x, y, x + 5, y + 5]]
        rows.append({"label": "AB"[i % 2], "boxes": json.dumps(boxes)})
    return ImageSet(images, rows, tuple("rgbx"[:channels]) if channels > 1 else ("gray",))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latent")
    generator = LatentDiffusion(options_of(lesions="boxes"))
    generator.fit(data_of(), folder, seed=3)
    generator.save(folder / "model")
    return generator, folder


def digests(model):
    return {str(f.relative_to(model)): hashlib.sha256(f.read_bytes()).hexdigest() for f in model.rglob("*.safetensors")}


def test_models_load_with_the_classes_of_diffusers(fitted):
    generator, folder = fitted
    model = folder / "model"
    vae = diffusers.AutoencoderKL.from_pretrained(model / "vae")
    unet = diffusers.UNet2DModel.from_pretrained(model / "unet")
    diffusers.DDPMScheduler.from_pretrained(model / "scheduler")
    for ours, theirs in ((generator.vae, vae), (generator.unet, unet)):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)
    assert (unet.config.in_channels, unet.config.out_channels) == (4 + 2, 4)
    assert len(vae.config.latents_mean) == len(vae.config.latents_std) == 4
    told = json.loads((model / "conditions.json").read_text())
    assert told["labels"] == ["A", "B"] and len(told["training"]) == 24
    again = LatentDiffusion.load(model)
    rows = generator.conditions("A", 6, 1)
    one, other = (next(iter(g.sample(range(6), 2, rows))).images for g in (generator, again))
    assert np.array_equal(one, other) and one.shape == (6, SIZE, SIZE, 1)
    some = next(iter(generator.sample([4, 1], 2, rows.at([4, 1])))).images
    assert np.array_equal(some, one[[4, 1]]), "whichever others are asked for"
    about = generator.describe()
    assert about["parameters"] > about["autoencoder_parameters"] > 0
    assert about["autoencoder"]["withheld"] == 2, "too few to judge by"


def test_images_of_several_channels(tmp_path):
    generator = LatentDiffusion(options_of())
    generator.fit(data_of(channels=3), tmp_path, seed=3)
    batch = next(iter(generator.sample(range(2), 1, Conditions.of_label("A", 2))))
    assert batch.images.shape == (2, SIZE, SIZE, 3) and batch.channels == ("r", "g", "b")


class Stopped(BaseException):
    """As a kill: nothing handles it."""


@pytest.mark.parametrize("seed", range(3))
def test_a_training_that_is_stopped_anywhere_ends_as_an_undisturbed_one(fitted, tmp_path, monkeypatch, seed):
    """Stopped in either training, and between them while latents are made: the same weights, bit for bit."""
    rng = np.random.default_rng(seed)
    for part, method, calls in (
        (AutoencodingTask, "step", 5),
        (Latents, "_copy", 3),
        (DenoisingTask, "step", 5),
    ):
        whole, left = getattr(part, method), [int(rng.integers(calls))]

        def stopping(*args, whole=whole, left=left, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise Stopped
            return whole(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(part, method, stopping)
            with pytest.raises(Stopped):
                LatentDiffusion(options_of(lesions="boxes")).fit(data_of(), tmp_path, seed=3)
    generator = LatentDiffusion(options_of(lesions="boxes"))
    generator.fit(data_of(), tmp_path, seed=3)
    generator.save(tmp_path / "model")
    assert digests(tmp_path / "model") == digests(fitted[1] / "model")


def test_another_unet_needs_no_other_autoencoder(fitted, tmp_path, caplog):
    import shutil

    shutil.copytree(fitted[1], tmp_path / "run")
    with caplog.at_level(logging.INFO):
        LatentDiffusion(options_of(lesions="boxes", steps=6)).fit(data_of(), tmp_path / "run", seed=3)
    assert "going on from step 5 of 5" in caplog.text, "the finished autoencoder"
    assert "belongs to other data, options, seed or code" in caplog.text, "the diffusion begins anew"


def test_latents_are_of_mean_0_and_deviation_1_and_lesions_are_averaged():
    options, plan = options_of(**STILL), choose_plan()
    torch.manual_seed(0)
    vae = build_autoencoder(options, 1, SIZE)
    data = data_of()
    lesions = np.zeros((24, SIZE, SIZE), np.float32)
    lesions[:, 3, 5] = 1
    latents = Latents(vae, data.images, lesions, options, plan, 1)
    assert latents.means.shape == (3, 24, 4, 8, 8)
    normal = (latents.means - latents.shift) / latents.scale
    assert normal.mean(dim=(0, 1, 3, 4)).abs().max() < 1e-5
    assert normal.std(dim=(0, 1, 3, 4)).numpy() == pytest.approx(1, abs=1e-4)
    assert latents.reach == pytest.approx(normal.abs().max().item())
    assert torch.equal(latents.means[0], latents.means[2]), "nothing is changed with all changes off"
    coded = vae.encode(to_floats(torch.from_numpy(data.images[:5]))).latent_dist
    assert torch.allclose(latents.means[0, :5], coded.mean, atol=1e-5)
    _, drawn = latents.draw(np.arange(4))
    assert drawn[0, 0, 1, 2] == 0.25 and drawn[0].sum() == 0.25, "one pixel of four"


def test_copies_are_changed_but_the_first():
    plan = choose_plan()
    torch.manual_seed(0)
    options = options_of(augment_shift=0.3)
    vae = build_autoencoder(options, 1, SIZE)
    latents = Latents(vae, data_of().images, None, options, plan, 1)
    plain = Latents(vae, data_of().images, None, options_of(**STILL, copies=1), plan, 1)
    assert torch.equal(latents.means[0], plain.means[0])
    assert not torch.equal(latents.means[1], latents.means[0]) and not torch.equal(latents.means[1], latents.means[2])
    assert latents.draw(np.arange(4))[1] is None


def test_divergence_by_hand():
    """Mean 1, deviation 1: a half of each of 4 x 16 x 16 numbers, 512."""
    mean = torch.ones(2, 4, 16, 16)
    assert divergence(mean, torch.zeros_like(mean)).tolist() == [512, 512]
    vae = diffusers.models.autoencoders.vae.DiagonalGaussianDistribution(torch.randn(3, 8, 4, 4))
    assert torch.allclose(divergence(vae.mean, vae.logvar), vae.kl(), rtol=1e-4)


def test_edges_that_are_blurred_differ():
    step = torch.zeros(1, 1, 4, 4)
    step[..., 2:] = 1
    assert edge_difference(step, step) == 0
    assert edge_difference(step, torch.zeros_like(step)).item() == pytest.approx(1 / 3), "one of three steps of a row"


@pytest.mark.parametrize(("images", "begins"), [(20, False), (16, True)])
def test_the_critic_comes_late_and_with_images_enough(images, begins):
    options = options_of(critic_weight=0.5, critic_from=0.5, critic_images=images)
    data = data_of(16)
    torch.manual_seed(0)
    vae = build_autoencoder(options, 1, SIZE)
    task = AutoencodingTask(vae, data.images, options, 4, choose_plan(), edge_difference)
    seen, window = [], Window()
    for step in range(4):
        torch.manual_seed(step)
        measured, finite = task.step(step, np.arange(4))
        assert finite
        window.add(measured)
        seen.append(bool(measured.get("critic_loss", (0, torch.zeros(())))[1]))
    assert seen == ([False, False, True, True] if begins else [False] * 4)
    assert (window.flush().get("critic_loss") is not None) == begins
    assert (task.state_dict()["critic"] is not None) == begins


def test_a_bottleneck_stops_or_warns(caplog):
    """An autoencoder that has learnt nothing is worse than shrinking images; one that gives all back is not."""
    data, plan, options = data_of(40), choose_plan(), options_of()
    withheld = np.arange(40) < 10
    torch.manual_seed(0)
    found = judge(build_autoencoder(options, 1, SIZE), data, withheld, 2, plan)
    assert found["withheld"] == 10 and found["l1"]["withheld"] > found["l1"]["shrunk"] > 0
    assert found["kid"]["decoded"] > found["kid"]["original"]
    with pytest.raises(UserError, match="the autoencoder is the bottleneck: .* raise options.autoencoder_steps, or"):
        expect_no_bottleneck(found, "stop")
    with caplog.at_level(logging.WARNING):
        expect_no_bottleneck(found, "warn")
    assert "the autoencoder is the bottleneck" in caplog.text
    caplog.clear()
    expect_no_bottleneck(found | {"l1": found["l1"] | {"withheld": 0.1, "trained": 0.1}}, "stop")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    expect_no_bottleneck(found | {"l1": found["l1"] | {"withheld": 0.2, "trained": 0.1}}, "stop")
    assert "by heart" in caplog.text
    expect_no_bottleneck({"withheld": 3}, "stop")
    assert "not checked: 3 images" in caplog.text


def test_shrinking_loses_what_is_smaller():
    image = np.zeros((1, 8, 8, 1), np.uint8)
    image[0, ::2] = 200
    assert np.ptp(shrunk(image, 0.5)) < 5, "stripes of one pixel are gone"
    assert np.array_equal(shrunk(image, 1), image)


def test_fewer_images_than_a_batch_are_refused(tmp_path):
    for option, left in (("batch_size", 24), ("autoencoder_batch_size", 22)):
        with pytest.raises(UserError, match=f"options.{option}: 30, but there are {left} training images"):
            LatentDiffusion(options_of(**{option: 30})).fit(data_of(), tmp_path, seed=1)
        generator = {"family": "latent_diffusion", "options": options_of(**{option: 30})}
        with pytest.raises(UserError, match=f"^generators.g.options.{option}: 30, but"):
            check_counts(generator, [24], "generators.g")


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({}, 50, "options.autoencoder_channels: 3 levels make latents 4 times smaller, expected a size that this div"),
        ({"autoencoder_channels": [6, 8]}, 16, r"options.autoencoder_norm_groups: 8 does not divide \[6\]"),
        ({}, 36, "options.block_out_channels: 3 levels halve the image 2 times, .* found 9 x 9 px"),
        ({"attributes": ["age"], "continuous": ["age"]}, 64, "options.continuous: age stands in options.attributes"),
    ],
)
def test_what_cannot_be_built_is_refused_when_planned(changes, size, message):
    options = resolve_options("latent_diffusion", "cpu", changes)
    generator = {"family": "latent_diffusion", "gpus": 1, "options": options}
    generator["sampler"] = resolve_sampler("latent_diffusion", "cpu", {})
    with pytest.raises(UserError, match=f"^generators.g.{message}"):
        check_generator(generator, size, "generators.g")


@pytest.mark.parametrize(("preset", "size"), [("default", 32), ("default", 256), ("cpu", 64)])
def test_parameters_are_counted_without_being_built(preset, size):
    options = resolve_options("latent_diffusion", preset, {"lesions": "boxes"})
    latent = size // factor(options, size)
    with torch.device("meta"):
        unet = build_unet(options, latent, latent, 4, further=2)
        both = sum(p.numel() for net in (unet, build_autoencoder(options, 1, size)) for p in net.parameters())
    assert LatentDiffusion.count_parameters(options, size) == both


def test_latents_are_smaller_the_larger_the_images():
    options = resolve_options("latent_diffusion", "default", {})
    assert [factor(options, size) for size in (32, 64, 128, 256, 512)] == [2, 4, 4, 8, 8]
    with torch.device("meta"):
        counts = [sum(p.numel() for p in build_autoencoder(options, 1, size).parameters()) for size in (128, 256)]
    assert [round(count / 1e6, 1) for count in counts] == [5.0, 6.8]


@pytest.mark.slow
def test_a_toy_is_learnt_by_way_of_latents(tmp_path):
    """Labels and boxes come out where they were asked, and an autoencoder of some hundred steps is no bottleneck."""
    options = options_of(
        **STILL, steps=500, autoencoder_steps=400, block_out_channels=[16, 32], autoencoder_channels=[16, 16],
        batch_size=16, autoencoder_batch_size=16, checkpoint_minutes=10, lesions="boxes", bottleneck="stop",
    )  # fmt: skip
    generator = LatentDiffusion(options)
    generator.fit(data_of(192), tmp_path, seed=1)
    rows = [{"label": "AB"[i % 2], "boxes": [[0.125, 0.5, 0.4375, 0.8125]] if i < 8 else []} for i in range(16)]
    batches = list(generator.sample(range(16), 3, Conditions(rows)))
    images = np.concatenate([batch.images[..., 0] for batch in batches]).astype(float)
    background = np.median(images, axis=(1, 2))
    assert background[1::2].min() > background[::2].max() + 20
    contrast = images[:, 9:12, 3:6].mean(axis=(1, 2)) - background
    assert contrast[:8].min() > 60 and np.abs(contrast[8:]).max() < 40


def test_reconstructions_have_the_shape_of_their_images():
    torch.manual_seed(0)
    images = data_of(5, channels=2).images
    vae = build_autoencoder(options_of(), 2, SIZE)
    assert reconstruct(vae, images, choose_plan(), batch=2).shape == images.shape
    assert augment(to_floats(torch.from_numpy(images)), None, None).shape == (5, 2, SIZE, SIZE)


def test_a_training_begins_from_another_models_autoencoder_and_unet(fitted, tmp_path):
    from safetensors.torch import load_file

    options = options_of(lesions="boxes") | {"learning_rate": 0.0, "autoencoder_learning_rate": 0.0, "weight_decay": 0}
    start = fitted[1] / "model"
    data = data_of(30)
    renamed = ImageSet(data.images, [row | {"label": {"A": "C", "B": "D"}[row["label"]]} for row in data.rows])
    for name, learnt in (("same", data), ("renamed", renamed)):
        generator = LatentDiffusion(options)
        generator.fit(learnt, tmp_path / name, seed=5, start=start)
        generator.save(tmp_path / name / "model")
        same = {
            str(file.relative_to(start)): all(
                torch.equal(tensor, load_file(tmp_path / name / "model" / file.relative_to(start))[key])
                for key, tensor in load_file(file).items()
            )
            for file in start.rglob("*.safetensors")
        }
        assert len(same) == 3 and all(same[file] for file in same if "embedding" not in file)
        assert same["embedding.safetensors"] == (name == "same"), "of other labels it knows nothing"
        assert generator.facts["start"]["data"]["n"] == 24
