"""Lesions that were asked of a pool: planted ones and none, at their places and elsewhere, boxes and masks."""

from collections import Counter

import numpy as np
import pytest
from radsynth.fidelity.asked_lesions import Lesions, lesion_rows
from radsynth.fidelity.condition_verdicts import AS_REAL, LESS, MORE, NOT_TOLD
from radsynth.fidelity.lesion_contrast import (
    contrasts,
    own_contrast,
    pixel_boxes,
    place_of,
    place_of_mask,
)

SIDE, SEEDS, DRAWS = 24, 200, 200
NO_POWER = "not told from chance on real images either"


def planted(random, n, added, n_free=0, each=1, tissue=None):
    """Return ``n`` noisy images, brighter by ``added`` in their boxes, and ``n_free`` without a lesion.

    ``each`` images of a patient share a box and most of their noise. ``tissue`` (SIDE, SIDE) is added to all.
    """
    patients = np.arange(n + n_free) // each
    corners = random.integers(2, SIDE - 8, (n + n_free, 2))[patients]
    noise = random.normal(0, 20, (n + n_free, SIDE, SIDE))
    if each > 1:
        noise = noise[patients] + random.normal(0, 2, noise.shape)
    images, places = 100 + noise + (0 if tissue is None else tissue), []
    for index, (y, x) in enumerate(corners):
        if index < n:
            images[index, y : y + 6, x : x + 6] += added
        places.append(place_of([(y, y + 6, x, x + 6)], SIDE, SIDE) if index < n else None)
    images = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    return Lesions(images, places, np.full(len(images), "A"), patients)


def verdicts(make, seeds=SEEDS):
    """Return how often each verdict, or reason, was given of lesions and of none; and the rows, by kind."""
    rows = [row for seed in range(seeds) for row in lesion_rows(*make(np.random.default_rng(seed)), seed, DRAWS)]
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in ("lesion", "no_lesion")}
    return {kind: Counter(row["verdict"] or row["reason"] for row in found) for kind, found in kinds.items()}, kinds


def test_a_pool_without_lesions_seems_to_have_them_as_often_as_the_level_says():
    found, rows = verdicts(lambda r: [planted(r, 40, 0), planted(r, 40, 25)], 400)
    told = 400 - found["lesion"][NOT_TOLD]
    assert found["lesion"][NO_POWER] == 0 and 0.025 * 400 <= told <= 0.08 * 400
    assert abs(np.mean([row["ratio"] for row in rows["lesion"]])) < 0.02


def test_lesions_elsewhere_than_asked_are_none():
    """Every image has its lesion, at the place that was asked of the next one."""

    def make(random):
        pool = planted(random, 40, 40)
        return [
            Lesions(pool.images, pool.places[1:] + pool.places[:1], pool.strata, pool.groups),
            planted(random, 40, 25),
        ]

    found, _ = verdicts(make, 200)
    assert 200 - found["lesion"][NOT_TOLD] <= 0.1 * 200


def test_tissue_that_is_brighter_where_lesions_lie_is_chance():
    tissue = np.zeros((SIDE, SIDE))
    tissue[8:16, 8:16] = 40

    def make(random, added):
        return [planted(random, 40, 0, tissue=tissue), planted(random, 40, added, tissue=tissue)]

    found, rows = verdicts(lambda random: make(random, 30), 200)
    assert 200 - found["lesion"][NOT_TOLD] - found["lesion"][NO_POWER] <= 0.1 * 200
    assert np.mean([row["value"] for row in rows["lesion"]]) > 2, "of the tissue"
    assert np.mean([row["chance"] for row in rows["lesion"]]) == pytest.approx(
        np.mean([row["value"] for row in rows["lesion"]]), abs=0.5
    )
    found, _ = verdicts(lambda random: make(random, 0), 200)
    assert found["lesion"][NO_POWER] >= 0.91 * 200


def test_lesions_as_in_real_images_fainter_and_clearer():
    found, rows = verdicts(lambda r: [planted(r, 40, 25, 30), planted(r, 40, 25, 30)])
    assert 0.9 * SEEDS <= found["lesion"][AS_REAL] <= 0.985 * SEEDS
    assert np.mean([row["ratio"] for row in rows["lesion"]]) == pytest.approx(1, abs=0.03)
    assert np.mean([row["value"] for row in rows["lesion"]]) == pytest.approx(25, abs=0.5)
    assert 0.9 * SEEDS <= found["no_lesion"][AS_REAL] <= 0.99 * SEEDS
    assert {row["p_value"] for row in rows["no_lesion"]} == {None}
    for added, verdict in ((12, LESS), (45, MORE)):
        found, _ = verdicts(lambda r, added=added: [planted(r, 40, added), planted(r, 40, 25)], 30)
        assert found["lesion"][verdict] >= 28


def test_dark_lesions_are_lesions():
    for added, verdict in ((-25, AS_REAL), (-12, LESS), (-45, MORE), (0, NOT_TOLD), (25, NOT_TOLD)):
        found, rows = verdicts(lambda r, added=added: [planted(r, 40, added), planted(r, 40, -25)], 20)
        assert found["lesion"][verdict] >= 17, (added, found)
        assert np.mean([row["ratio"] for row in rows["lesion"]]) == pytest.approx(-added / 25, abs=0.1)


def test_lesions_where_none_was_asked_are_seen():
    def make(random):
        free = planted(random, 30, 40)
        pool = planted(random, 40, 25)
        images, places = np.concatenate([pool.images, free.images]), [*pool.places, *[None] * 30]
        both = Lesions(images, places, np.full(70, "A"), np.arange(70))
        # All of them at the place of the first box.
        first = pool.places[0]
        images[40:][:, first[0]] = 200
        return [Lesions(images, [first] * 40 + [None] * 30, both.strata, both.groups), planted(random, 40, 25, 30)]

    found, _ = verdicts(make, 20)
    assert found["no_lesion"] == {MORE: 20}


