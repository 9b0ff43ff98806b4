"""Five in a hundred planted copies are flagged, by Fisher's exact test against held-out reals; other reals are not."""

import numpy as np
import pytest
from PIL import Image
from radsynth.common.images import downsample
from radsynth.common.shares import excess_p_value
from radsynth.quality import catalogue, image_copies, views
from radsynth.quality.copies import Among
from radsynth.quality.image_copies import Images
from radsynth.quality.metric import OfCopies, OfImages, UndefinedError, measured, thresholds_of
from radsynth.quality.neighbourhoods import Points, encounter
from scipy.ndimage import gaussian_filter, rotate

SIDE, N_TRAIN, N_POOL, N_COPIES = 64, 100, 300, 15


def resized(window):
    return np.asarray(Image.fromarray(window).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def clipped(values):
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def cropped(image, random, share):
    side = round(share * SIDE)
    y, x = random.integers(0, SIDE - side + 1, 2)
    return resized(image[y : y + side, x : x + side])


CHANGES = {
    "verbatim": lambda image, random: image,
    "noise": lambda image, random: clipped(image + random.normal(0, 10, image.shape)),
    "mirrored": lambda image, random: image[:, ::-1],
    "upside_down": lambda image, random: image[::-1],
    "turned_180": lambda image, random: image[::-1, ::-1],
    "cropped_90": lambda image, random: cropped(image, random, 0.9),
    "mirrored_and_cropped_90": lambda image, random: cropped(image[:, ::-1], random, 0.9),
    "brighter": lambda image, random: clipped(1.1 * image + 15),
    "flatter": lambda image, random: clipped(0.6 * image + 40),
    "turned_4": lambda image, random: clipped(rotate(image.astype(float), 4, reshape=False, mode="nearest")),
}


def changed(images, change, seed=0):
    random = np.random.default_rng(seed)
    return np.stack([CHANGES[change](image, random) for image in images])


@pytest.fixture(scope="module")
def sets():
    """Smooth random images around a common one: training, two held-out halves, and 300 for a pool."""
    random = np.random.default_rng(0)
    sizes = [N_TRAIN, 300, 300, N_POOL]
    fields = gaussian_filter(random.normal(size=(sum(sizes) + 1, SIDE, SIDE)), (0, 4, 4))
    fields /= fields.std()
    images = clipped(120 + 25 * fields[:1] + 25 * fields[1:] + random.normal(0, 2, fields[1:].shape))
    return np.split(images, np.cumsum(sizes)[:-1])


@pytest.fixture(scope="module")
def judge(sets):
    """Return a function: p-values against the control, by metric, of the pool with these copies in place of some."""
    training, calibration, control, pool = sets
    usual, beside, pooled = (Images(stack, training) for stack in (calibration, control, pool))
    near_thresholds = thresholds_of(catalogue.of_kind(OfImages), lambda: usual)
    points = {name: Points(downsample(stack, 16)) for name, stack in (("train", training), ("usual", calibration))}

    def among(stack, thresholds):
        candidates = Points(downsample(stack, 16))
        return Among(encounter(points["train"], candidates), points["usual"], thresholds, seed=0)

    thresholds = thresholds_of(catalogue.of_kind(OfCopies), lambda: among(calibration, {}))

    def rates(stack, near):
        images = Images(stack, training, near_thresholds)
        images.near = near
        known = measured(catalogue.of_kind(OfImages), lambda: images)
        known |= measured(catalogue.of_kind(OfCopies), lambda: among(stack, thresholds))
        wanted = ("view_copy_rate", "hash_copy_rate", "exact_copy_rate", "copy_rate", "dcr_tail")
        return {metric: known[metric]["value"] for metric in wanted}

    of_control = rates(control, beside.near)

    def p_values(copies):
        kept = len(pool) - len(copies)
        near = Images(copies, training).near
        near = {metric: np.concatenate([pooled.near[metric][:kept], near[metric]]) for metric in near}
        found = rates(np.concatenate([pool[:kept], copies]), near)
        return {metric: excess_p_value(found[metric], len(pool), of_control[metric], len(control)) for metric in found}

    return p_values


@pytest.mark.parametrize("change", CHANGES)
def test_five_percent_of_copies_are_flagged(sets, judge, change):
    found = judge(changed(sets[0][:N_COPIES], change))
    assert found["view_copy_rate"] < 0.01
    if change == "verbatim":
        assert all(p < 0.01 for p in found.values()), found
    if change in ("mirrored", "upside_down", "turned_180"):
        assert found["hash_copy_rate"] < 0.01 < found["copy_rate"], "plain distances do not see mirrors"


def test_held_out_images_are_not_flagged(sets, judge):
    found = judge(sets[0][:0])
    assert all(p > 0.01 for p in found.values()), found


def test_a_copy_has_view_distance_0_and_an_inverted_or_constant_image_none(sets):
    training = sets[0]
    odd = np.stack([training[3], 255 - training[3], np.full((SIDE, SIDE), 9, np.uint8)])
    relative, _ = views.relative_view_distances(odd, training)
    assert relative[0] < 5e-3 and relative[1] > 0.4 and relative[2] == pytest.approx(1)
    blank = training.copy()
    blank[::2] = 200
    assert views.relative_view_distances(odd[2:], blank)[0][0] == pytest.approx(1)
    with pytest.raises(UndefinedError, match="at least 2 training images, found 1"):
        views.relative_view_distances(odd, training[:1])


def test_view_distances_do_not_depend_on_blocks(sets, monkeypatch):
    training, images = sets[0][:20], sets[-1][:11]
    whole, nearest = views.relative_view_distances(images, training)
    monkeypatch.setattr(views, "BLOCK", 4)
    monkeypatch.setattr(views, "KNOWN", 7)
    again = views.relative_view_distances(images, training)
    np.testing.assert_allclose(again[0], whole, rtol=1e-4)
    np.testing.assert_array_equal(again[1], nearest)


def test_the_nearest_image_over_views_is_the_one_that_was_mirrored(sets):
    training = sets[0][:30]
    _, nearest = views.relative_view_distances(training[[7, 21, 3]][:, :, ::-1], training)
    assert list(nearest) == [7, 21, 3]


def test_hash_distances_count_bits_over_flips(sets, monkeypatch):
    training, images = sets[0], sets[-1][:9]
    whole = image_copies.hash_distances(images, training)
    monkeypatch.setattr(image_copies, "BLOCK", 4)
    monkeypatch.setattr(image_copies, "AT_ONCE", 3)
    np.testing.assert_array_equal(image_copies.hash_distances(images, training), whole)
    assert (whole > 0).all() and (whole < 32).all()
    assert (image_copies.hash_distances(training[:5, ::-1], training) == 0).all()
    with pytest.raises(UndefinedError, match="at least 1 training image, found 0"):
        image_copies.hash_distances(images, training[:0])


def test_the_hash_threshold_lets_at_most_one_in_a_hundred_pass():
    distances = np.array([3] * 30 + [7] * 170)
    assert image_copies.hash_threshold(distances) == 2
    assert image_copies.hash_threshold(np.r_[3, 3, [7] * 198]) == 6
    with pytest.raises(UndefinedError, match="too many held-out images"):
        image_copies.hash_threshold(np.zeros(50))
    metrics, nothing = [image_copies.VIEW_COPY_RATE, image_copies.HASH_COPY_RATE], np.empty((0, 1, 1))
    held_out, images = Images(nothing, nothing), Images(nothing, nothing)
    held_out.near = {"view": np.full(50, 0.5), "hash": np.zeros(50)}
    images.near = dict.fromkeys(("view", "hash"), np.full(9, 0.1))
    images.thresholds = thresholds_of(metrics, lambda: held_out)
    found = measured(metrics, lambda: images)
    assert found["view_copy_rate"]["value"] == 1
    assert "look like copies" in found["hash_copy_rate"]["reason"], "0 would read as a clean bill"
    with pytest.raises(UndefinedError, match="found 1"):
        image_copies.hash_threshold(distances[:1])


def test_changed_copies_of_real_radiographs_are_found(shared_data):
    """Children's chest radiographs, patients apart: what share of changed copies the views find at a control of 3 %."""
    files = sorted((shared_data / "kermany_cxr_224/train/NORMAL").glob("*.jpeg"))[:480]
    if not files:
        pytest.skip("needs the shared development images (kermany_cxr_224)")
    images = []
    for file in files:
        with Image.open(file) as image:
            images.append(np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)))
    # Sorted by patient, and only few have several images: thirds have next to no patient in common.
    training, calibration, control = np.split(np.stack(images), 3)
    rate = image_copies.VIEW_COPY_RATE
    thresholds = thresholds_of([rate], lambda: Images(calibration, training))

    def found(stack):
        return rate.measured(Images(stack, training, thresholds))["value"]

    assert found(control) < 0.06
    for change in CHANGES:
        assert found(changed(training[:30], change)) > 0.85, change
