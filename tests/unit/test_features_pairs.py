"""Random pairs and their similarities: MS-SSIM against torchmetrics, LPIPS against lpips on the same AlexNet."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_file, sha256_pixels
from radsynth.common.registry import LPIPS_WEIGHTS
from radsynth.common.torchvision import import_torchvision
from radsynth.features import similarities
from radsynth.features.pairs import compare_pairs, draw_pairs
from radsynth.features.similarities import BETAS, Lpips, MsSsim, create_similarity, scale_weights

import_torchvision()


@pytest.fixture(scope="module")
def alexnet():
    """torchvision's AlexNet with seeded weights that are no initialisation's."""
    from torchvision.models import alexnet

    torch.manual_seed(5)
    with torch.device("meta"):
        shapes = alexnet(weights=None).features.state_dict()
    network = alexnet(weights=None).features
    scale = {name: 1 / np.sqrt(np.prod(value.shape[1:])) for name, value in shapes.items()}
    network.load_state_dict({name: scale[name] * torch.randn(value.shape) for name, value in shapes.items()})
    return network.eval()


@pytest.fixture(scope="module")
def weights(alexnet, tmp_path_factory):
    """A file as torch hub publishes it: the convolutions, and a classifier that LPIPS does not need."""
    path = tmp_path_factory.mktemp("weights") / LPIPS_WEIGHTS
    state = {f"features.{name}": value for name, value in alexnet.state_dict().items()}
    torch.save(state | {"classifier.6.bias": torch.zeros(1000)}, path)
    return path


@pytest.fixture
def registered(weights, monkeypatch):
    """The file, with a registry that knows it."""
    entry = {"checksum": f"sha256:{sha256_file(weights)}", "url": "u"}
    monkeypatch.setattr(similarities, "weights_entry", lambda file: {LPIPS_WEIGHTS: entry}[file])
    return weights


def gray(n, side, seed=0):
    """Return smooth random images (n, 1, side, side) in [0, 1]."""
    coarse = torch.rand((n, 1, 8, 8), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def test_all_pairs_if_there_are_no_more():
    everything = [(j, i) for j in range(1, 6) for i in range(j)]
    assert sorted(map(tuple, draw_pairs(6, 15, 0))) == sorted(map(tuple, draw_pairs(6, 500, 1))) == everything
    assert draw_pairs(1, 5, 0).shape == draw_pairs(0, 5, 0).shape == (0, 2)


def test_pairs_are_distinct_seeded_and_uniform():
    pairs = draw_pairs(2000, 500, 7)
    assert pairs.shape == (500, 2) and (pairs[:, 1] < pairs[:, 0]).all() and pairs.min() >= 0 and pairs.max() < 2000
    assert len({tuple(pair) for pair in pairs}) == 500 and len({tuple(pair) for pair in draw_pairs(40, 500, 7)}) == 500
    assert np.array_equal(pairs, draw_pairs(2000, 500, 7)) and not np.array_equal(pairs, draw_pairs(2000, 500, 8))
    counts = np.bincount(np.concatenate([draw_pairs(10, 9, seed).ravel() for seed in range(500)]), minlength=10)
    assert counts.sum() == 9000 and np.abs(counts - 900).max() < 5 * np.sqrt(900)


def test_pairs_of_very_many_images_are_still_decoded_exactly():
    pairs = draw_pairs(200_000, 2000, 1)
    assert (pairs[:, 1] < pairs[:, 0]).all() and (pairs >= 0).all() and pairs.max() < 200_000


@pytest.mark.parametrize(
    ("side", "scales"),
    [(11, 1), (16, 1), (21, 1), (22, 2), (32, 2), (43, 2), (44, 3), (64, 3), (98, 3), (99, 4), (128, 4), (175, 4)],
)
def test_smaller_images_have_fewer_scales(side, scales):
    """The limits are torchmetrics' own: one scale more is refused or does not fit."""
    betas = scale_weights(side)
    assert len(betas) == scales and sum(betas) == pytest.approx(1)
    np.testing.assert_allclose(np.array(betas) / betas[0], np.array(BETAS[:scales]) / BETAS[0])
    images = gray(2, side)
    value = MsSsim(side)(images[:1], images[1:])
    assert value.shape == (1,) and 0 <= value.item() < 1
    if scales == 4:
        import torchmetrics.functional.image as peer

        with pytest.raises(ValueError, match="must be larger than 160"):
            peer.multiscale_structural_similarity_index_measure(images[:1], images[1:], data_range=1.0)