def test_images_of_a_patient_count_as_what_they_are():
    """Four nearly equal images of each of 15 patients: each for itself, chance would often seem an effect."""

    def make(random, known=True):
        real = planted(random, 60, 0, each=4)
        groups = real.groups if known else np.arange(60)
        return [planted(random, 40, 0), Lesions(real.images, real.places, real.strata, groups)]

    found, rows = verdicts(make)
    assert found["lesion"][NO_POWER] >= 0.9 * SEEDS and {row["n_real_groups"] for row in rows["lesion"]} == {15}
    found, _ = verdicts(lambda random: make(random, known=False))
    assert found["lesion"][NO_POWER] < 0.75 * SEEDS


def test_only_images_of_the_same_labels_are_compared():
    random = np.random.default_rng(0)
    pool, real = planted(random, 40, 25, 20), planted(random, 40, 25, 20)
    other = Lesions(real.images, real.places, np.array(["A"] * 40 + ["B"] * 20), real.groups)
    with_lesion, without = lesion_rows(pool, other, 1, DRAWS)
    assert with_lesion["verdict"] == AS_REAL and without["verdict"] == ""
    assert without["reason"] == "0 training patients and 20 images of the pool without a lesion: expected 10 of each"


def test_too_few_say_so():
    random = np.random.default_rng(0)
    few, many, none = planted(random, 9, 25, 9), planted(random, 40, 25, 40), planted(random, 0, 0, 40)
    for pool, real, n in ((few, many, (40, 9)), (many, few, (9, 40))):
        rows = list(lesion_rows(pool, real, 1, DRAWS))
        for row, what in zip(rows, ("with", "without"), strict=True):
            expected = f"{n[0]} training patients and {n[1]} images of the pool {what} a lesion: expected 10 of each"
            assert row["reason"] == expected and row["verdict"] == "" and row["value"] is None
    assert [row["kind"] for row in lesion_rows(none, many, 1, DRAWS)] == ["no_lesion"], "at the places of real lesions"
    assert [row["reason"] for row in lesion_rows(none, none, 1, DRAWS)] == [
        "no place of a lesion is known, in the pool or in training images"
    ]
    assert list(lesion_rows(planted(random, 0, 0), many, 1, DRAWS)) == []


def test_the_same_seed_gives_the_same_rows():
    pool, real = (planted(np.random.default_rng(seed), 40, 25, 20) for seed in (0, 1))
    assert list(lesion_rows(pool, real, 1, DRAWS)) == list(lesion_rows(pool, real, 1, DRAWS))
    assert list(lesion_rows(pool, real, 1, DRAWS)) != list(lesion_rows(pool, real, 2, DRAWS))


def test_boxes_become_pixels():
    assert pixel_boxes([[0, 0.25, 0.5, 1]], 8, 4) == [(2, 8, 0, 2)], "x before y; height and width apart"
    assert pixel_boxes([[0.99, 0.99, 1, 1], [-1, -1, 2, 2]], 8, 8) == [(7, 8, 7, 8), (0, 8, 0, 8)], "at least a pixel"
    assert pixel_boxes([], 8, 8) == []


def test_the_ring_is_around_all_lesions_and_within_the_image():
    inside, ring = place_of([(4, 8, 4, 8)], 12, 12)
    expected = np.zeros((12, 12), bool)
    expected[2:10, 2:10] = True
    expected[4:8, 4:8] = False
    assert np.array_equal(ring, expected) and inside.sum() == 16
    inside, ring = place_of([(0, 4, 0, 4), (4, 6, 0, 2)], 12, 12)
    assert inside.sum() == 20 and not (inside & ring).any() and ring[:6, :6].sum() == 36 - 20, "at the edge, minus both"
    assert place_of([(0, 12, 0, 12)], 12, 12) is None and place_of([], 12, 12) is None


def test_masks_have_the_lesions_shape_or_its_boxes():
    mask = np.zeros((12, 12), np.uint8)
    mask[2:10, 2:10] = 1
    mask[3, 3:7], mask[3:7, 3], mask[8, 8] = 2, 2, 2
    inside, ring = place_of_mask(mask, boxed=False)
    assert np.array_equal(inside, mask == 2) and ring[4, 4] and not ring[8, 8] and ring[7, 7] and not ring[11, 11]
    boxed, around = place_of_mask(mask, boxed=True)
    assert boxed[3:7, 3:7].all() and boxed.sum() == 17 and not around[4, 4]
    assert place_of_mask((mask > 0).astype(np.uint8), boxed=False) is None


def test_the_contrast_is_that_of_the_means():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (70, 12, 10), dtype=np.uint8)
    places = [place_of([(y, y + 3, x, x + 2)], 12, 10) for y, x in random.integers(1, 7, (5, 2))]
    found = contrasts(images, places)
    expected = [[image[inside].mean() - image[ring].mean() for inside, ring in places] for image in images]
    assert found.shape == (70, 5) and np.allclose(found, expected)


def test_chance_is_the_mean_over_deals_within_labels():
    random = np.random.default_rng(0)
    side = planted(random, 30, 30)
    strata = np.array(["A", "B", "B"] * 10)
    found = own_contrast(side.images, side.places, strata, side.groups, 1, 4000)
    assert found.dealt.mean() == pytest.approx(found.chance, abs=0.1) and found.value > found.dealt.max()
    alone = own_contrast(side.images, side.places, np.arange(30), side.groups, 1, 50)
    assert alone.chance == alone.value and np.allclose(alone.dealt, alone.value), "nobody to deal with"
