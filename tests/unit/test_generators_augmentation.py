"""Small changes of images: off, in range, by the stated amount, of the stated share, differentiable."""

import pytest
import torch
from radsynth.generators.augmentation import augment, draw_changes
from radsynth.generators.options import resolve_options

CPU = torch.device("cpu")
OFF = {f"augment_{key}": 0 for key in ("rotation", "shift", "scale", "intensity")}
ON = {"augment_rotation": 10, "augment_shift": 0.1, "augment_scale": 0.1, "augment_intensity": 0.2}


def test_off_changes_nothing_and_on_changes_each_image_in_its_way():
    images = torch.rand(5, 1, 16, 16) * 2 - 1
    assert draw_changes(5, OFF, CPU) == (None, None)
    assert draw_changes(5, ON | {"augment_probability": 0}, CPU) == (None, None)
    assert augment(images, None, None) is images
    same = images[:1].expand(5, -1, -1, -1)
    moved = augment(same, *draw_changes(5, ON, CPU))
    assert moved.shape == images.shape
    assert len({image.numpy().tobytes() for image in moved}) == 5
    moved = augment(images, draw_changes(5, ON, CPU)[0], None)
    assert moved.abs().max() <= images.abs().max(), "outside the image its border is continued"


def test_shift_moves_by_the_stated_share(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *size, device=None: torch.ones(*size))
    images = torch.zeros(1, 1, 16, 16)
    images[0, 0, 8, 8] = 1
    changes = draw_changes(1, OFF | {"augment_shift": 0.125}, CPU)
    assert augment(images, *changes)[0, 0, 6, 6] == pytest.approx(1, abs=1e-5)


def test_intensity_changes_by_the_stated_share_at_most():
    images = torch.full((2000, 1, 1, 1), 0.5)
    changed = augment(images, *draw_changes(2000, OFF | {"augment_intensity": 0.2}, CPU))
    # .5 (1 + contrast) + brightness, both within .2.
    assert changed.min() == pytest.approx(0.2, abs=0.02) and changed.max() == pytest.approx(0.8, abs=0.02)


def test_the_stated_share_of_the_images_is_changed_in_two_ways_that_are_independent():
    torch.manual_seed(0)
    matrix, change = draw_changes(4000, ON | {"augment_probability": 0.5}, CPU)
    moved = (matrix != torch.tensor([[1.0, 0, 0], [0, 1, 0]])).flatten(1).any(1)
    brighter = (change != 0).flatten(2).any(2).any(0)
    for share, expected in ((moved, 0.5), (brighter, 0.5), (moved & brighter, 0.25)):
        assert share.float().mean().item() == pytest.approx(expected, abs=0.04)


def test_gradients_reach_the_images():
    images = torch.rand(3, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    changes = [part.double() for part in draw_changes(3, ON, CPU)]
    assert torch.autograd.gradcheck(lambda x: augment(x, *changes), images)


@pytest.mark.parametrize(("family", "off"), [("ddpm", "augment_rotation"), ("pggan", "augment_probability")])
def test_both_families_change_by_as_much_and_not_in_the_papers_presets(family, off):
    default, ours = resolve_options("ddpm", "default", {}), resolve_options(family, "default", {})
    assert {key: default[key] for key in OFF} == {key: ours[key] for key in OFF}
    assert ours[off] > 0
    paper = resolve_options(family, "paper", {})
    assert draw_changes(4, paper, CPU) == (None, None)