def test_images_without_a_scale_are_refused():
    with pytest.raises(UserError, match="ms_ssim: images of 10 px, expected at least 11 px"):
        scale_weights(10)


def test_five_scales_are_torchmetrics_own_value():
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    assert scale_weights(176) == BETAS
    a = gray(3, 176)
    b = (a + 0.2 * gray(3, 176, seed=1)).clamp(0, 1)
    ours = MsSsim(176)(a, b)
    for index in range(3):
        pair = slice(index, index + 1)
        theirs = multiscale_structural_similarity_index_measure(a[pair], b[pair], data_range=1.0)
        torch.testing.assert_close(ours[index], theirs, rtol=1e-5, atol=1e-6)
    assert ours.unique().numel() == 3 and (ours > 0.1).all()


def test_one_scale_is_plain_ssim():
    from torchmetrics.functional.image import structural_similarity_index_measure

    a = gray(2, 16)
    b = (a + 0.1 * gray(2, 16, seed=1)).clamp(0, 1)
    expected = structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")
    torch.testing.assert_close(MsSsim(16)(a, b), expected)
    assert (expected > 0.3).all()


@pytest.mark.parametrize("side", [32, 96])
def test_equal_images_are_alike_and_noise_is_not(registered, side):
    images = gray(2, side)
    assert MsSsim(side)(images, images).numpy() == pytest.approx([1, 1], abs=1e-6)
    lpips = Lpips(side, registered)
    with torch.inference_mode():
        assert lpips(images, images).tolist() == [0, 0]
        near, far = lpips(images, images + 0.01), lpips(images, torch.rand(images.shape))
        assert (near > 0).all() and (near < far).all()
        torch.testing.assert_close(lpips(images, images + 0.01), lpips(images + 0.01, images))


