"""ImageNet networks: parameter counts, preprocessing, weights really downloaded, and the frozen base seen once."""

import errno
import hashlib

import numpy as np
import pytest
from radsynth.common.errors import UserError
from radsynth.common.weights import fetch_weights
from test_common_weights import entry, publisher  # noqa: F401  (a fixture)

PRETRAINED = ["vgg16_pretrained", "resnet50_pretrained"]
CLASSIFIER = {
    "architecture": "vgg16_pretrained",
    "weights": "random",
    "input_size": 32,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "dropout": 0.5,
}


@pytest.fixture(scope="module", autouse=True)
def backend():
    from radsynth.tasks.keras_backend import prepare

    return prepare(threads=1)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Noise of 24 px of which the second label's is darker."""
    targets = np.arange(20) % 2
    images = np.random.default_rng(0).integers(0, 256, (20, 24, 24), dtype=np.uint8)
    return images // (1 + targets[:, None, None].astype(np.uint8)), targets


def fit(classifier, images, targets, **options):
    from radsynth.tasks.keras_training import train

    return train(classifier, images, targets, (images[:6], targets[:6]), 2, 3, **options)


def untouched(classifier):
    """Return the model that ``fit`` starts from."""
    import keras
    from radsynth.tasks.keras_networks import build_model

    keras.utils.set_random_seed(3)
    return build_model(classifier["architecture"], 24, 32, 2, 0.5)


def base_weights(model):
    return model.get_layer("base").get_weights()


@pytest.mark.parametrize(
    ("architecture", "parameters", "trainable"),
    [
        ("vgg16_untrained", 27_561_282, 27_561_282),
        ("vgg16_pretrained", 27_561_282, 12_846_594),
        # 7 x 7 x 2048 features: Dense 512 and Dense 2.
        ("resnet50_pretrained", 74_969_474, 7 * 7 * 2048 * 512 + 512 + 512 * 2 + 2),
    ],
)
def test_parameters_at_224_px(architecture, parameters, trainable):
    from radsynth.tasks.keras_networks import build_model, count_parameters

    counts = count_parameters(build_model(architecture, 128, 224, 2, 0.5))
    assert counts == {"parameters": parameters, "trainable_parameters": trainable}


@pytest.mark.parametrize("architecture", PRETRAINED)
def test_gray_levels_reach_the_base_as_imagenet_networks_of_caffe_expect_them(architecture):
    import keras
    from radsynth.tasks.frozen import compute_features
    from radsynth.tasks.keras_networks import build_model

    model = build_model(architecture, 24, 32, 2, 0.5)
    levels = np.array([0, 100, 255])
    images = np.broadcast_to(levels[:, None, None, None], (3, 24, 24, 1)).astype(np.uint8)
    features = compute_features(keras.Model(model.input, model.get_layer("features").output), images, batch_size=2)
    # Blue, green, red minus the means of ImageNet; a uniform image stays so when it is resized.
    bgr = levels[:, None] - np.array([103.939, 116.779, 123.68])
    expected = np.asarray(model.get_layer("base")(np.tile(bgr[:, None, None, :], (1, 32, 32, 1)).astype(np.float32)))
    np.testing.assert_allclose(features, expected.reshape(3, -1), rtol=1e-4, atol=1e-4 * np.abs(expected).max())


class Doubled:
    """A base that needs no network."""

    output_shape = (None, 16)

    @staticmethod
    def predict_on_batch(images):
        return 2.0 * images.reshape(len(images), 16)


def test_features_of_a_frozen_base_are_kept_on_disk_and_gone_afterwards(tmp_path, monkeypatch):
    from radsynth.tasks import frozen

    monkeypatch.setattr(frozen.tempfile, "tempdir", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 1), dtype=np.uint8)
    features = frozen.compute_features(Doubled, images, batch_size=3)
    np.testing.assert_array_equal(features, 2.0 * images.reshape(7, 16))
    assert isinstance(features.base, np.memmap) and not list(tmp_path.iterdir())
    assert frozen.compute_features(Doubled, images[:0], batch_size=3).shape == (0, 16)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(frozen.os, "posix_fallocate", full)
    with pytest.raises(UserError, match=f"{tmp_path} .TMPDIR names another.*: could not be written"):
        frozen.compute_features(Doubled, images, batch_size=3)


