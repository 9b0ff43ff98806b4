"""Each family learns phantoms: its images are closer to unseen reals than what a generator must beat."""

import numpy as np
import pytest
from radsynth.common.hashing import sha256_pixels
from radsynth.common.registry import find
from radsynth.common.seeds import derive_seed
from radsynth.common.sets import ImageSet
from radsynth.common.shares import excess_p_value
from radsynth.data.phantom import render
from radsynth.features.pixels import Pixels
from radsynth.generators.options import resolve_options, resolve_sampler
from radsynth.quality import kernel
from radsynth.quality.copies import copy_rate, copy_threshold
from scipy.ndimage import gaussian_filter

N = 200


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


class Experiment:
    """200 training images, 200 of the other class and twice n held-out ones, each of a patient of its own."""

    def __init__(self, size, n=N):
        def phantoms(part, count=N, lesion=False):
            seeds = [derive_seed(1, "phantom", part, index) for index in range(count)]
            return np.stack([render(seed, seed + 1, size, lesion)[0] for seed in seeds])

        self.n, self.training = n, phantoms("training")
        self.held_out, self.control = phantoms("held_out", n), phantoms("control", n)
        self.other = phantoms("other", lesion=True)
        self.extractor = Pixels()
        self.extractor.fit(np.concatenate([self.training, self.held_out, self.control, self.other]))
        self.reference = kernel.statistics(self.features(np.concatenate([self.held_out, self.control])))

    def features(self, images):
        return self.extractor.extract(images).astype(np.float64)

    def distance(self, images):
        """KID of the first 200 images to the reals of the same class that the generator has not seen."""
        return kernel.value(kernel.statistics(self.features(images[:N])), self.reference)

    def pool(self, family, folder, **overrides):
        generator = find("families", family, "family").load()(
            resolve_options(family, "cpu", {"previews": 0, **overrides})
        )
        generator.fit(ImageSet(self.training[..., None], [{"label": "NORMAL"}] * N), folder, seed=3)
        batches = generator.sample(range(self.n), 5, sampler=resolve_sampler(family, "cpu", {}))
        return np.concatenate([batch.images[..., 0] for batch in batches])


def blurred_means(training):
    rng = np.random.default_rng(0)
    noisy = gaussian_filter(training.mean(axis=0), 1) + rng.normal(0, 8, training.shape)
    return noisy.clip(0, 255).astype(np.uint8)


LONG = {"ddpm": {"steps": 1000}, "pggan": {"steps": 3500}}


@pytest.mark.slow
@pytest.mark.parametrize("family", LONG)
def test_learns_at_32_px_to_be_closer_than_the_other_class(tmp_path, family):
    experiment = Experiment(32, n=1000)
    pool = experiment.pool(family, tmp_path, **LONG[family])
    noise = np.random.default_rng(0).integers(0, 256, pool.shape, dtype=np.uint8)
    assert experiment.distance(pool) < 0.1 * experiment.distance(noise)
    assert experiment.distance(pool) < 0.7 * experiment.distance(blurred_means(experiment.training))
    assert experiment.distance(pool) < 0.7 * experiment.distance(experiment.other)
    assert len({sha256_pixels(image) for image in pool}) == len(pool)
    training, control = experiment.features(experiment.training), experiment.features(experiment.control)
    threshold = copy_threshold(experiment.features(experiment.held_out), training)
    rate, usual = (copy_rate(x, training, threshold) for x in (experiment.features(pool), control))
    assert excess_p_value(copy_rate(training, training, threshold), N, usual, experiment.n) < 0.001, "would be seen"
    assert rate <= usual