@pytest.mark.parametrize("side", [64, 100])
def test_lpips_is_the_packages_own_on_the_same_alexnet(registered, alexnet, monkeypatch, side):
    """`lpips.LPIPS` takes its backbone apart by itself here, from torchvision's network with the same weights."""
    import lpips
    from lpips import pretrained_networks

    class Published:
        features = alexnet

    monkeypatch.setattr(pretrained_networks.tv, "alexnet", lambda pretrained: Published)
    theirs = lpips.LPIPS(net="alex", verbose=False)
    monkeypatch.undo()
    monkeypatch.setattr(similarities, "verify_weights", lambda path, entry: "0")
    a, b = gray(3, side), gray(3, side, seed=1)
    with torch.inference_mode():
        ours = Lpips(side, registered)(a, b)
        expected = theirs((2 * a - 1).repeat(1, 3, 1, 1), (2 * b - 1).repeat(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-8)
    assert ours.unique().numel() == 3 and (ours > 1e-4).all()


def test_small_images_are_enlarged_for_alexnet_and_the_result_says_so(registered):
    lpips = Lpips(32, registered)
    assert (lpips.preprocessing["resize"], lpips.preprocessing["size"]) == ("bilinear", 64)
    a, b = gray(1, 32), gray(1, 32, seed=1)
    larger = [torch.nn.functional.interpolate(x, (64, 64), mode="bilinear", align_corners=False) for x in (a, b)]
    with torch.inference_mode():
        torch.testing.assert_close(lpips(a, b), Lpips(64, registered)(*larger))
    assert Lpips(64, registered).preprocessing["resize"] == "none"


def test_wrong_weights_are_refused(weights, registered, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="lpips: needs the weights of AlexNet"):
        create_similarity("lpips", (64, 64))
    wrong = tmp_path / LPIPS_WEIGHTS
    wrong.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(UserError, match="the publisher's is"):
        Lpips(64, wrong)
    monkeypatch.undo()
    with pytest.raises(UserError, match="sha256-prefix is .*, the publisher's is 7be5be79"):
        Lpips(64, weights)


def test_a_weight_that_no_file_sets_is_noticed(registered, monkeypatch):
    import lpips

    class Deeper(lpips.LPIPS):
        def __init__(self, **options):
            super().__init__(**options)
            self.further = torch.nn.Linear(1, 1)

    monkeypatch.setattr(lpips, "LPIPS", Deeper)
    with pytest.raises(UserError, match="does not set further.weight"):
        Lpips(64, registered)


@pytest.fixture
def cohort(tmp_path):
    """Eight images of two labels, in turn; the sixth repeats the fourth."""
    (tmp_path / "images").mkdir()
    images = (255 * gray(8, 40)[:, 0]).numpy().astype(np.uint8)
    images[5] = images[3]
    files = [f"images/{index}.png" for index in range(8)]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(tmp_path / file)
    sums = [sha256_pixels(image) for image in images]
    pd.DataFrame({"file": files, "sha256": sums, "label": ["a", "b"] * 4}).to_csv(tmp_path / "train.csv", index=False)
    return tmp_path, images


def compare(folder, output, **changes):
    options = {"label": "b", "similarities": ["ms_ssim"], "limit": 500, "seed": 3} | changes
    compare_pairs(folder / "train.csv", folder / "images", output, **options)
    with np.load(output, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_pairs_are_of_one_label_and_say_what_they_are_of(cohort, registered):
    folder, images = cohort
    found = compare(folder, folder / "out.npz", similarities=["ms_ssim", "lpips"], weights=registered)
    assert set(found) == {"pairs", "about", "ms_ssim", "lpips"}
    pairs = [tuple(pair) for pair in found["pairs"]]
    assert sorted(pairs) == [(3, 1), (5, 1), (5, 3), (7, 1), (7, 3), (7, 5)], "rows of the table"
    assert found["ms_ssim"].dtype == found["lpips"].dtype == np.float32
    for index, (a, b) in enumerate(pairs):
        one, other = (torch.from_numpy(images[row])[None, None] / 255 for row in (a, b))
        assert found["ms_ssim"][index] == pytest.approx(MsSsim(40)(one, other).item(), abs=1e-5)
        assert (found["lpips"][index] == 0) == ((a, b) == (5, 3))
        assert (found["ms_ssim"][index] > 0.9999) == ((a, b) == (5, 3))
    about = json.loads(str(found["about"]))
    assert about["ms_ssim"]["weights"] is None
    assert about["ms_ssim"]["preprocessing"]["scales"] == 2
    assert about["lpips"]["weights"] == {"file": LPIPS_WEIGHTS, "sha256": sha256_file(registered)}


def test_the_same_images_and_seed_give_the_same_file(cohort):
    folder, _ = cohort
    for name in ("a.npz", "b.npz"):
        found = compare(folder, folder / name, limit=4)
        assert found["pairs"].shape == (4, 2) and found["ms_ssim"].shape == (4,)
    assert (folder / "a.npz").read_bytes() == (folder / "b.npz").read_bytes()
    assert not np.array_equal(found["pairs"], compare(folder, folder / "c.npz", limit=4, seed=4)["pairs"])


def test_a_single_image_has_no_pairs(cohort):
    folder, _ = cohort
    table = pd.read_csv(folder / "train.csv")
    table.iloc[:2].to_csv(folder / "train.csv", index=False)
    found = compare(folder, folder / "out.npz")
    assert found["pairs"].shape == (0, 2) and found["ms_ssim"].shape == (0,)
