"""Validation by patients: how many, whole, and the same in every scenario of a sampling."""

import numpy as np
import pandas as pd
import pytest
from radsynth.cohorts.groups import image_groups
from radsynth.cohorts.held_back import held_back_by_image, held_back_by_patients
from radsynth.cohorts.orders import farthest_first, random_order
from radsynth.cohorts.scenarios import build_cohort
from radsynth.cohorts.validation import validation_images
from radsynth.common.errors import UserError
from radsynth.common.tables import read_table
from radsynth.tasks import mixes

GATES = {"patient": True, "pixels": True, "near_duplicates": True}
# Patients with 1, 3, 8 and 30 images.
SIZES = np.repeat([1, 3, 8, 30], [200, 60, 30, 5])


def make_manifest(labels, patients, **columns):
    ids = [f"i{i:05d}" for i in range(len(patients))]
    table = {"image_id": ids, "label": labels, "patient_id": patients, "sha256": ids, "near_duplicate_group": ""}
    return pd.DataFrame(table | columns)


@pytest.fixture(scope="module")
def unequal():
    """Two classes of very unequal patients, some of whom have images in both, and some near duplicates."""
    patients = np.repeat([f"p{i}" for i in range(len(SIZES))], SIZES)
    rng = np.random.default_rng(4)
    labels = rng.choice(["A", "B"], len(patients), p=[0.7, 0.3])
    pairs = np.full(len(patients), "", dtype=object)
    pairs[rng.choice(len(patients), 40, replace=False)] = np.repeat([f"d{i}" for i in range(20)], 2)
    return make_manifest(labels, patients, near_duplicate_group=pairs)


def make_orders(manifest, seed, method="random"):
    rng, orders = np.random.default_rng(seed), {}
    for label in sorted(set(manifest["label"])):
        rows = manifest[manifest["label"] == label]
        if method == "random":
            order = random_order(np.arange(len(rows)), rng)
        else:
            order = farthest_first(rng.normal(size=(len(rows), 4)).astype(np.float32), 0)
        orders[label] = rows.iloc[order]
    return orders


def build(manifest, orders, train, gates=GATES, spent=None, fraction=0.2, test="rest"):
    scenario = {"train": train, "test": test}
    return build_cohort(
        *(orders, manifest, scenario),
        name="small",
        gates=gates,
        spent=spent or {},
        seed=1,
        validation_fraction=fraction,
    )


@pytest.mark.parametrize("method", ["random", "k_center_greedy"])
@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_every_prefix_holds_about_the_fraction(unequal, method, fraction):
    shares = []
    for seed in range(10):
        orders = make_orders(unequal, seed, method)
        held_back = validation_images(orders, unequal, GATES, fraction)
        for order in orders.values():
            found = order["image_id"].isin(held_back).to_numpy().cumsum()
            length = np.arange(1, len(order) + 1)
            wanted = fraction * length
            # The images of a patient who has been held back come when they come; one patient has up to 4 % of them.
            assert (abs(found - wanted) <= 1.5 + 0.06 * length).all()
            shares.append(found[-1] / len(order))
    assert np.mean(shares) == pytest.approx(fraction, abs=0.02)


def test_about_the_fraction_of_real_patients_is_held_back_and_they_are_not_unusual(shared_data):
    table = read_table(shared_data / "kermany_cxr_224" / "manifest.csv")
    manifest = make_manifest(table["label"].to_numpy(), table["patient_id"].to_numpy(), sha256=table["sha256_pixels"])
    sizes = manifest.set_index("image_id")["patient_id"].map(manifest["patient_id"].value_counts())
    rows = []
    for seed in range(100):
        orders = make_orders(manifest, seed)
        held_back = validation_images(orders, manifest, GATES, 0.2)
        for label, order in orders.items():
            prefix = order["image_id"].head(200)
            parts = prefix[prefix.isin(held_back)], prefix[~prefix.isin(held_back)]
            rows.append((label, len(parts[0]), *(sizes[part].mean() for part in parts)))
    table = pd.DataFrame(rows, columns=["label", "n", "validation", "train"]).groupby("label")
    assert table["n"].min().min() >= 36 and table["n"].max().max() <= 44
    for label, row in table.mean().iterrows():
        expected = sizes[manifest.loc[manifest["label"] == label, "image_id"]].mean()
        assert row["validation"] == pytest.approx(expected, rel=0.05) and row["train"] == pytest.approx(
            expected, rel=0.05
        )


