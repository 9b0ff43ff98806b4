"""Diffusion that is told what images show: guidance, what is kept back, what images depend on, a toy that is learnt."""

import json

import numpy as np
import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.common.sets import Conditions, ImageSet
from radsynth.generators.conditioned import guided
from radsynth.generators.ddpm import DDPM
from radsynth.generators.denoising import Told, with_known
from radsynth.generators.options import resolve_options
from radsynth.learning.devices import choose_plan

SIZE = 16
SAMPLER = {"name": "dpm_solver++", "steps": 8, "batch_size": 16, "guidance": 1}
TINY = {
    "block_out_channels": [16, 32],
    "attributes": ["view"],
    "lesions": "boxes",
    "previews": 0,
    **dict.fromkeys(("augment_rotation", "augment_shift", "augment_scale", "augment_intensity"), 0),
}


def toy(n=192, seed=0):
    """Images of 60 (A) or 130 (B) with noise; where a lesion is boxed, 240."""
    rng = np.random.default_rng(seed)
    images, rows = np.empty((n, SIZE, SIZE, 1), np.uint8), []
    for i in range(n):
        images[i] = rng.integers(0, 10, (SIZE, SIZE, 1)) + (60, 130)[i % 2]
        boxes = []
        if rng.random() < 0.7:
            x, y = (int(place) for place in rng.integers(1, SIZE - 6, 2))
            images[i, y : y + 5, x : x + 5], boxes = 240, [[x, y, x + 5, y + 5]]
        rows.append({"label": "AB"[i % 2], "view": "LR"[i // 2 % 2], "boxes": json.dumps(boxes)})
    return ImageSet(images, rows)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    generator = DDPM(resolve_options("ddpm", "cpu", TINY | {"steps": 250}))
    generator.fit(toy(), tmp_path_factory.mktemp("taught"), seed=1)
    return generator


def drawn(generator, rows, indices=None, **sampler):
    indices = range(len(rows)) if indices is None else indices
    images, masks = {}, {}
    for batch in generator.sample(indices, 3, Conditions(rows), SAMPLER | sampler):
        images |= dict(zip(batch.indices, batch.images[..., 0], strict=True))
        masks |= dict(zip(batch.indices, [None] * 99 if batch.masks is None else batch.masks, strict=False))
    return np.array([images[index] for index in indices]), [masks[index] for index in indices]


BOX = [0.125, 0.5, 0.4375, 0.8125]


def test_labels_and_boxes_are_where_they_were_asked(taught):
    rows = [{"label": "AB"[i % 2], "boxes": [BOX] if i < 8 else []} for i in range(16)]
    images, masks = drawn(taught, rows)
    background = np.median(images, axis=(1, 2))
    assert background[1::2].min() > background[::2].max() + 20, "B is brighter"
    contrast = images[:, 9:12, 3:6].mean(axis=(1, 2)) - background
    assert contrast[:8].min() > 60 and np.abs(contrast[8:]).max() < 40
    expected = np.zeros((SIZE, SIZE))
    expected[8:13, 2:7] = 2
    assert all(np.array_equal(mask, expected) for mask in masks[:8])
    assert not any(mask.any() for mask in masks[8:]), "none is known to be none"


def test_guidance_exaggerates_and_without_it_nothing_is_heeded(taught):
    rows = [{"label": "AB"[i % 2], "boxes": []} for i in range(32)]
    apart = []
    for guidance in (0, 1, 2):
        background = np.median(drawn(taught, rows, guidance=guidance)[0], axis=(1, 2))
        apart.append(background[1::2].mean() - background[::2].mean())
    assert abs(apart[0]) < apart[1] / 2 and apart[1] > 40, apart
    assert apart[2] > apart[1]


def test_images_depend_on_seed_index_and_condition_alone(taught):
    rows = [{"label": "AB"[i % 2], "boxes": [BOX] if i % 3 else [], "attributes": {"view": "L"}} for i in range(7)]
    rows[4] = {"label": "A"}
    whole, masks = drawn(taught, rows, guidance=1.5)
    assert [mask is None for mask in masks] == [i == 4 for i in range(7)], "of unknown lesions there is no mask"
    order = [5, 0, 4]
    some, _ = drawn(taught, [rows[i] for i in order], order, guidance=1.5)
    assert np.array_equal(some, whole[order])
    alone, _ = drawn(taught, rows, guidance=1.5, batch_size=2)
    assert np.abs(alone.astype(int) - whole).max() <= 1, "batches round differently"
    rows[0] = {**rows[0], "attributes": {"view": "R"}}
    assert not np.array_equal(drawn(taught, rows, guidance=1.5)[0][0], whole[0])


def test_not_known_is_another_thing_than_no_lesion(taught):
    asked, unknown = drawn(taught, [{"label": "A", "boxes": []}] * 4)[0], drawn(taught, [{"label": "A"}] * 4)[0]
    assert not np.array_equal(asked, unknown)
    without = drawn(taught, [{"label": "A", "boxes": [], "attributes": {"view": ""}}] * 4)[0]
    assert np.array_equal(without, asked), "an empty attribute is not known, as one that is missing"
    assert not np.array_equal(drawn(taught, [{"label": "A", "boxes": [], "attributes": {"view": "L"}}] * 4)[0], asked)


def test_a_saved_model_is_asked_as_before(taught, tmp_path):
    taught.save(tmp_path)
    again = DDPM.load(tmp_path)
    rows = taught.conditions("B", 5, 7).rows
    assert rows == again.conditions("B", 5, 7).rows and {"label", "attributes", "boxes"} == set(rows[0])
    assert np.array_equal(drawn(again, rows)[0], drawn(taught, rows)[0])
    assert again.conditions("B", 3, 7, "train").rows[0]["label"] == "B"
    assert again.describe()["parameters"] > sum(p.numel() for p in again.unet.parameters()), "and its embedding"


def test_wrong_conditions_are_refused_before_anything_is_drawn(taught):
    with pytest.raises(UserError, match="conditions: view 'X': no training image has it"):
        drawn(taught, [{"label": "A", "attributes": {"view": "X"}}])


def test_guidance_of_a_model_that_is_told_nothing_is_refused(tmp_path):
    options = resolve_options("ddpm", "cpu", TINY | {"attributes": [], "lesions": "none", "steps": 1})
    generator = DDPM(options)
    data = toy(16)
    of_one = ImageSet(data.images, [{"label": "A"}] * 16)
    generator.fit(of_one, tmp_path, seed=1)
    with pytest.raises(UserError, match="sampler.guidance: 2, but the model is told nothing"):
        drawn(generator, [{"label": "A"}], guidance=2)
    assert generator.conditions("A", 2, 1).rows == [{"label": "A"}] * 2


def test_guidance_by_hand():
    """u 1, c 3: w 0 gives 1, 1 gives 3, 2 gives 5."""

    class Network(torch.nn.Module):
        calls = 0

        def forward(self, noisy, timesteps, known):
            Network.calls += len(noisy)
            value = torch.where(known.any(dim=1), 3.0, 1.0).view(-1, 1, 1, 1).expand_as(noisy)
            return type("Output", (), {"sample": value})

    noisy, told = torch.zeros(2, 1, 4, 4), [torch.ones(2, 3)]
    for guidance, expected, calls in ((0, 1, 4), (1, 3, 2), (2, 5, 4)):
        Network.calls = 0
        output = guided(Network(), told, guidance)(noisy, torch.zeros(2))
        assert (output == expected).all() and output.shape == noisy.shape
        assert Network.calls == calls, "guidance 1 costs nothing more"


def test_what_is_kept_back_from_training_samples():
    n = 4000
    known = np.tile(np.array([[1, 0, 1, 0, 0.5, 1, 1]], np.float32), (n, 1))
    told = Told(known, [2, 2, 2, 1], {"drop_all": 0.2, "drop_each": 0.1}, choose_plan())
    torch.manual_seed(0)
    kept, lesions = told.draw(np.arange(n), torch.ones(n, 1, 2, 2))
    parts = kept[:, [0, 2, 5, 6]].numpy() > 0
    assert np.array_equal(kept[:, 4].numpy() > 0, parts[:, 2]), "a number goes with its known"
    assert (~parts).all(axis=1).mean() == pytest.approx(0.2 + 0.8 * 0.1**4, abs=0.02)
    assert parts.mean(axis=0) == pytest.approx(0.8 * 0.9, abs=0.03)
    assert np.array_equal(lesions[:, 1, 0, 0].numpy() > 0, parts[:, 3]), "lesions are kept back with their known"
    assert torch.equal(lesions[:, 0], lesions[:, 1])
    none = with_known(torch.zeros(1, 1, 2, 2), torch.ones(1))
    assert not torch.equal(none, with_known(torch.zeros(1, 1, 2, 2), torch.zeros(1)))


def test_lesions_move_with_the_images():
    """A bright box on black, turned and shifted at random: where lesions are covered, the image is bright."""
    from radsynth.generators.denoising import Pixels

    images = np.zeros((6, 32, 32), np.uint8)
    images[:, 8:20, 10:24] = 255
    options = resolve_options("ddpm", "cpu", {"augment_rotation": 40, "augment_shift": 0.2, "augment_intensity": 0})
    supply = Pixels(images, (images / 255).astype(np.float32), options, choose_plan())
    torch.manual_seed(0)
    clean, lesions = supply.draw(np.arange(6))
    assert torch.allclose((clean + 1) / 2, lesions, atol=1e-3)
    assert not torch.equal(lesions[0], lesions[1])
