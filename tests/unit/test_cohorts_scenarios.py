"""Training and test sets: sizes, nestedness, disjointness and every refusal."""

import numpy as np
import pandas as pd
import pytest
from radsynth.cohorts.describing import describe_subset, images_per_patient
from radsynth.cohorts.groups import image_groups
from radsynth.cohorts.orders import farthest_first, random_order
from radsynth.cohorts.scenarios import build_cohort
from radsynth.common.errors import UserError

GATES = {"patient": True, "pixels": True, "near_duplicates": True}
SMALL = {"train": {"NORMAL": 200, "PNEUMONIA": 200}, "test": "rest"}
IMBALANCED = {
    "train": {"NORMAL": 1500, "PNEUMONIA": 200},
    "test": {"sets": 3, "counts": {"NORMAL": 300, "PNEUMONIA": 100}},
}
SPENT = {"NORMAL": 200, "PNEUMONIA": 200}


def make_manifest(n_normal, n_pneumonia, **columns):
    n = n_normal + n_pneumonia
    image_id = [f"i{i:05d}" for i in range(n)]
    table = {
        "image_id": image_id,
        "label": ["NORMAL"] * n_normal + ["PNEUMONIA"] * n_pneumonia,
        "patient_id": "",
        "sha256": [f"hash {i}" for i in image_id],
        "near_duplicate_group": "",
    }
    return pd.DataFrame(table | columns)


def make_orders(manifest, seed=0, method="random"):
    rng = np.random.default_rng(seed)
    duplicates = image_groups(manifest, GATES | {"patient": False})
    orders = {}
    for label in ("NORMAL", "PNEUMONIA"):
        rows = manifest[manifest["label"] == label]
        within = duplicates[rows["image_id"]].to_numpy()
        if method == "random":
            order = random_order(within, rng)
        else:
            order = farthest_first(rng.normal(size=(len(rows), 8)).astype(np.float32), 0, within)
        orders[label] = rows.iloc[order].assign(rank=range(len(rows)))
    return orders


def build(manifest, scenario, *, name="imbalanced", gates=GATES, spent=SPENT, seed=1, orders=None):
    orders = orders or make_orders(manifest)
    return build_cohort(orders, manifest, scenario, name=name, gates=gates, spent=spent, seed=seed)


def counts(table):
    return table["label"].value_counts().to_dict()


def ids(table, label=None):
    return set(table["image_id"] if label is None else table["image_id"][table["label"] == label])


@pytest.mark.parametrize("method", ["random", "k_center_greedy"])
def test_core_study_sizes_are_those_of_the_paper(method):
    manifest = make_manifest(1802, 1800)
    orders = make_orders(manifest, method=method)
    small = build(manifest, SMALL, orders=orders)
    assert counts(small.train) == {"NORMAL": 200, "PNEUMONIA": 200}
    assert [counts(test) for test in small.tests] == [{"NORMAL": 1602, "PNEUMONIA": 1600}]
    imbalanced = build(manifest, IMBALANCED, orders=orders)
    assert counts(imbalanced.train) == {"NORMAL": 1500, "PNEUMONIA": 200}
    assert [counts(test) for test in imbalanced.tests] == [{"NORMAL": 300, "PNEUMONIA": 100}] * 3
    assert imbalanced.available == {"NORMAL": 1802, "PNEUMONIA": 1800}
    assert imbalanced.left_out == {"NORMAL": 0, "PNEUMONIA": 0}
    assert not imbalanced.patient_safe  # no patient is known
    assert all(test["image_id"].is_unique for test in imbalanced.tests)
    assert len({frozenset(ids(test)) for test in imbalanced.tests}) == 3


@pytest.mark.parametrize("method", ["random", "k_center_greedy"])
@pytest.mark.parametrize("seed", range(3))
def test_imbalanced_scenario_survives_ten_pairs_of_near_duplicates(method, seed):
    """They come together; with the second image of a pair at the end, the 302 NORMAL left would not be 300 any more."""
    pairs = np.full(3602, "", dtype=object)
    chosen = np.random.default_rng(seed).choice(1802, 20, replace=False)
    pairs[chosen] = np.repeat([f"pair {i}" for i in range(10)], 2)
    manifest = make_manifest(1802, 1800, near_duplicate_group=pairs)
    cohort = build(manifest, IMBALANCED, orders=make_orders(manifest, seed, method=method))
    assert [counts(test) for test in cohort.tests] == [{"NORMAL": 300, "PNEUMONIA": 100}] * 3
    assert cohort.left_out["NORMAL"] <= 1, "a prefix can cut one group at most"


