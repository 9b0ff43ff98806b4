"""Inception features against pytorch-fid, torch-fidelity and torchmetrics: the same network gives the same numbers.

With one random state dict for all, and with the published weights where they are present.
"""

import inspect

import numpy as np
import pytest
import torch
from inception_peers import (
    as_pytorch_fid,
    as_torch_fidelity,
    as_torchmetrics,
    ours,
    rgb,
    smooth_images,
    write_random_weights,
)
from radsynth.features import network
from radsynth.features.inception import InceptionV3Fid, InceptionV3TorchFidelity, resize_like_tensorflow1

SAME, DIFFERENT = 1e-5, 1e-3


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return |a - b| / |b| of each image's vector."""
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture(autouse=True, scope="module")
def threads():
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=["random", "published"])
def weights(request, root, tmp_path_factory):
    if request.param == "published":
        path = root / "resources/weights/pt_inception-2015-12-05-6726825d.pth"
        if not path.is_file():
            pytest.skip("needs the published weights")
        InceptionV3Fid.from_file(path)
        return path
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    write_random_weights(path, smooth_images(4, 96, seed=0))
    return path


@pytest.fixture(scope="module")
def images():
    """Four images that all preprocessings enlarge."""
    return smooth_images(4, 200, seed=1)


@pytest.fixture(scope="module")
def extractors(weights):
    return [ours(InceptionV3Fid, weights), ours(InceptionV3TorchFidelity, weights)]


@pytest.fixture(scope="module")
def features(extractors, images):
    """Our features after the preprocessing of pytorch-fid, and after that of torch-fidelity."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(network.BATCH_SIZES, "cpu", len(images))
        return [extractor.extract(images) for extractor in extractors]


def test_features_tell_images_apart(features):
    for values in features:
        assert difference(values[1:], values[:-1]).min() > 0.02


def test_pytorch_fid_gives_the_same_features(weights, images, features):
    theirs = as_pytorch_fid(weights)(images)
    assert difference(features[0], theirs).max() < SAME
    assert difference(features[1], theirs).min() > DIFFERENT


def test_torch_fidelity_gives_the_same_features_and_logits(weights, images, extractors, features):
    theirs, logits, with_bias = as_torch_fidelity(weights, "2048", "logits_unbiased", "logits")(images)
    assert difference(features[1], theirs).max() < SAME
    assert difference(features[0], theirs).min() > DIFFERENT
    found = extractors[1].logits(features[1])
    assert found.shape == (len(images), 1008) and found.dtype == np.float32
    assert difference(found, logits).max() < SAME
    assert difference(found, with_bias).min() > 10 * SAME


def test_torchmetrics_gives_the_same_features_unless_it_antialiases(weights, images, features):
    from torchmetrics.image.fid import NoTrainInceptionV3

    assert difference(features[1], as_torchmetrics(weights, antialias=False)(images)).max() < SAME
    assert inspect.signature(NoTrainInceptionV3).parameters["antialias"].default is True
    default = as_torchmetrics(weights, antialias=True)(images)
    assert difference(features[1], default).min() > DIFFERENT
    # Without anything to reduce, antialiasing changes nothing: only the scaling still differs from pytorch-fid's.
    assert difference(features[0], default).min() > 10 * SAME


def test_clean_fids_resizing_is_seen_as_another(extractors, images, features, monkeypatch):
    from cleanfid.resize import build_resizer

    resize = build_resizer("clean")
    resized = torch.from_numpy(np.stack([resize(image) for image in rgb(images).permute(0, 2, 3, 1).numpy()]))
    # Scaled as by pytorch-fid, so that only the resizing differs.
    monkeypatch.setattr(extractors[0], "preprocess", lambda _: resized.permute(0, 3, 1, 2) / 127.5 - 1)
    monkeypatch.setitem(network.BATCH_SIZES, "cpu", len(images))
    assert difference(extractors[0].extract(images), features[0]).min() > DIFFERENT


@pytest.mark.parametrize("size", [(28, 28), (224, 180), (299, 299), (512, 400)])
def test_resizing_of_tensorflow_1(size):
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    images = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (2, 1, *size))).float()
    resized = resize_like_tensorflow1(images, 299)
    theirs = interpolate_bilinear_2d_like_tensorflow1x(images, (299, 299), align_corners=False)
    torch.testing.assert_close(resized, theirs, rtol=0, atol=1e-4)
    # By hand: the first pixel stays, and pixel 150 samples the source at 150 length / 299.
    assert torch.equal(resized[..., 0, 0], images[..., 0, 0])
    row, column = (150 * length / 299 for length in size)
    top, left = int(row), int(column)
    four = images[0, 0, top : top + 2, left : left + 2].double().numpy()
    lower, right = row - top, column - left
    expected = np.array([1 - lower, lower]) @ four @ np.array([1 - right, right])
    assert resized[0, 0, 150, 150].item() == pytest.approx(expected, abs=0.02)
