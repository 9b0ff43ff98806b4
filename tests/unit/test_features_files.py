"""Features files: from a manifest to an npz without pickles, pools in the dataset's basis."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.features import read_features, write_features
from radsynth.common.hashing import sha256_pixels
from radsynth.common.registry import KINDS, find
from radsynth.features.stored import features_of_manifest


def write_set(folder, images, **columns):
    """Write images and a manifest; return the manifest's path."""
    (folder / "images").mkdir(parents=True)
    files = [f"images/{index:06d}.png" for index in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(folder / file)
    sums = [sha256_pixels(image) for image in images]
    pd.DataFrame({"file": files, "sha256": sums, **columns}).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (20, 32, 32), dtype=np.uint8)


def test_dataset_and_pool_round_trip_in_one_basis(tmp_path, images):
    dataset = write_set(tmp_path / "data", images, image_id=[f"p{index}" for index in range(20)])
    pool = write_set(tmp_path / "pool", images[3:5])
    real, synthetic = tmp_path / "real.npz", tmp_path / "pool.npz"
    features_of_manifest(dataset, real, "pixels")
    features_of_manifest(pool, synthetic, "pixels", reference=real)
    with np.load(real, allow_pickle=False) as a, np.load(synthetic, allow_pickle=False) as b:
        assert set(a.files) == {"features", "image_id", "extractor", "basis_mean", "basis_components"}
        assert a["features"].dtype == np.float32 and a["features"].shape == (20, 19)
        assert list(a["image_id"]) == [f"p{index}" for index in range(20)]
        assert list(b["image_id"]) == ["000000", "000001"]
        np.testing.assert_allclose(b["features"], a["features"][3:5], atol=1e-6)
        np.testing.assert_array_equal(a["basis_components"], b["basis_components"])
        told = json.loads(str(b["extractor"]))
    assert told.keys() == {"name", "preprocessing", "weights", "dim"}
    assert told["weights"] is None and told["dim"] == 19
    assert told["preprocessing"].keys() == {"name", "resize", "size", "antialias", "scaling", "channels"}


def test_the_same_images_give_the_same_file(tmp_path, images):
    dataset = write_set(tmp_path / "data", images)
    for name in ("a.npz", "b.npz"):
        features_of_manifest(dataset, tmp_path / name, "pixels")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "vanished"),
        (lambda path: Image.new("RGBA", (32, 32)).save(path), "not the image that its manifest names"),
        (lambda path: Image.new("LA", (32, 32)).save(path), "not the image that its manifest names"),
        (lambda path: Image.new("L", (32, 32)).save(path, transparency=0), "mode L with transparency, expected 8-bit"),
        (lambda path: Image.new("P", (32, 32)).save(path), "mode P, expected 8-bit grayscale"),
        (lambda path: Image.new("RGB", (32, 32)).save(path), "not the image that its manifest names"),
        (
            lambda path: Image.fromarray(np.zeros((32, 32), np.uint16)).save(path),
            r"more than 8 bits per pixel, expected .*; prepare it .* with sixteen_bit: scale or a window \[low, high\]",
        ),
        (lambda path: Image.new("L", (32, 30)).save(path), "not the image that its manifest names"),
    ],
)
def test_bad_images_are_named(tmp_path, images, spoil, message):
    dataset = write_set(tmp_path / "data", images)
    spoil(tmp_path / "data" / "images" / "000004.png")
    with pytest.raises(UserError, match=f"000004.png: .*{message}") as error:
        features_of_manifest(dataset, tmp_path / "out.npz", "pixels")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.npz").exists()


def test_values_that_are_not_finite_are_not_written(tmp_path):
    features = np.array([[1, 2], [3, np.inf], [np.nan, 4]], np.float32)
    with pytest.raises(UserError, match=r"out\.npz: extractor pixels gave .* not finite for the image b"):
        write_features(tmp_path / "out.npz", ["a", "b", "c"], features, {"name": "pixels"}, {})
    assert not (tmp_path / "out.npz").exists()


def test_an_image_set_without_images_is_named(tmp_path):
    dataset = write_set(tmp_path / "data", [])
    with pytest.raises(UserError, match=r"data: an image set without images"):
        features_of_manifest(dataset, tmp_path / "out.npz", "pixels")


def test_another_file_in_the_place_of_the_weights_is_refused(tmp_path, images):
    dataset = write_set(tmp_path / "data", images)
    weights = tmp_path / "resnet18-f37072fd.pth"
    weights.write_bytes(b"another network")
    with pytest.raises(UserError, match=r"f37072fd\.pth: sha256-prefix is .*, the publisher's is f37072fd"):
        features_of_manifest(dataset, tmp_path / "out.npz", "resnet18_imagenet", weights=weights)
    assert not (tmp_path / "out.npz").exists()


def test_logits_are_optional(tmp_path, images):
    features_of_manifest(write_set(tmp_path / "data", images), tmp_path / "pixels.npz", "pixels")
    assert read_features(tmp_path / "pixels.npz", np.float32).logits is None


def test_unknown_extractor_and_missing_weights_are_named(tmp_path, images):
    with pytest.raises(UserError, match="extractor: unknown extractor 'swav', expected one of pixels"):
        find("extractors", "swav", "extractor")
    dataset = write_set(tmp_path / "data", images)
    with pytest.raises(UserError, match=r"needs the weights resnet18-f37072fd\.pth"):
        features_of_manifest(dataset, tmp_path / "out.npz", "resnet18_imagenet")


def test_registry_names_what_exists_and_imports_no_framework(root, tmp_path):
    for name, entry in KINDS["extractors"].items():
        assert entry.per_cohort or entry.load().name == name
    code = "import sys, radsynth.common.registry; print(sorted({'torch', 'numpy', 'sklearn'} & set(sys.modules)))"
    environment = {"PYTHONPATH": str(root / "workflow/scripts")}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr
