"""Whether the label can be told from file facts: planted effects are named, and nothing is where there is none."""

import numpy as np
import pytest
from PIL import Image
from radsynth.data.facts import ALL, FACTS, _shuffled, border_facts, file_facts, told_by_facts


def drawn(rng: np.random.Generator) -> dict:
    """Return facts of an image that have nothing to do with anything."""
    width, height = (float(side) for side in rng.integers(100, 400, 2))
    return {
        "depth": ("8 bits",),
        "mode": (str(rng.choice(["L", "RGB"])), "x"),
        "size": (width, height),
        "aspect": (width / height,),
        "codec": (str(rng.choice(["JPEG|a", "JPEG|b", "PNG"])), ".png"),
        "border": tuple(map(float, rng.choice([0, 0, 0.1, 0.2], 4))),
        "name": (str(rng.choice(["img #", "x-#"])), float(rng.integers(3, 9))),
        "header": (str(rng.choice(list("abcdef"))),),
    }


def named(facts, labels, groups, seed=0) -> set[str]:
    return {row.fact for row in told_by_facts(facts, labels, groups, seed) if row.above_chance}


@pytest.mark.parametrize(
    ("per_label", "per_patient", "labels"), [(8, 1, "ab"), (30, 1, "ab"), (60, 3, "ab"), (30, 1, "abc")]
)
def test_independent_facts_are_named_in_hardly_any_dataset(per_label, per_patient, labels):
    """At most 5 % of datasets may name any: 40 draws pass 6 with a chance of 1.4 %."""
    false = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        groups = [f"{label}{i // per_patient}" for label in labels for i in range(per_label)]
        of_group = {group: drawn(rng) for group in dict.fromkeys(groups)}
        # Images of a patient share their facts: seen as single images, these would tell the label.
        false += bool(named([of_group[group] for group in groups], [group[0] for group in groups], groups, seed))
    assert false <= 5


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("depth", ("deep",)),
        ("mode", ("RGBA", "x")),
        ("size", (640.0, 480.0)),
        ("codec", ("GIF", ".gif")),
        ("border", (0.3, 0.0, 0.3, 0.0)),
        ("header", ("z",)),
    ],
)
def test_a_fact_that_most_of_one_class_show_is_named(fact, value):
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        labels = ["a"] * 40 + ["b"] * 40
        facts = [drawn(rng) for _ in labels]
        for i in range(28):
            facts[i][fact] = value
        rows = told_by_facts(facts, labels, [str(i) for i in range(80)], seed)
        found.append(fact in {row.fact for row in rows if row.above_chance})
        own = next(row for row in rows if row.fact == fact)
        assert 0.6 < own.auc < 0.9 and own.low < own.auc < own.high
    assert sum(found) >= 4


def test_a_fact_that_is_the_class_is_told_perfectly_and_few_images_say_nothing():
    rng = np.random.default_rng(1)
    labels = ["a"] * 8 + ["b"] * 8
    facts = [drawn(rng) | {"depth": ("deep" if label == "a" else "8 bits",)} for label in labels]
    rows = {row.fact: row for row in told_by_facts(facts, labels, [str(i) for i in range(16)], 1)}
    assert rows["depth"].auc == 1 and rows["depth"].above_chance and set(rows) == {*FACTS, ALL}
    assert told_by_facts(facts[4:], labels[4:], [str(i) for i in range(12)], 1) == []
    alike = [drawn(np.random.default_rng(1)) for _ in labels]
    assert told_by_facts(alike, labels, [str(i) for i in range(16)], 1) == [], "nothing to tell by"


def test_a_patients_images_are_never_on_both_sides():
    """Every patient has facts of his own: they tell who it is, and not the label of another."""
    rng = np.random.default_rng(2)
    labels = [label for label in "ab" for _ in range(60)]
    groups = [f"{label}{i // 6}" for i, label in enumerate(labels)]
    of_group = {group: float(rng.integers(100, 4000)) for group in dict.fromkeys(groups)}
    facts = [drawn(np.random.default_rng(0)) | {"size": (of_group[group], of_group[group])} for group in groups]
    told = {row.fact: row for row in told_by_facts(facts, labels, groups, 0)}
    alone = {row.fact: row for row in told_by_facts(facts, labels, [str(i) for i in range(120)], 0)}
    assert not told["size"].above_chance and alone["size"].auc > told["size"].auc


def test_facts_of_a_file(tmp_path):
    pixels = np.zeros((20, 10), np.uint8)
    pixels[5:18, 2:] = np.random.default_rng(0).integers(9, 255, (13, 8))
    assert border_facts(pixels) == (0.25, 0.1, 0.2, 0.0)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=90, dpi=(72, 72))
    Image.fromarray(pixels).save(tmp_path / "b.jpg", quality=50)
    facts = {}
    for file, name in [("a.jpg", "x/COVID-12.jpg"), ("b.jpg", "y/covid-7.jpg")]:
        with Image.open(tmp_path / file) as image:
            facts[file] = file_facts(image, name, ["COVID"])
    a, b = facts.values()
    assert a["size"] == (10.0, 20.0) and a["aspect"] == (0.5,) and a["depth"] == ("8 bits",)
    assert a["codec"] != b["codec"], "another quality"
    assert a["header"] != b["header"], "a resolution"
    assert a["name"][0] == b["name"][0] == "-#", "the class and the numbers are taken out"


def test_labels_are_shuffled_where_every_patient_has_several():
    """Each of 30 patients has two images of each class: chance is about .5, and seldom passed."""
    groups, labels = [str(i) for _ in "aabb" for i in range(30)], [label for label in "aabb" for _ in range(30)]
    false = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = told_by_facts([drawn(rng) for _ in labels], labels, groups, seed)
        assert all(0.5 < row.by_chance < 0.8 for row in rows)
        false += any(row.above_chance for row in rows)
    assert false <= 3


def test_a_patient_takes_the_labels_of_another_when_shuffled():
    y, group = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 0, 1, 1, 2, 2])
    rng = np.random.default_rng(0)
    drawn_labels = {tuple(sorted(map(tuple, np.sort(_shuffled(y, group, rng).reshape(3, 2))))) for _ in range(20)}
    assert drawn_labels == {((0, 0), (0, 1), (1, 1))}


def test_the_suffix_of_a_file_is_part_of_its_name_which_no_classifier_sees(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        one, other = (file_facts(image, name, []) for name in ("a.jpg", "a.JPEG"))
    assert {fact for fact in one if one[fact] != other[fact]} == {"name"}
