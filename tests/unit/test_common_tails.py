"""The tail of small distances: its formula, its errors where nothing is hidden, and what it finds."""

import math

import numpy as np
import pytest
from radsynth.common.tails import LowerTail


def test_chances_by_hand():
    """Of 30 distances the 10 smallest make the tail; their mean excess below the eleventh is log 2."""
    tail = LowerTail.of(np.r_[np.full(10, 0.25), np.linspace(0.5, 1, 20)])
    assert (tail.n, tail.k, tail.limit) == (30, 10, 0.5) and tail.excess == pytest.approx(math.log(2))
    expected = 11 / 31 * (1 + math.log(0.5 / 0.1) / (10 * math.log(2))) ** -10
    np.testing.assert_allclose(tail.chances([0.6, 0.5, 0.1, 0.0]), [1, 11 / 31, expected, 0])
    assert tail.reach(expected) == pytest.approx(0.1)
    assert LowerTail(**tail.described()) == tail


@pytest.mark.parametrize(
    "distances",
    [np.linspace(0.1, 1, 9), np.r_[0.0, np.linspace(0.1, 1, 30)], np.full(40, 0.3)],
    ids=["few", "0", "equal"],
)
def test_there_is_no_tail_of_few_distances_or_where_they_are_0_or_equal(distances):
    assert LowerTail.of(distances) is None


@pytest.mark.parametrize("power", [3, 10, 40])
@pytest.mark.parametrize("n", [30, 100, 800])
def test_the_smallest_of_many_more_distances_is_rarely_called_a_copy(power, n):
    """Distances with P(< x) = x^power: in 400 repetitions with 16,000 new ones the nearest errs in at most 5 %."""
    generator, new, errors = np.random.default_rng(power + n), 16_000, 0
    for _ in range(400):
        tail = LowerTail.of(generator.random(n) ** (1 / power))
        smallest = generator.random(new).min() ** (1 / power)
        errors += tail.chances([smallest])[0] * new < 0.05
    assert errors <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)


def test_more_held_out_images_reach_further_until_no_number_does():
    tail = LowerTail(40, 13, 0.6, 0.08)
    chance, far = 1e-6, tail.reach(1e-6)
    assert tail.needed(far, chance) <= 60
    more = tail.needed(1.8 * far, chance)
    assert 40 < more < math.inf and tail.needed(0.59, chance) == math.inf


def test_the_number_that_is_said_to_be_needed_would_do():
    """Distances with P(< x) = x^12, told from 60 of them: with twice the number named most searches reach as far."""
    generator, chance, named, enough = np.random.default_rng(5), 1e-6, [], 0
    for _ in range(100):
        tail = LowerTail.of(generator.random(60) ** (1 / 12))
        named.append(tail.needed(0.22, chance))
    n = round(2 * np.median(named))
    for _ in range(100):
        enough += LowerTail.of(generator.random(n) ** (1 / 12)).reach(chance) >= 0.22
    assert 60 < np.median(named) < 2000 and enough > 50