def test_scenarios_are_nested():
    manifest = make_manifest(1802, 1800)
    orders = make_orders(manifest)
    small, imbalanced = (build(manifest, scenario, orders=orders) for scenario in (SMALL, IMBALANCED))
    assert ids(small.train, "PNEUMONIA") == ids(imbalanced.train, "PNEUMONIA")
    assert ids(small.train, "NORMAL") < ids(imbalanced.train, "NORMAL")
    for test in (*small.tests, *imbalanced.tests):
        assert not ids(small.train) & ids(test)


def test_test_images_are_free_of_what_generators_learn_from():
    manifest = make_manifest(1802, 1800)
    orders = make_orders(manifest)
    spent = {"NORMAL": 1500, "PNEUMONIA": 200}
    small = build(manifest, SMALL, orders=orders, spent=spent)
    assert [counts(test) for test in small.tests] == [{"NORMAL": 302, "PNEUMONIA": 1600}]
    assert not ids(small.tests[0]) & set(orders["NORMAL"]["image_id"].head(1500))
    assert small.left_out == {"NORMAL": 0, "PNEUMONIA": 0}


@pytest.mark.parametrize("gates", [GATES, GATES | {"patient": False}, dict.fromkeys(GATES, False)])
def test_no_test_image_shares_what_a_gate_guards(gates):
    rng = np.random.default_rng(11)
    columns = {"patient": "patient_id", "pixels": "sha256", "near_duplicates": "near_duplicate_group"}
    crossings = 0
    for _ in range(25):
        n = int(rng.integers(60, 160))
        manifest = make_manifest(
            n // 2,
            n - n // 2,
            patient_id=[f"p{p}" if p else "" for p in rng.integers(n, size=n)],
            sha256=[f"h{h}" for h in rng.integers(3 * n, size=n)],
            near_duplicate_group=[f"d{d}" if d < 6 else "" for d in rng.integers(3 * n, size=n)],
        )
        spent = {"NORMAL": int(rng.integers(10)), "PNEUMONIA": int(rng.integers(10))}
        scenario = {"train": {"NORMAL": 8, "PNEUMONIA": 4}, "test": "rest"}
        orders = make_orders(manifest, int(rng.integers(100)))
        cohort = build(manifest, scenario, orders=orders, gates=gates, spent=spent)
        used = pd.concat(order.head(max(scenario["train"][k], spent[k])) for k, order in orders.items())
        assert not ids(used) & ids(cohort.tests[0])
        for gate, column in columns.items():
            shared = (set(used[column]) - {""}) & set(cohort.tests[0][column])
            if gates[gate]:
                assert not shared
            crossings += len(shared)
        for label in orders:
            tested = len(ids(cohort.tests[0], label))
            prefix = len(ids(used, label))
            assert prefix + tested + cohort.left_out[label] == cohort.available[label]
    # With a gate off, leaks do occur in these manifests, so the test is able to see them.
    assert (crossings > 0) == (not all(gates.values()))


def test_groups_are_connected_across_columns_and_classes():
    manifest = make_manifest(
        3,
        3,
        patient_id=["a", "a", "", "", "b", ""],
        sha256=["1", "2", "3", "2", "5", "6"],
        near_duplicate_group=["", "", "", "x", "x", ""],
    )
    groups = image_groups(manifest, GATES)
    # 0 and 1 by patient, 1 and 3 by pixels, 3 and 4 by near duplicates; 2 and 5 stand alone.
    assert groups.nunique() == 3
    assert groups.iloc[[0, 1, 3, 4]].nunique() == 1
    assert image_groups(manifest, GATES | {"pixels": False}).nunique() == 4
    assert image_groups(manifest, dict.fromkeys(GATES, False)).nunique() == 6


def test_a_patient_of_both_classes_stays_on_one_side():
    patients = [f"p{i}" for i in range(20)] + [f"p{i}" for i in range(10)] + [f"q{i}" for i in range(10)]
    manifest = make_manifest(20, 20, patient_id=patients)
    scenario = {"train": {"NORMAL": 10, "PNEUMONIA": 5}, "test": "rest"}
    cohort = build(manifest, scenario, spent={})
    assert not set(cohort.train["patient_id"]) & set(cohort.tests[0]["patient_id"])
    assert cohort.patient_safe
    assert sum(cohort.left_out.values()) > 0
    assert not build(manifest, scenario, spent={}, gates=GATES | {"patient": False}).patient_safe


