"""Single copies, the whole line from distances to words: false alarms of studies without copies, and planted ones."""

import numpy as np
import pandas as pd
import pytest
from altered_images import encoded
from radsynth.common.tails import LowerTail
from radsynth.data.phantom import render
from radsynth.quality import catalogue, image_copies
from radsynth.quality.controls import tail_of
from radsynth.quality.copies import Among
from radsynth.quality.metric import OfCopies, measured, row, thresholds_of
from radsynth.quality.neighbourhoods import Points, encounter
from radsynth.quality.views import relative_view_distances
from radsynth.report import copying_words
from radsynth.report.chapter import tidy_tables
from radsynth.report.image_metrics import judged
from radsynth.report.tidy import as_table
from scipy.ndimage import gaussian_filter

N_TRAIN, N_HELD_OUT, N_POOL, POOLS = 200, 800, 2000, 8
SIDE = 64


def study(seed, dimensions, copies=0):
    """Return the metrics tables of a study of pools that are held-out points, ``copies`` of which are near-verbatim."""
    random = np.random.default_rng(seed)

    def draw(n):
        return random.normal(size=(n, dimensions))

    training, held_out = Points(draw(N_TRAIN)), draw(N_HELD_OUT)
    first, second = (Points(half) for half in np.split(held_out, 2))

    def among(candidates, thresholds):
        return Among(encounter(training, candidates), first, thresholds, seed)

    metrics = catalogue.of_kind(OfCopies)
    thresholds = thresholds_of(metrics, lambda: among(first, {}))
    everything = encounter(training, Points(held_out))
    tail = tail_of(everything.relative, np.arange(N_HELD_OUT))
    controls = measured(metrics, lambda: among(second, thresholds))
    views = LowerTail.of(random.random(N_HELD_OUT) ** (1 / 15)).described()
    rows = []
    for pool in range(POOLS):
        images = draw(N_POOL)
        if pool == 0 and copies:
            # Far nearer than any held-out image, though not the same: noise of a tenth of the usual distance.
            typical = np.median(everything.distance)
            noise = draw(copies)
            noise *= 0.1 * typical / np.linalg.norm(noise, axis=1, keepdims=True)
            images[:copies] = training.features[random.permutation(N_TRAIN)[:copies]] + noise
        known = measured(metrics, lambda images=images: among(Points(images), thresholds))
        names = {"dataset": "a", "sampling": "b", "scenario": "c", "generator": f"g{pool}", "label": "A"}
        shared = {"reference": "train", "n_reference": N_TRAIN, "n_synthetic": N_POOL, "control_is": "held_out"}
        for metric, found in known.items():
            beside = {"control": controls[metric]["value"], "n_control_a": len(second), "extractor": "points"}
            beside |= tail if metric == "nearest_copy" else {}
            rows.append(names | row("memorisation", metric, **shared, **beside, **found))
        of_views = {"value": random.random(N_POOL).min() ** (1 / 15), "control": 0.6, "planted": 0.05}
        of_views |= {f"tail_{key}": value for key, value in views.items()}
        rows.append(names | row("memorisation", "view_nearest_copy", **shared, **of_views))
    tables = {name: as_table(tidy, []) for name, tidy in tidy_tables().items()}
    return tables | {"quality": judged(as_table(tidy_tables()["quality"], rows))}


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", [10, 25])
def test_studies_without_copies_are_rarely_accused_and_one_copy_is_found(dimensions):
    """Eight pools of 2,000 held-out points; then one near-verbatim copy of a training point in one of them.

    Uncorrected tests of shares alone called 39 % of such studies suspicious, and saw fewer than ten copies of 2,000 no
    more often than none.
    """
    nothing = [copying_words.sharing(study(seed, dimensions))[0] for seed in range(100)]
    assert sum("Nothing found against it" in text for text in nothing) >= 95
    one = [copying_words.sharing(study(seed, dimensions, copies=1))[0] for seed in range(100)]
    assert sum("Not as they are" in text for text in one) >= 95


def test_one_copy_is_found_and_none_is_not_accused():
    """The same with a single seed."""
    assert "Nothing found against it" in copying_words.sharing(study(1, 12))[0]
    text = "\n".join(copying_words.sharing(study(1, 12, copies=1)))
    assert "Not as they are" in text and "**g0 A** (a, b, c): nearest image in points 0.0" in text


