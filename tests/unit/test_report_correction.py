"""Correction of probabilities for the shares of the labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radsynth.common.errors import UserError
from radsynth.report.correction import prior_corrected
from scipy.stats import norm

#: The same examples in every run.
STABLE = settings(derandomize=True, database=None)
SHARES = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda values: np.array(values) / sum(values))


def test_by_hand():
    """Odds 1 : 1 of training shares 7 : 1 and target shares 1 : 1 become 1 : 7."""
    found = prior_corrected(np.array([[0.5, 0.5], [0.875, 0.125]]), np.array([700, 100]), np.array([50, 50]))
    assert found == pytest.approx(np.array([[1 / 8, 7 / 8], [1 / 2, 1 / 2]]))


@STABLE
@given(SHARES, SHARES, SHARES, st.lists(SHARES, min_size=1, max_size=5))
def test_there_and_back_and_by_way_of_another(train, other, target, rows):
    rows = np.array(rows)
    direct = prior_corrected(rows, train, target)
    assert direct.sum(axis=1) == pytest.approx(1)
    assert prior_corrected(prior_corrected(rows, train, other), other, target) == pytest.approx(direct)
    assert prior_corrected(rows, train, train) == pytest.approx(rows)


def test_what_was_trained_on_other_shares_becomes_what_is_right_for_the_target():
    """Two normal distributions, whose posterior is known for any shares of the labels."""
    value = np.random.default_rng(0).normal(0.5, 1.5, 500)
    density = np.stack([norm.pdf(value, 0), norm.pdf(value, 1)], axis=1)

    def posterior(prior):
        return density * prior / (density @ np.array(prior))[:, None]

    assert prior_corrected(posterior([0.875, 0.125]), [0.875, 0.125], [0.25, 0.75]) == pytest.approx(
        posterior([0.25, 0.75])
    )


def test_the_order_of_the_images_is_kept():
    probability = np.random.default_rng(1).random(200)
    found = prior_corrected(np.stack([1 - probability, probability], axis=1), [7, 1], [1, 1])[:, 1]
    assert np.array_equal(np.argsort(found), np.argsort(probability))


@pytest.mark.filterwarnings("error")
def test_certainty_and_labels_that_the_target_lacks():
    certain = np.array([[1, 0], [0, 1]], np.float32)
    assert prior_corrected(certain, [7, 1], [1, 1]) == pytest.approx(certain)
    assert prior_corrected(certain, [7, 1], [0, 1]) == pytest.approx(np.array([[0, 1], [0, 1]]))
    assert prior_corrected(np.empty((0, 2)), [7, 1], [1, 1]).shape == (0, 2)


def test_a_label_without_training_images_is_refused():
    with pytest.raises(UserError, match=r"^mixes: training images per label \[3.0, 0.0\]"):
        prior_corrected(np.array([[0.5, 0.5]]), [3, 0], [1, 1])