def test_draws_depend_on_the_seed_alone():
    manifest = make_manifest(400, 300)
    scenario = {
        "train": {"NORMAL": 20, "PNEUMONIA": 10},
        "test": {"sets": 2, "counts": {"PNEUMONIA": 20, "NORMAL": 50}},
    }
    orders = make_orders(manifest)
    first, again, other = (build(manifest, scenario, orders=orders, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.tests, again.tests, other.tests, strict=True):
        pd.testing.assert_frame_equal(a, b)
        assert ids(a) != ids(c)
    more = build(manifest, scenario | {"test": scenario["test"] | {"sets": 3}}, orders=orders)
    assert [ids(test) for test in more.tests[:2]] == [ids(test) for test in first.tests]
    assert list(first.train.columns) == list(manifest.columns)


def test_describe_subset():
    manifest = make_manifest(3, 2, patient_id=["a", "a", "b", "c", ""])
    features = np.array([[0], [3], [9], [5], [7]], dtype=np.float32)
    distances = [pytest.approx(6.0), pytest.approx(2.0)]
    assert describe_subset(manifest, features, manifest, ["NORMAL", "PNEUMONIA"]) == {
        "NORMAL": {
            "n_images": 3,
            "n_patients": 2,
            "images_per_patient": pytest.approx((2 + 2 + 1) / 3),
            "mean_pairwise_distance": distances[0],
        },
        "PNEUMONIA": {
            "n_images": 2,
            "n_patients": None,
            "images_per_patient": None,
            "mean_pairwise_distance": distances[1],
        },
    }
    turned = describe_subset(manifest, features, manifest, ["PNEUMONIA", "OTHER", "NORMAL"])
    assert list(turned) == ["PNEUMONIA", "NORMAL"], "labels in the order of the study"
    alone = describe_subset(manifest.iloc[[0]], features[[0]], manifest, ["PNEUMONIA", "NORMAL"])["NORMAL"]
    assert alone["mean_pairwise_distance"] is None and alone["images_per_patient"] == 2, "those of the whole data set"
    assert images_per_patient(manifest.head(0), manifest) is None
    # A patient's images of the other class count, too.
    both = make_manifest(2, 2, patient_id=["a", "b", "a", "c"])
    assert images_per_patient(both[both["label"] == "NORMAL"], both) == 1.5


PAIRS = [f"d{i // 2}" for i in range(40)]
REFUSALS = {
    "too many for training": (
        {},
        {"train": {"NORMAL": 50, "PNEUMONIA": 5}, "test": "rest"},
        "scenarios.imbalanced.train.NORMAL: 50 images asked, 40 in the data set",
    ),
    "unknown class in training": (
        {},
        {"train": {"NORMAL": 5, "COVID": 5}, "test": "rest"},
        "scenarios.imbalanced.train.COVID: no such class, expected one of NORMAL, PNEUMONIA",
    ),
    "unknown class in test": (
        {},
        {"train": {"NORMAL": 5}, "test": {"sets": 1, "counts": {"COVID": 5}}},
        "scenarios.imbalanced.test.counts.COVID: no such class, expected one of NORMAL, PNEUMONIA",
    ),
    "too many for testing": (
        {"near_duplicate_group": PAIRS + [""] * 20},
        {"train": {"NORMAL": 9, "PNEUMONIA": 5}, "test": {"sets": 1, "counts": {"NORMAL": 31}}},
        "scenarios.imbalanced.test.counts.NORMAL: 31 images asked, 30 left of 40 (9 in training cohorts, "
        "1 left out because they share a group with a training image: gates.near_duplicates 1; ask for fewer training "
        "images, or switch off a gate whose images only look alike)",
    ),
    "nothing left": (
        {},
        {"train": {"NORMAL": 5, "PNEUMONIA": 20}, "test": "rest"},
        "scenarios.imbalanced.test: rest has no PNEUMONIA image: 0 left of 20 (20 in training cohorts, "
        "0 left out because they share a group with a training image)",
    ),
    "single patient": (
        {"patient_id": [f"p{i}" for i in range(40)] + ["one"] * 20},
        {"train": {"NORMAL": 5, "PNEUMONIA": 5}, "test": "rest"},
        "scenarios.imbalanced.train.PNEUMONIA: all 20 images of the class come from one patient (one), so none is "
        "left for testing (gates.patient); expected at least 2 patients, or that gate off",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_name_the_key_and_the_numbers(case):
    columns, scenario, message = REFUSALS[case]
    with pytest.raises(UserError) as error:
        build(make_manifest(40, 20, **columns), scenario, spent={})
    assert str(error.value) == message


def test_a_single_patient_is_no_obstacle_without_the_gate():
    manifest = make_manifest(40, 20, patient_id="one")
    scenario = {"train": {"NORMAL": 5, "PNEUMONIA": 5}, "test": "rest"}
    cohort = build(manifest, scenario, spent={}, gates=GATES | {"patient": False})
    assert counts(cohort.tests[0]) == {"NORMAL": 35, "PNEUMONIA": 15}
