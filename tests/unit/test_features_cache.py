"""The feature cache: an image that a network has seen is not shown to it again."""

import logging
import multiprocessing
import shutil

import numpy as np
import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.common.features import read_features
from radsynth.features import cache as cache_module
from radsynth.features import stored
from radsynth.features.cache import extract_cached
from radsynth.features.network import BATCH_SIZES, NetworkExtractor
from radsynth.features.stored import features_of_manifest
from test_features_files import write_set


class Tiny(torch.nn.Module):
    """A convolution, its global average, and a classifier."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = torch.nn.Conv2d(3, 5, 3), torch.nn.Linear(5, 4)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean(dim=(2, 3)))


class TinyExtractor(NetworkExtractor):
    """An extractor that counts what its network sees."""

    name = "tiny"
    dim = 5
    has_logits = True
    preprocessing = {"name": "none"}
    build = Tiny

    def __init__(self, sha256: str = "a", seed: int = 0) -> None:
        torch.manual_seed(seed)
        super().__init__(Tiny(), {"file": "tiny.pth", "sha256": sha256})
        self.images_seen = self.passes = 0

    def extract(self, images):
        self.images_seen += len(images)
        return super().extract(images)

    def preprocess(self, images):
        assert len(images) == BATCH_SIZES["cpu"], "other sizes round differently"
        self.passes += 1
        return images.expand(-1, 3, -1, -1)


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (20, 12, 12), dtype=np.uint8)


@pytest.fixture
def plain(images):
    """The features without a cache."""
    return TinyExtractor().extract(images)


@pytest.fixture
def cache(tmp_path, images):
    """A cache that knows the images."""
    extract_cached(TinyExtractor(), images, tmp_path / "cache")
    return tmp_path / "cache"


def cached_files(cache):
    return sorted(cache.rglob("*.npz"))


def seen(images, cache, **options):
    """Return how many images a fresh extractor sees beside this cache."""
    extractor = TinyExtractor(**options)
    extract_cached(extractor, images, cache)
    return extractor.images_seen


def test_a_second_evaluation_makes_no_forward_pass_and_gives_the_same_bits(tmp_path, images, plain, caplog):
    caplog.set_level(logging.INFO)
    first, second = TinyExtractor(), TinyExtractor()
    np.testing.assert_array_equal(extract_cached(first, images, tmp_path), plain)
    assert (first.images_seen, first.passes) == (20, 2), "batches of 16"
    np.testing.assert_array_equal(extract_cached(second, images[::-1], tmp_path), plain[::-1])
    assert (second.images_seen, second.passes) == (0, 0)
    assert len(cached_files(tmp_path)) == 1
    lines = [record.message for record in caplog.records if "cache" in record.message]
    assert lines == ["tiny: 0 of 20 images from the cache", "tiny: 20 of 20 images from the cache"]


def test_one_changed_pixel_is_one_image(cache, images):
    images = images.copy()
    images[7, 3, 4] ^= 1
    expected = TinyExtractor().extract(images)
    extractor = TinyExtractor()
    np.testing.assert_array_equal(extract_cached(extractor, images, cache), expected)
    assert (extractor.images_seen, extractor.passes) == (1, 1)
    assert [len(np.load(path)["features"]) for path in cached_files(cache)].count(1) == 1
    assert seen(images, cache) == 0


def test_equal_images_are_extracted_once(tmp_path, images, plain, caplog):
    caplog.set_level(logging.INFO)
    extractor = TinyExtractor()
    rows = [3, 5, 3, 3, 5]
    np.testing.assert_array_equal(extract_cached(extractor, images[rows], tmp_path), plain[rows])
    assert extractor.images_seen == 2 and seen(images[rows], tmp_path) == 0
    assert "tiny: 5 of 5 images from the cache" in caplog.text


def test_other_weights_preprocessing_code_or_size_miss(cache, images, monkeypatch):
    assert seen(images, cache) == 0
    assert seen(images, cache, sha256="b", seed=1) == 20
    assert seen(images.reshape(20, 9, 16), cache) == 20, "the same bytes in another shape"
    with monkeypatch.context() as patch:
        patch.setattr(TinyExtractor, "preprocessing", {"name": "other"})
        assert seen(images, cache) == 20
    monkeypatch.setattr(cache_module, "code_hash", lambda file: "edited")
    assert seen(images, cache) == 20


@pytest.mark.parametrize("size", [0, 1, 100, -100, -1])
def test_truncated_file_is_computed_again(cache, images, plain, caplog, size):
    (path,) = cached_files(cache)
    path.write_bytes(path.read_bytes()[:size])
    extractor = TinyExtractor()
    np.testing.assert_array_equal(extract_cached(extractor, images, cache), plain)
    assert extractor.images_seen == 20
    assert f"{path}: ignored, not a whole file of cached features" in caplog.text
    assert seen(images, cache) == 0, "the new file beside the damaged one"


def test_no_wrong_byte_passes_for_a_feature(cache, images, plain):
    (path,) = cached_files(cache)
    content = path.read_bytes()
    positions = np.random.default_rng(0).choice(len(content), 100, replace=False)
    recomputed = 0
    for position in positions:
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        extractor = TinyExtractor()
        np.testing.assert_array_equal(extract_cached(extractor, images, cache), plain)
        recomputed += extractor.images_seen == 20
        for other in set(cached_files(cache)) - {path}:
            other.unlink()
    assert recomputed > 60, "bytes that change nothing, such as dates, are few"


@pytest.mark.parametrize(
    "arrays",
    [
        {"anything": np.zeros(3)},
        {"sha256": np.zeros(3), "features": np.zeros((3, 5), np.float32)},
        {"features": np.zeros((20, 4), np.float32)},
        {"features": np.zeros((20, 5), np.float64)},
        {"features": np.full((20, 5), np.nan, np.float32)},
    ],
)
def test_foreign_files_are_not_believed(cache, images, plain, arrays):
    (path,) = cached_files(cache)
    if set(arrays) == {"features"}:
        arrays = {"sha256": np.load(path)["sha256"], **arrays}
    np.savez(path, **arrays)
    np.testing.assert_array_equal(extract_cached(TinyExtractor(), images, cache), plain)


def test_the_folder_may_be_deleted(cache, images, plain):
    shutil.rmtree(cache)
    np.testing.assert_array_equal(extract_cached(TinyExtractor(), images, cache), plain)


def test_a_cache_that_cannot_be_written_does_not_stop_the_job(tmp_path, images, plain, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")
    np.testing.assert_array_equal(extract_cached(TinyExtractor(), images, tmp_path / "cache"), plain)
    assert "features not cached" in caplog.text


def fill(cache, images, barrier):
    torch.set_num_threads(1)  # a forked process must not use its parent's threads
    barrier.wait()
    extract_cached(TinyExtractor(), images, cache)


def test_jobs_write_at_the_same_time(tmp_path, images, plain):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    jobs = [context.Process(target=fill, args=(tmp_path, part, barrier)) for part in (images[:15], images[5:])]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
        assert job.exitcode == 0
    extractor = TinyExtractor()
    np.testing.assert_array_equal(extract_cached(extractor, images, tmp_path), plain)
    assert extractor.images_seen == 0 and len(cached_files(tmp_path)) == 2
    assert not list(tmp_path.rglob(".*")), "no partial file is left"


@pytest.fixture
def tiny_for_resnet(monkeypatch):
    """Put the tiny extractor where stored.py creates a network."""
    made = []
    monkeypatch.setattr(stored, "create_extractor", lambda *_, **__: made.append(TinyExtractor()) or made[-1])
    return made


def test_files_with_and_without_the_cache_are_equal_and_carry_logits(tmp_path, images, tiny_for_resnet):
    manifest = write_set(tmp_path / "pool", images)
    for name, cache in [("none.npz", None), ("cold.npz", tmp_path / "cache"), ("warm.npz", tmp_path / "cache")]:
        features_of_manifest(manifest, tmp_path / name, "resnet18_imagenet", weights="w", cache=cache)
    assert [extractor.images_seen for extractor in tiny_for_resnet] == [20, 20, 0]
    contents = {(tmp_path / name).read_bytes() for name in ("none.npz", "cold.npz", "warm.npz")}
    assert len(contents) == 1
    found = read_features(tmp_path / "warm.npz", np.float64)
    torch.manual_seed(0)
    classifier = Tiny().fc.weight.detach().numpy()
    np.testing.assert_allclose(found.logits, found.features @ classifier.T, rtol=1e-5)
    assert found.logits.shape == (20, 4) and found.logits.dtype == np.float64 and found.state == {}


def test_values_that_are_not_finite_are_refused_by_name_and_never_cached(
    tmp_path, images, tiny_for_resnet, monkeypatch
):
    manifest = write_set(tmp_path / "pool", images)
    extract = TinyExtractor.extract

    def spoilt(extractor, images):
        features = extract(extractor, images)
        features[4, 2] = np.nan
        return features

    monkeypatch.setattr(TinyExtractor, "extract", spoilt)
    with pytest.raises(UserError, match=r"pool\.npz: extractor tiny gave .* not finite for the image 000004"):
        features_of_manifest(manifest, tmp_path / "pool.npz", "resnet18_imagenet", cache=tmp_path / "cache")
    assert not (tmp_path / "pool.npz").exists() and not cached_files(tmp_path / "cache")