@pytest.mark.parametrize("architecture", [PRETRAINED[0], pytest.param(PRETRAINED[1], marks=pytest.mark.slow)])
def test_a_base_seen_once_teaches_what_a_base_seen_in_every_epoch_does(architecture, data, monkeypatch):
    from radsynth.tasks import keras_training
    from radsynth.tasks.jitter import AUGMENTATIONS

    seen = []

    def spy(base, images, batch_size):
        seen.append(len(images))
        return compute_features(base, images, batch_size)

    compute_features = keras_training.compute_features
    monkeypatch.setattr(keras_training, "compute_features", spy)
    monkeypatch.setitem(AUGMENTATIONS, "nothing", lambda images, rng: images)
    classifier = CLASSIFIER | {"architecture": architecture}
    cached, history = fit(classifier, *data, steps_per_epoch=4)
    assert seen == [20, 6], "training and validation images, once"
    whole, again = fit(classifier, *data, steps_per_epoch=4, augment="nothing")
    assert seen == [20, 6], "images that change are not seen ahead"
    for a, b in zip(cached.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(history.drop(columns="seconds"), again.drop(columns="seconds"), rtol=1e-3)
    # The moving statistics of a frozen batch normalisation are weights as well.
    start = untouched(classifier)
    for model in (cached, whole):
        assert all(np.array_equal(a, b) for a, b in zip(base_weights(model), base_weights(start), strict=True))
        assert not np.allclose(model.layers[-1].kernel, start.layers[-1].kernel, atol=1e-4)


def test_batch_normalisation_of_a_frozen_base_stays_at_inference():
    model = untouched({"architecture": "resnet50_pretrained"})
    base, images = model.get_layer("base"), np.random.default_rng(0).normal(0, 60, (4, 32, 32, 3)).astype(np.float32)
    before = [values.copy() for values in base.get_weights()]
    assert np.array_equal(np.asarray(base(images, training=True)), np.asarray(base(images, training=False)))
    assert all(np.array_equal(a, b) for a, b in zip(base.get_weights(), before, strict=True))


def test_an_untrained_network_is_trained_as_a_whole(data):
    classifier = CLASSIFIER | {"architecture": "vgg16_untrained", "weights": "none", "epochs": 1}
    moving, start = fit(classifier, *data, steps_per_epoch=1)[0], untouched(classifier)
    changed = [not np.array_equal(a, b) for a, b in zip(base_weights(moving), base_weights(start), strict=True)]
    assert len(changed) == 26 and all(changed)


def test_the_saved_model_is_the_whole_network_without_its_optimizer(data, tmp_path):
    import keras
    from radsynth.tasks.keras_networks import count_parameters

    model, _ = fit(CLASSIFIER | {"epochs": 1}, *data)
    path = tmp_path / "model.keras"
    model.save(path)
    assert path.stat().st_size < 4.1 * count_parameters(model)["parameters"]
    loaded, images = keras.saving.load_model(path), data[0][..., None]
    assert np.array_equal(np.asarray(loaded(images)), np.asarray(model(images)))


def write_published_layout(path, layers) -> None:
    """Write convolution weights, {name: (kernel, bias)}, in the HDF5 layout of the files that Keras publishes."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for name, arrays in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = names = [f"{name}_W_1:0".encode(), f"{name}_b_1:0".encode()]
            for dataset, values in zip(names, arrays, strict=True):
                group[dataset.decode()] = values


def test_published_weights_are_downloaded_checked_and_end_up_in_the_base(publisher, tmp_path, data):  # noqa: F811
    address, folder = publisher
    rng = np.random.default_rng(1)
    layers, inputs = {}, 3
    for block, (depth, filters) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], start=1):
        for conv in range(1, depth + 1):
            kernel = rng.standard_normal((3, 3, inputs, filters), np.float32) * (2 / (9 * inputs)) ** 0.5
            layers[f"block{block}_conv{conv}"] = kernel, rng.standard_normal(filters, np.float32)
            inputs = filters
    write_published_layout(folder / "vgg.h5", layers)
    md5 = hashlib.md5((folder / "vgg.h5").read_bytes()).hexdigest()
    file, target = entry(f"{address}/vgg.h5", file="vgg.h5", checksum=f"md5:{md5}"), tmp_path / "weights" / "vgg.h5"
    fetch_weights(target, file)

    model, _ = fit(CLASSIFIER | {"weights": "imagenet", "epochs": 1}, *data, weights=target)
    published = [values for arrays in layers.values() for values in arrays]
    assert all(np.array_equal(a, b) for a, b in zip(base_weights(model), published, strict=True))

    target.unlink()
    with open(folder / "vgg.h5", "r+b") as stream:
        stream.seek(30_000_000)
        stream.write(b"corrupt")
    with pytest.raises(UserError, match=rf"vgg.h5: md5 is [0-9a-f]{{32}}, the publisher's is {md5}"):
        fetch_weights(target, file)
    assert not target.exists()


def test_imagenet_weights_are_never_replaced_by_random_ones(data):
    with pytest.raises(UserError, match="vgg16_pretrained with weights: imagenet, expected their file"):
        fit(CLASSIFIER | {"weights": "imagenet"}, *data)
