"""Attributes that were asked of a pool: planted effects and nulls, labels that explain them, patients, few images."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from radsynth.fidelity import asked_attributes, attribute_readers
from radsynth.fidelity.agreement import balanced_accuracy, expanded, rank_correlation
from radsynth.fidelity.asked_attributes import Side, attribute_row
from radsynth.fidelity.condition_verdicts import AS_REAL, EMPTY, LESS, MORE, NOT_TOLD

SEEDS, DRAWS = 240, 200
NO_POWER = "not told from chance on real images either"


@pytest.fixture
def quick(monkeypatch):
    """A reader without a search for its penalty: least squares, with classes weighted alike."""

    def fitted(features, values, groups, continuous, seed):
        x = np.column_stack([features, np.ones(len(features))])
        targets = values[:, None] if continuous else 2.0 * (values[:, None] == np.arange(values.max() + 1)) - 1
        weights = 1.0 if continuous else np.sqrt(1 / np.bincount(values)[values])[:, None]
        found = np.linalg.lstsq(x * weights, targets * weights, rcond=None)[0]

        def predict(other):
            scores = np.column_stack([other, np.ones(len(other))]) @ found
            return scores[:, 0] if continuous else scores.argmax(axis=1)

        return SimpleNamespace(predict=predict)

    monkeypatch.setattr(asked_attributes, "fitted", fitted)


def planted(random, n, effect, each=1, values=("CC", "MLO"), by_label=0.0, label_effect=0.0):
    """Return images of ``n`` / ``each`` patients of two labels; an attribute shifts a feature by ``effect``.

    ``by_label``: by how much the label changes how frequent the values are; ``label_effect``: what it shifts by itself.
    """
    patients = np.arange(n) // each
    label = random.integers(0, 2, n // each)[patients]
    chosen = (random.random(n // each)[patients] < 0.5 + by_label * (label - 0.5)).astype(int)
    features = random.normal(size=(n // each, 3))[patients] + (0.05 if each > 1 else 0) * random.normal(size=(n, 3))
    features[:, 0] += effect * chosen + label_effect * label
    return Side(features, np.array(values)[chosen], np.array(["A", "B"])[label], patients)


def numbers(random, n, effect):
    """Return images with an age, which shifts a feature."""
    age = random.integers(30, 80, n)
    features = random.normal(size=(n, 3))
    features[:, 0] += effect * (age - 55) / 15
    return Side(features, age.astype(str), np.full(n, "A"), np.arange(n))


def verdicts(make, seeds=SEEDS):
    """Return how often each verdict, or the reason why there is none, was given of (train, real, pool)."""
    rows = [attribute_row("view", *make(np.random.default_rng(seed)), seed=seed, draws=DRAWS) for seed in range(seeds)]
    return Counter(row["verdict"] or row["reason"] for row in rows), rows


def test_a_pool_that_heeds_nothing_seems_told_as_often_as_the_level_says(quick):
    found, _ = verdicts(lambda r: [planted(r, 80, 1.5), planted(r, 80, 1.5), planted(r, 100, 0)], 480)
    told = 480 - found[NOT_TOLD] - found[NO_POWER]
    # .029 over 1,500 seeds: below the level, since a share of so few images takes few values.
    assert found[NO_POWER] <= 3 and 0.01 * 480 <= told <= 0.06 * 480


def test_a_pool_that_heeds_its_label_alone_shows_no_attribute_that_goes_with_it(quick):
    """The same features tell the label, with which the attribute goes: that is chance, not the attribute."""

    def make(random):
        label_alone = {"by_label": 0.8, "label_effect": 2.0}
        reals = [planted(random, 200, 1.5, **label_alone) for _ in range(2)]
        return [*reals, planted(random, 150, 0, **label_alone)]

    found, rows = verdicts(make)
    told = SEEDS - found[NOT_TOLD] - found[NO_POWER]
    assert found[NO_POWER] <= 0.1 * SEEDS and told <= 0.07 * SEEDS  # .029 over 1,500 seeds
    assert np.mean([row["value"] for row in rows]) > 0.6, "far above a half"
    unlabelled = [
        [Side(side.features, side.values, np.zeros(len(side.values)), side.groups) for side in make(random)]
        for random in map(np.random.default_rng, range(30))
    ]
    blind = [attribute_row("view", *sides, seed=1, draws=DRAWS) for sides in unlabelled]
    assert sum(row["verdict"] not in ("", NOT_TOLD) for row in blind) > 25, "without the labels all would seem told"


def test_real_images_that_do_not_tell_an_attribute_give_no_power(quick):
    found, rows = verdicts(lambda r: [planted(r, 80, 0), planted(r, 80, 0), planted(r, 100, 2)])
    assert 0.93 * SEEDS <= found[NO_POWER] <= 0.995 * SEEDS  # .967 over 1,500 seeds
    assert all(row["value"] is not None and row["real"] is not None for row in rows), (
        "the numbers are told all the same"
    )
    only_label = [
        attribute_row(
            "view",
            *(planted(random, 200, 0, by_label=0.8, label_effect=2.0) for _ in range(3)),
            seed=seed,
            draws=DRAWS,
        )
        for seed, random in enumerate(map(np.random.default_rng, range(SEEDS)))
    ]
    assert sum(row["reason"] == NO_POWER for row in only_label) >= 0.95 * SEEDS, "told through the label alone"


def test_a_pool_like_real_images_is_told_as_well_and_others_less_or_more(quick):
    found, rows = verdicts(lambda r: [planted(r, 200, 1.5), planted(r, 200, 1.5), planted(r, 200, 1.5)])
    assert 0.9 * SEEDS <= found[AS_REAL] <= 0.985 * SEEDS and found[LESS] + found[MORE] == SEEDS - found[AS_REAL]
    inside = [row["difference_low"] < 0 < row["difference_high"] for row in rows]
    assert sum(inside) == found[AS_REAL] and abs(np.mean([row["ratio"] for row in rows]) - 1) < 0.05
    for effect, verdict in ((0.5, LESS), (3.5, MORE)):
        found, _ = verdicts(lambda r, e=effect: [*(planted(r, 200, 1.5) for _ in range(2)), planted(r, 200, e)], 40)
        assert found[verdict] >= 34, verdict


def test_images_of_a_patient_count_as_what_they_are(quick):
    """Five nearly equal images of each of 40 patients: with each for itself chance would often seem power."""

    def make(random, known=True):
        sides = [planted(random, n, 0, each) for n, each in ((200, 5), (200, 5), (100, 1))]
        return sides if known else [Side(s.features, s.values, s.strata, np.arange(len(s.values))) for s in sides]

    found, rows = verdicts(make)
    assert found[NO_POWER] >= 0.93 * SEEDS and {row["n_real_groups"] for row in rows} <= {40, None}
    found, _ = verdicts(lambda random: make(random, known=False))
    assert found[NO_POWER] < 0.85 * SEEDS


def test_numbers_are_ranked(quick):
    found, rows = verdicts(lambda r: [numbers(r, 100, 1), numbers(r, 100, 1), numbers(r, 100, 0)], 200)
    assert {row["measure"] for row in rows} == {"rank_correlation"}
    told = 200 - found[NOT_TOLD] - found[NO_POWER]
    assert 0.015 * 200 <= told <= 0.095 * 200
    found, rows = verdicts(lambda r: [numbers(r, 100, 1) for _ in range(3)], 60)
    assert found[AS_REAL] >= 50 and found[NOT_TOLD] == 0 and np.mean([row["value"] for row in rows]) > 0.5
    found, _ = verdicts(lambda r: [numbers(r, 100, 0), numbers(r, 100, 0), numbers(r, 100, 1)], 100)
    assert found[NO_POWER] >= 93


def test_one_row_with_the_reader_that_studies_use():
    random = np.random.default_rng(0)
    sides = [planted(random, n, 2, each) for n, each in ((120, 2), (120, 3), (150, 1))]
    found = attribute_row("view", *sides, seed=1)
    assert list(found) == list(EMPTY) and found == attribute_row("view", *sides, seed=1), "by the seed alone"
    assert found != attribute_row("view", *sides, seed=2) and json.dumps(found, allow_nan=False)
    assert (found["kind"], found["asked"], found["measure"]) == ("attribute", "view", "balanced_accuracy")
    assert (found["n"], found["n_train"], found["n_real"], found["n_real_groups"]) == (150, 120, 120, 40)
    assert found["verdict"] == AS_REAL and found["reason"] == "" and found["p_value"] == pytest.approx(1 / 1001)
    assert found["real_low"] < found["real"] < found["real_high"] and found["real_chance"] == pytest.approx(
        0.5, abs=0.02
    )
    assert found["chance_low"] < found["chance"] < found["chance_high"] < found["low"] < found["value"] < found["high"]


def test_too_few_images_and_unknown_attributes_say_so():
    random = np.random.default_rng(0)
    sides = [planted(random, 100, 2) for _ in range(3)]
    unknown = Side(sides[0].features, np.full(100, ""), sides[0].strata, sides[0].groups)
    for place, kind in ((0, "training"), (1, "held-out")):
        found = attribute_row("view", *[*sides[:place], unknown, *sides[place + 1 :]], seed=1)
        assert found["reason"] == f"no {kind} image tells it" and found["verdict"] == "" and found["value"] is None
    few = [side.where(np.arange(100) < 15) for side in sides]
    found = attribute_row("view", *few, seed=1)
    counts = [Counter(side.values) for side in few]
    assert found["reason"] == (
        "; ".join(
            f"{value} {a[value]} training patients, {b[value]} held-out patients, {c[value]} images of the pool"
            for value in ("CC", "MLO")
            for a, b, c in [counts]
        )
        + ": expected 10 of each of at least two values"
    )
    one_patient = Side(sides[1].features, sides[1].values, sides[1].strata, np.zeros(100, int))
    assert "1 held-out patients" in attribute_row("view", sides[0], one_patient, sides[2], seed=1)["reason"]
    ages = [numbers(random, n, 1) for n in (9, 40, 40)]
    assert attribute_row("age", *ages, seed=1)["reason"] == (
        "9 training patients, 40 held-out patients, 40 images of the pool: expected 10 of each"
    )


def test_what_was_not_asked_and_rare_values_are_left_out(quick):
    random = np.random.default_rng(0)
    train, real, pool = (planted(random, 100, 2) for _ in range(3))
    asked = pool.values.copy()
    asked[:20], asked[20:25] = "", "XCC"
    found = attribute_row("view", train, real, Side(pool.features, asked, pool.strata, pool.groups), seed=1)
    assert found["n"] == 75 and found["note"] == "without the values of which there are fewer than 10: XCC"
    assert found["verdict"] == AS_REAL


def test_images_that_all_read_alike_are_no_agreement(quick):
    random = np.random.default_rng(0)
    train, real, pool = (numbers(random, 60, 1) for _ in range(3))
    found = attribute_row("age", train, real, Side(np.zeros((60, 3)), *list(vars(pool).values())[1:]), seed=1)
    assert found["reason"] == "undefined: all pool's images read alike" and found["verdict"] == ""
    assert found["value"] is None and found["p_value"] is None and found["real"] > 0.4


@pytest.mark.parametrize(
    ("values", "continuous"),
    [
        ([str(k) for k in range(11)], True),
        ([str(k % 10) for k in range(50)], False),
        ([*map(str, range(20)), "old"], False),
        ([*map(str, range(20)), "nan"], False),
        (["1.5", *map(str, range(11))], True),
        (["CC", "MLO"], False),
    ],
)
def test_many_numbers_are_numbers_and_few_are_names(values, continuous):
    assert attribute_readers.is_continuous(values) == continuous


@pytest.mark.parametrize("continuous", [False, True])
def test_the_penalty_is_chosen_on_other_patients(continuous):
    """Patients are recognised by noise of their own: their other images must not choose how far to trust it."""
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(20), 5)
    features = random.normal(size=(20, 60))[patients] + 0.01 * random.normal(size=(100, 60))
    values = (random.normal(size=20) if continuous else np.arange(20) % 2)[patients]
    apart = attribute_readers.fitted(features, values, patients, continuous, 1)
    alone = attribute_readers.fitted(features, values, np.arange(100), continuous, 1)
    assert alone.best_score_ > (-0.01 if continuous else 0.95) and apart.best_score_ < (-0.5 if continuous else 0.8)
    again = attribute_readers.fitted(features, values, patients, continuous, 1)
    assert np.array_equal(again.predict(features), apart.predict(features))


def test_chance_is_the_mean_over_deals_within_labels():
    random = np.random.default_rng(3)
    label = random.integers(0, 3, 150)
    asked = np.where(label == 2, 0, random.integers(0, 4, 150) * (label + 1) % 4)
    read = np.where(random.random(150) < 0.3, asked, random.integers(0, 4, 150) * label % 4)
    read[:4] = range(4)
    found = balanced_accuracy(asked, read, label, np.arange(150), 1, 4000)
    expected = np.mean([np.mean(read[asked == k] == k) for k in range(4)])
    assert found.value == pytest.approx(expected) and found.dealt.mean() == pytest.approx(found.chance, abs=0.003)
    dealt = []
    for _ in range(500):
        order = np.arange(150)
        for name in range(3):
            order[label == name] = random.permutation(order[label == name])
        other = asked[order]
        dealt.append(np.mean([np.mean(read[other == k] == k) for k in range(4)]))
    assert np.mean(dealt) == pytest.approx(found.chance, abs=0.006)
    assert np.std(dealt) == pytest.approx(found.dealt.std(), rel=0.15)
    ranks = rank_correlation(asked.astype(float), read.astype(float), label, np.arange(150), 1, 4000)
    assert ranks.dealt.mean() == pytest.approx(ranks.chance, abs=0.006)


def test_rank_correlation_is_spearmans_also_in_draws():
    from scipy.stats import spearmanr

    random = np.random.default_rng(0)
    asked = random.integers(0, 12, 60).astype(float)
    read = asked + random.normal(0, 6, 60)
    found = rank_correlation(asked, read, np.zeros(60), np.arange(60), 1, 2000)
    assert found.value == pytest.approx(spearmanr(asked, read).statistic) and found.chance == pytest.approx(0)
    draws = []
    for _ in range(600):
        some = random.integers(0, 60, 60)
        draws.append(spearmanr(asked[some], read[some]).statistic)
    assert found.excess.std() == pytest.approx(np.std(draws), rel=0.1)
    assert found.excess.mean() == pytest.approx(np.mean(draws), abs=0.02)


def test_intervals_of_few_groups_are_wider():
    draws = np.random.default_rng(0).normal(size=4000)
    few, many = (expanded(draws, n) for n in (10, 1000))
    assert many == pytest.approx((-1.96, 1.96), abs=0.15) and few[1] - few[0] > 1.15 * (many[1] - many[0])
    assert np.isnan(expanded(draws, 1)).all() and np.isnan(expanded(np.array([1.0, np.nan]), 9)).all()
