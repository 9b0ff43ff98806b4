"""The pixels extractor against what can be computed by hand."""

import numpy as np
import pytest
from radsynth.common.errors import UserError
from radsynth.common.images import area_weights, downsample
from radsynth.features.pixels import SIZE, Pixels


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (90, 48, 48), dtype=np.uint8)


@pytest.mark.parametrize(("source", "target"), [(3, 2), (64, 32), (48, 32), (28, 32), (32, 32)])
def test_area_weights_average_and_use_every_pixel_equally(source, target):
    weights = area_weights(source, target)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.sum(axis=0), target / source)
    assert (weights >= 0).all()


def test_area_weights_share_a_pixel_that_straddles():
    np.testing.assert_allclose(area_weights(3, 2), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])


def test_downsampling_by_two_is_the_mean_of_four(images):
    even = images[:2, :, :]
    expected = even.reshape(2, 24, 2, 24, 2).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(downsample(even, 24), expected.reshape(2, -1))


def test_basis_is_orthonormal_and_features_are_projections(images):
    extractor = Pixels()
    extractor.fit(images)
    mean, components = extractor.state().values()
    assert components.shape == (64, 1024) and extractor.dim == 64
    np.testing.assert_allclose(components @ components.T, np.eye(64), atol=1e-10)
    features = extractor.extract(images)
    assert features.shape == (90, 64) and features.dtype == np.float32
    np.testing.assert_allclose(features, (downsample(images, SIZE) - mean) @ components.T, atol=1e-6)
    variances = features.var(axis=0)
    assert (np.diff(variances) <= 1e-6).all()


def test_few_images_are_reconstructed_from_fewer_components(images):
    extractor = Pixels()
    extractor.fit(images[:6])
    mean, components = extractor.state().values()
    assert extractor.dim == 5
    np.testing.assert_allclose(
        extractor.extract(images[:6]) @ components + mean, downsample(images[:6], SIZE), atol=1e-5
    )


def test_repeated_images_add_no_component(images):
    extractor = Pixels()
    extractor.fit(images[[0, 1, 2, 0, 1, 2]])
    assert extractor.dim == 2


def test_same_images_give_the_same_bits(images):
    first, second = Pixels(), Pixels()
    first.fit(images)
    second.fit(images)
    assert first.extract(images).tobytes() == second.extract(images).tobytes()


def test_an_image_does_not_depend_on_its_neighbours(images):
    extractor = Pixels()
    extractor.fit(images)
    np.testing.assert_allclose(extractor.extract(images)[7:9], extractor.extract(images[7:9]), atol=1e-6)


@pytest.mark.parametrize("same", [np.full((5, 40, 40), 3, np.uint8), np.zeros((1, 40, 40), np.uint8)])
def test_images_without_any_difference_have_no_basis(same):
    with pytest.raises(UserError, match="without any difference"):
        Pixels().fit(same)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 8, 8), np.uint16), np.zeros((4, 8, 8)), np.zeros((4, 8, 8, 3), np.uint8)]
)
def test_wrong_kinds_of_images_are_refused(wrong, images):
    extractor = Pixels()
    with pytest.raises(UserError, match="expected gray images"):
        extractor.fit(wrong)
    extractor.fit(images)
    with pytest.raises(UserError, match="expected gray images"):
        extractor.extract(wrong)
