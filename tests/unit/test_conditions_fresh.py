"""What models are told of images, and the conditions that pools ask for: hand values, planted replays, bad input."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from radsynth.common.errors import UserError
from radsynth.common.sets import ImageSet
from radsynth.conditions.conditioner import Conditioner
from radsynth.conditions.fresh import FEWEST, Density, frequent_tuples, fresh, replayed
from radsynth.conditions.lesions import bounds, cover, is_hole, lesion_mask, outlines_of
from scipy.ndimage import gaussian_filter

SIZE = 20
OPTIONS = {"attributes": [], "continuous": [], "lesions": "none"}


def image_set(rows, masks=None, patients=None):
    n = len(rows)
    ties = None
    if patients is not None:
        names = [str(i) for i in range(n)]
        ties = pd.DataFrame({"image_id": names, "patient_id": patients, "sha256": names, "near_duplicate_group": ""})
    return ImageSet(np.zeros((n, SIZE, SIZE, 1), np.uint8), rows, masks=masks, ties=ties)


def told(rows, masks=None, patients=None, **options):
    return Conditioner.learn(image_set(rows, masks, patients), OPTIONS | options)


def mammograms(n=40, boxes=True):
    """Images of two labels with view, age (every fourth unknown) and a box in every second one of B."""
    rows = []
    for i in range(n):
        box = [[2, 4, 8, 10, "Mass"]] if i % 4 == 1 else []
        row = {"label": "AB"[i % 2], "view": ("CC", "MLO")[i // 2 % 2], "age": "" if i % 4 == 0 else str(40 + i)}
        rows.append(row | ({"boxes": json.dumps(box)} if boxes else {}))
    return rows


# Lesions


def test_outlines_give_back_the_masks_they_were_made_of():
    for seed in range(30):
        mask = gaussian_filter(np.random.default_rng(seed).normal(size=(24, 32)), 1.5) > 0.1
        assert np.array_equal(cover({"outlines": outlines_of(mask)}, 24, 32), mask), "with regions and holes"
    ring = np.zeros((10, 10), bool)
    ring[2:8, 2:8], ring[4:6, 4:6] = True, False
    outer, hole = outlines_of(ring)
    assert not is_hole(outer) and is_hole(hole)
    assert bounds(outer) == [0.2, 0.2, 0.8, 0.8]


def test_boxes_cover_shares_of_pixels():
    covered = cover({"boxes": [[0.1, 0.1, 0.25, 0.3], [0.15, 0.1, 0.2, 0.2]]}, 10, 10)
    expected = np.zeros((10, 10))
    expected[1:3, 1], expected[1:3, 2] = 1, 0.5
    assert covered == pytest.approx(expected), "of overlapping boxes the larger share"
    assert lesion_mask({"boxes": [[0.1, 0.1, 0.3, 0.2]]}, 10, 10).tolist()[1] == [0, 2, 2, 0, 0, 0, 0, 0, 0, 0]
    tiny = lesion_mask({"boxes": [[0.52, 0.52, 0.54, 0.54]]}, 10, 10)
    assert np.argwhere(tiny).tolist() == [[5, 5]], "a lesion smaller than a pixel stays"
    assert not lesion_mask({"boxes": []}, 10, 10).any()


# What a model is told


def test_conditions_in_numbers_by_hand():
    known = told(mammograms(), attributes=["view"], continuous=["age"], lesions="boxes")
    ages = np.array([40 + i for i in range(40) if i % 4])
    mean, deviation = ages.mean(), ages.std()
    assert known.parts == [2, 2, 2, 1]
    rows = [
        {"label": "B", "attributes": {"view": "MLO", "age": "60"}, "boxes": [[0.1, 0.2, 0.4, 0.5]]},
        {"label": "A", "attributes": {"view": "CC"}, "boxes": []},
        {"label": "A"},
    ]
    assert known.encode(rows) == pytest.approx(
        np.array([[0, 1, 0, 1, (60 - mean) / deviation, 1, 1], [1, 0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0, 0]]), abs=1e-6
    ), "no lesion is known to be none; nothing said is not known"
    assert known.training[1] == {
        "label": "B",
        "attributes": {"view": "CC", "age": "41"},
        "group": 1,
        "boxes": [[0.1, 0.2, 0.4, 0.5]],
    }
    again = Conditioner.from_json(json.loads(json.dumps(known.to_json())))
    assert np.array_equal(again.encode(known.training), known.encode(known.training))


def test_a_model_of_one_label_without_attributes_is_told_nothing():
    assert told([{"label": "A"}] * 3).parts == []
    assert told([{"label": "A"}, {"label": "B"}]).parts == [2]


def test_lesions_of_masks_and_images_without_mask():
    masks = np.zeros((3, SIZE, SIZE), np.uint8)
    masks[0, 4:8, 4:8], masks[0, 10:, 10:] = 2, 1
    data = image_set([{"label": "A"}] * 3, masks)
    data = ImageSet(data.images, data.rows, masks=masks, has_mask=np.array([True, True, False]))
    known = Conditioner.learn(data, OPTIONS | {"lesions": "masks"})
    assert known.encode(known.training)[:, -1].tolist() == [1, 1, 0], "the third has no mask: not known"
    covered = known.covered(known.training, SIZE, SIZE)
    assert np.array_equal(covered[0], masks[0] == 2) and not covered[1:].any()


REFUSED = {
    "no such column": (
        {"attributes": ["density"]},
        "options.attributes: 'density' is no attribute of the training ima",
    ),
    "empty column": ({"attributes": ["nothing"]}, "options.attributes: 'nothing' is empty for all training images"),
    "no numbers": ({"continuous": ["view"]}, "options.continuous: could not convert string to float"),
    "no masks": ({"lesions": "masks"}, "options.lesions: masks, but the training images come without"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_training_images_lack_is_refused(case):
    options, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        told([row | {"nothing": ""} for row in mammograms()], **options)


def test_empty_boxes_and_masks_are_refused():
    for rows, message in ((mammograms(boxes=False), "come without"), (mammograms()[:1], "no training image has one")):
        with pytest.raises(UserError, match=f"options.lesions: boxes, .*{message}"):
            told(rows, lesions="boxes")
    for value, found in ((0, "nothing"), (1, "0, 1")):
        masks = np.zeros((4, SIZE, SIZE), np.uint8)
        masks[0, 0, 0] = value
        with pytest.raises(UserError, match=rf"masks hold no lesion \(value 2\), found {found}; mask_value"):
            told(mammograms(4), masks, lesions="masks")


ASKED = {
    "unknown value": ({"attributes": {"view": "XX"}}, "view 'XX': no training image has it, expected one of CC, MLO"),
    "unknown label": ({"label": "C"}, "label 'C': no training image has it, expected one of A, B"),
    "unknown attribute": (
        {"attributes": {"site": "1"}},
        "site: the model has not learnt of it, expected some of view,",
    ),
    "no number": ({"attributes": {"age": "old"}}, "age 'old' is no number"),
    "box outside": ({"boxes": [[0.5, 0.5, 1.2, 0.9]]}, "lesion at 0.5, 0.5, 1.2, 0.9, expected 0 <= x0 < x1 <= 1"),
    "box turned": ({"boxes": [[0.5, 0.5, 0.4, 0.9]]}, "lesion at 0.5, 0.5, 0.4, 0.9"),
    "outline": (
        {"outlines": [[[0.1, 0.1], [0.2, 0.2], [0.1, 0.3]]]},
        "outlines, but the model has learnt of no lesi",
    ),
}


@pytest.mark.parametrize("case", ASKED)
def test_a_condition_that_no_training_image_holds_is_refused(case):
    known = told(mammograms(), attributes=["view"], continuous=["age"], lesions="boxes")
    row, message = ASKED[case]
    with pytest.raises(UserError, match=f"^table: {message}"):
        known.check([{"label": "A", "attributes": {"view": "CC", "age": ""}}, {"label": "A", **row}], "table")


# Conditions of pools


def test_rare_combinations_lose_their_last_values():
    def rows(view, density, groups):
        return [{"attributes": {"view": view, "density": density}, "group": group} for group in groups]

    many, one_patient, few = rows("CC", "A", range(5)), rows("CC", "B", [9] * 20), rows("MLO", "A", range(3))
    found = frequent_tuples([*many, *one_patient, *few], ["view", "density"])
    assert found == {("CC", "A"): 5, ("CC", ""): 20, ("", ""): 3}, "twenty images of one patient are one patient's"
    assert frequent_tuples(many, []) == {(): 5}


def test_fresh_conditions_depend_on_seed_and_index_alone():
    known = told(mammograms(80), attributes=["view"], continuous=["age"], lesions="boxes")
    some, more = fresh(known, "B", 5, 3), fresh(known, "B", 9, 3)
    assert list(some.rows) == list(more.rows)[:5]
    assert list(some.rows) != list(fresh(known, "B", 5, 4).rows)
    known.check(more.rows, "fresh")
    assert json.loads(json.dumps(list(more.rows))) == list(more.rows)


def test_fresh_conditions_follow_the_training_images_of_the_label():
    known = told(mammograms(400), attributes=["view"], continuous=["age"], lesions="boxes")
    rows = fresh(known, "B", 600, 1).rows
    assert Counter(row["attributes"]["view"] for row in rows)["CC"] / 600 == pytest.approx(0.5, abs=0.06)
    assert sum(bool(row["boxes"]) for row in rows) / 600 == pytest.approx(0.5, abs=0.06)
    ages = [float(row["attributes"]["age"]) for row in rows]
    assert min(ages) >= 40 and max(ages) <= 440 and np.std(ages) == pytest.approx(400 / 12**0.5, rel=0.15)
    assert all(age.is_integer() for age in ages)
    unknown = [row for row in fresh(known, "A", 600, 1).rows if "age" not in row["attributes"]]
    assert len(unknown) / 600 == pytest.approx(0.5, abs=0.06), "as many as of the training images of A"
    assert not any(row["boxes"] for row in fresh(known, "A", 50, 1).rows), "A has no lesion"


@pytest.mark.parametrize("patients", [FEWEST - 1, FEWEST])
def test_lesions_of_too_few_patients_are_not_drawn(patients):
    rows = mammograms(80)
    lesions = [i for i, row in enumerate(rows) if row["boxes"] != "[]"]
    names = [f"p{lesions.index(i) % patients}" if i in lesions else f"q{i}" for i in range(80)]
    drawn = fresh(told(rows, patients=names, lesions="boxes"), "B", 100, 1).rows
    assert any(row["boxes"] for row in drawn) == (patients >= FEWEST)


def near(boxes, others, least=0.8):
    """Return the share of boxes that overlap one of the others by at least ``least`` (intersection over union)."""
    boxes, others = np.array(boxes)[:, None], np.array(others)
    low, high = np.maximum(boxes[..., :2], others[:, :2]), np.minimum(boxes[..., 2:], others[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [np.prod(one[..., 2:] - one[..., :2], axis=-1) for one in (boxes, others)]
    return (both / (areas[0] + areas[1] - both) >= least).any(axis=1).mean()


def test_no_training_box_is_replayed_more_often_than_chance():
    """Fresh boxes against the training boxes, and as many further boxes of patients: as often alike, over 40 draws."""

    def drawn(rng, n):
        middle, half = rng.normal((0.5, 0.4), 0.1, (n, 2)), np.exp(rng.normal(-2.2, 0.2, (n, 2)))
        return np.clip(np.hstack([middle - half, middle + half]), 0, 1)

    excess, replays = {0.8: [], 0.9: []}, []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        training, others = drawn(rng, 60), drawn(rng, 200)
        rows = [{"label": "A", "boxes": json.dumps([(box * SIZE).tolist()])} for box in training]
        known = told(rows, lesions="boxes")
        asked = [row["boxes"][0] for row in fresh(known, "A", 200, seed).rows]
        for least, found in excess.items():
            found.append(near(asked, training, least) - near(others, training, least))
        replays.append(near([row["boxes"][0] for row in replayed(known, "A", 60, seed).rows], training))
    for least, found in excess.items():
        mean, error = np.mean(found), np.std(found) / len(found) ** 0.5
        assert abs(mean) < 2.5 * error, f"at {least} {mean:.4f} more than chance, standard error {error:.4f}"
    assert min(replays) == 1, "what a replay looks like"


def test_the_density_has_the_mean_and_covariance_of_its_points():
    rng = np.random.default_rng(0)
    points = rng.multivariate_normal([1, 2], [[1, 0.8], [0.8, 2]], 500)
    density = Density(points)
    drawn = np.array([density.draw(rng) for _ in range(4000)])
    assert drawn.mean(axis=0) == pytest.approx(points.mean(axis=0), abs=0.1)
    assert np.cov(drawn, rowvar=False) == pytest.approx(np.cov(points, rowvar=False), rel=0.15)


def test_replayed_conditions_are_those_of_the_training_images():
    known = told(mammograms(), attributes=["view"], lesions="boxes")
    own = [json.dumps({k: v for k, v in row.items() if k != "group"}) for row in known.training if row["label"] == "B"]
    asked = [json.dumps(row) for row in replayed(known, "B", 40, 3).rows]
    assert Counter(asked[:20]) == Counter(asked[20:]) == Counter(own)


def test_fresh_outlines_vary_and_repeat_no_mask():
    rng = np.random.default_rng(0)
    masks = np.zeros((30, SIZE, SIZE), np.uint8)
    y, x = np.mgrid[:SIZE, :SIZE]
    for mask in masks:
        (cy, cx), (ry, rx) = rng.uniform(7, 13, 2), rng.uniform(2.5, 5, 2)
        mask[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1] = 2
    known = told([{"label": "A"}] * 30, masks, lesions="masks")
    rows = fresh(known, "A", 40, 1).rows
    known.check(rows, "fresh")
    drawn = np.array([lesion_mask(row, SIZE, SIZE) for row in rows])
    areas, own = ((found == 2).sum(axis=(1, 2)) for found in (drawn, masks))
    assert areas.mean() == pytest.approx(own.mean(), rel=0.25) and areas.std() > own.std() / 3
    assert not any((mask == drawn).all(axis=(1, 2)).any() for mask in masks)
    # A disc covers pi / 4 of its box.
    boxes = [np.prod(np.subtract(bounds(row["outlines"][0])[2:], bounds(row["outlines"][0])[:2])) for row in rows]
    assert np.median(areas / np.array(boxes) / SIZE**2) == pytest.approx(np.pi / 4, abs=0.08)


def test_the_oldest_patient_is_not_told():
    rows = [{"label": "A", "age": str(50 + i % 7)} for i in range(60)] + [{"label": "A", "age": "99"}] * 3
    patients = [f"p{i}" for i in range(60)] + ["old"] * 3
    ages = {
        float(row["attributes"]["age"])
        for row in fresh(told(rows, patients=patients, continuous=["age"]), "A", 300, 1).rows
    }
    assert max(ages) == 56 and min(ages) == 50
    few = told(rows[:9], continuous=["age"])
    assert not any("attributes" in row for row in fresh(few, "A", 50, 1).rows), "nine patients' ages are not told"


def test_no_single_age_is_drawn_again_and_again():
    ages = np.random.default_rng(0).normal(55, 12, 40).round(1)
    known = told([{"label": "A", "age": str(age)} for age in ages], continuous=["age"])
    drawn = Counter(row["attributes"]["age"] for row in fresh(known, "A", 1000, 1).rows)
    assert drawn.most_common(1)[0][1] < 15, "of some 300 values with one decimal"


def test_lesions_that_are_not_known_stay_so():
    """A third of the masks are not there: as many conditions say nothing; where there is none, none says anything."""
    masks = np.zeros((60, SIZE, SIZE), np.uint8)
    masks[:20, 4:9, 4:9] = 2
    rows = [{"label": "AB"[i >= 45]} for i in range(60)]
    data = ImageSet(image_set(rows).images, rows, masks=masks, has_mask=np.arange(60) < 30)
    known = Conditioner.learn(data, OPTIONS | {"lesions": "masks"})
    asked = fresh(known, "A", 300, 1).rows
    told_of = [row["outlines"] for row in asked if "outlines" in row]
    assert len(told_of) / 300 == pytest.approx(30 / 45, abs=0.08)
    assert sum(map(bool, told_of)) / len(told_of) == pytest.approx(20 / 30, abs=0.1)
    assert all("outlines" not in row for row in fresh(known, "B", 50, 1).rows)


def test_two_images_of_a_patient_do_not_excuse_a_replay():
    """Boxes that only images of the same patient share are drawn as rarely as if each were there once."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(1, 9, (30, 2))
    boxes = np.hstack([corners, corners + rng.uniform(4, 9, (30, 2))])
    rows = [{"label": "A", "boxes": json.dumps([box.tolist()])} for box in np.repeat(boxes, 2, axis=0)]
    known = told(rows, patients=[f"p{i // 2}" for i in range(60)], lesions="boxes")
    asked = [row["boxes"][0] for row in fresh(known, "A", 300, 1).rows]
    own = np.array([near(boxes[i : i + 1] / SIZE, np.delete(boxes, i, axis=0) / SIZE) for i in range(30)]).mean()
    assert near(asked, boxes / SIZE) <= own + 0.06


def test_outlines_that_overlap_cut_no_hole_into_each_other():
    square = [[0.2, 0.2], [0.6, 0.2], [0.6, 0.6], [0.2, 0.6]]
    other = [[x + 0.2, y + 0.2] for x, y in square]
    covered = cover({"outlines": [square, other]}, 10, 10)
    assert covered.sum() == 16 + 16 - 4 and covered.max() == 1