@pytest.mark.parametrize("gates", [GATES, dict.fromkeys(GATES, False)])
def test_groups_are_held_back_whole_and_patients_even_without_their_gate(unequal, gates):
    orders = make_orders(unequal, 3)
    held_back = unequal["image_id"].isin(validation_images(orders, unequal, gates, 0.2))
    assert not set(unequal["patient_id"][held_back]) & set(unequal["patient_id"][~held_back])
    assert set(unequal["label"][held_back]) == {"A", "B"}
    separated = set(unequal["near_duplicate_group"][held_back]) & set(unequal["near_duplicate_group"][~held_back])
    assert bool(separated - {""}) != gates["near_duplicates"]


def test_what_comes_later_changes_nothing(unequal):
    orders = make_orders(unequal, 5)
    whole = validation_images(orders, unequal, GATES, 0.2)
    for n in (5, 40, 90):
        prefixes = {label: order.head(n) for label, order in orders.items()}
        images = set(pd.concat(prefixes.values())["image_id"])
        assert validation_images(prefixes, unequal, GATES, 0.2) == whole & images


@pytest.mark.parametrize("gates", [GATES, GATES | {"patient": False}])
def test_no_scenario_learns_from_a_validation_image_of_another(unequal, gates):
    orders = make_orders(unequal, 6)
    spent = {"A": 100, "B": 40}
    trains = [{"A": 40, "B": 40}, {"A": 100, "B": 40}, {"A": 250, "B": 15}]
    cohorts = [build(unequal, orders, train, gates, spent) for train in trains]
    learnt = pd.concat(cohort.train for cohort in cohorts)
    validated = pd.concat(cohort.validation for cohort in cohorts)
    assert not set(learnt["patient_id"]) & set(validated["patient_id"])
    groups = image_groups(unequal, gates)
    for train, cohort in zip(trains, cohorts, strict=True):
        both = pd.concat([cohort.train, cohort.validation])
        assert both["label"].value_counts().to_dict() == train, "the scenario counts both"
        assert set(both["image_id"]) == {i for label, n in train.items() for i in orders[label]["image_id"].head(n)}
        assert list(cohort.validation.columns) == list(cohort.train.columns) == list(unequal.columns)
        tested = groups[cohort.tests[0]["image_id"]]
        assert not set(tested) & set(groups[both["image_id"]])
        prefix = {i for label, n in spent.items() for i in orders[label]["image_id"].head(n)}
        assert not set(tested) & set(groups[list(prefix)]), "nor what the generators' cohorts hold back"


def test_without_it_all_images_are_there_to_learn_from(unequal):
    orders = make_orders(unequal, 7)
    cohort = build(unequal, orders, {"A": 40, "B": 20}, fraction=None)
    assert len(cohort.train) == 60 and cohort.validation.empty
    assert list(cohort.validation.columns) == list(unequal.columns)
    held_back = build(unequal, orders, {"A": 40, "B": 20})
    assert [test["image_id"].tolist() for test in cohort.tests] == [t["image_id"].tolist() for t in held_back.tests]


def test_too_few_images_of_a_label_are_one_line_that_names_the_key():
    manifest = make_manifest(["A"] * 40 + ["B"] * 10, [f"p{i}" for i in range(50)])
    with pytest.raises(UserError) as error:
        build(manifest, make_orders(manifest, 0), {"A": 20, "B": 2})
    assert str(error.value) == (
        "scenarios.small.train.B: of 2 images validation_fraction 0.2 (validation: patients) holds back 0, whole "
        "patients, and leaves 2 to learn from, expected at least 1 held back and 2 left: ask for more images, or "
        "validation: none"
    )
    cohort = build(manifest, make_orders(manifest, 0), {"A": 20, "B": 3})
    assert cohort.validation["label"].value_counts().to_dict() == {"A": 4, "B": 1}
    of_one = manifest.assign(patient_id=["q"] * 45 + ["p"] * 5)
    with pytest.raises(UserError, match=r"^scenarios.small.train.[AB]: of \d+ images validation_fraction 0.2 "):
        build(of_one, make_orders(of_one, 0), {"A": 20, "B": 3}, dict.fromkeys(GATES, False))


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.3, 0.5, 0.75])
def test_as_many_are_held_back_as_the_plan_takes_for_granted(fraction):
    """What is refused when planned must be what would fail: the numbers are those of the walk and of the draw."""
    for n in range(1, 30):
        manifest = make_manifest(["A"] * n + ["B"] * n, [f"p{i}" for i in range(2 * n)])
        held_back = validation_images(make_orders(manifest, n), manifest, GATES, fraction)
        counts = manifest["label"][manifest["image_id"].isin(held_back)].value_counts()
        assert set(counts.reindex(["A", "B"], fill_value=0)) == {held_back_by_patients(n, fraction)}
        drawn = mixes.validation_images(manifest, fraction, n)["label"].value_counts()
        assert drawn.to_dict() == dict.fromkeys("AB", held_back_by_image(n, fraction))