def shifted(image, random):
    rows, columns = (np.clip(np.arange(SIDE) + step, 0, SIDE - 1) for step in random.choice([-1, 1], 2))
    return image[rows][:, columns]


COPIES = {
    "noise": lambda image, random: np.clip(image + random.normal(0, 3, image.shape), 0, 255).astype(np.uint8),
    "shift": shifted,
    "JPEG": lambda image, random: encoded(image, 60),
    "brightness": lambda image, random: np.clip(1.08 * image + 5, 0, 255).astype(np.uint8),
}


@pytest.fixture(scope="module")
def textured():
    """Training, held-out and further images: structures of two sizes around a common one."""
    random = np.random.default_rng(0)
    fields = [gaussian_filter(random.normal(size=(901, SIDE, SIDE)), (0, size, size)) for size in (3, 8)]
    small, large = (field / field.std() for field in fields)
    drawn = 120 + 25 * large[:1] + 25 * large[1:] + 12 * small[1:]
    return np.split(np.clip(drawn, 0, 255).astype(np.uint8), [100, 500])


@pytest.fixture(scope="module")
def tail(textured):
    training, held_out, _ = textured
    return LowerTail.of(relative_view_distances(held_out, training)[0])


@pytest.mark.parametrize("change", COPIES)
def test_altered_copies_of_images_stand_out_one_by_one(textured, tail, change):
    """Each by itself, in a study of 8 pools of 2,000 images and 13 measures."""
    random = np.random.default_rng(0)
    copies = np.stack([COPIES[change](image, random) for image in textured[0]])
    chances = tail.chances(relative_view_distances(copies, textured[0])[0])
    assert np.mean(chances * N_POOL * POOLS * 13 < 0.05) >= 0.95


def test_other_images_do_not_stand_out(textured, tail):
    training, _, further = textured
    chances = tail.chances(relative_view_distances(further, training)[0])
    assert chances.min() * len(further) > 0.05


def test_planted_copies_say_what_would_be_found(textured, tail):
    """The distance that 95 % of them stay within is within reach here, and is that of the worst alteration."""
    distance = image_copies.planted_distance(textured[0], seed=1)
    assert 0 < distance < tail.reach(0.05 / N_POOL / POOLS / 13)
    assert distance == image_copies.planted_distance(textured[0], seed=1)
    random = np.random.default_rng(0)
    for alter in image_copies.ALTERATIONS.values():
        altered = np.stack([alter(image, random) for image in textured[0][:30]])
        assert altered.dtype == np.uint8 and altered.shape == (30, SIDE, SIDE)
        assert (altered != textured[0][:30]).any(axis=(1, 2)).all()
        nearest = relative_view_distances(altered, textured[0])[1]
        assert np.mean(nearest == np.arange(30)) > 0.95


def test_images_that_all_look_alike_are_no_clean_bill():
    """Phantoms differ in few ways, so that the nearest held-out one is near: not all copies would stand out."""
    drawn = np.stack([render(index, index, SIDE, index % 2 == 0)[0] for index in range(300)])
    alike = LowerTail.of(relative_view_distances(drawn[100:], drawn[:100])[0])
    assert image_copies.planted_distance(drawn[:100], seed=1) > alike.reach(0.05 / N_POOL / POOLS / 13)


def test_too_few_held_out_images_are_no_clean_bill():
    """With twenty held-out images nothing could have been found: the verdict is not known; what would do is told."""
    metrics = study(3, 12)
    quality = metrics["quality"]
    few = LowerTail.of(np.random.default_rng(0).random(20) ** (1 / 15)).described()
    views = quality["metric"] == "view_nearest_copy"
    quality.loc[views, [f"tail_{key}" for key in few]] = list(few.values())
    quality.loc[views, "planted"] = 0.12
    quality.loc[quality["metric"] == "copy_rate", ["value", "control", "n_control_a"]] = [0.0, 0.0, 10.0]
    text = "\n".join(copying_words.sharing(metrics | {"quality": judged(quality)}))
    assert text.startswith("**Not known.**")
    assert "stand out from 20 held-out patients; about " in text
    assert "against 10 held-out images; about " in text
    pools = copying_words.unchecked(metrics | {"quality": judged(quality)})
    assert isinstance(pools, pd.DataFrame) and len(pools) == POOLS
