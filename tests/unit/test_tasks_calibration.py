"""Calibration against cases worked out by hand, planted faults, and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radsynth.tasks.calibration import brier, calibration_line, expected_calibration_error, squared_errors
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

#: The same examples in every run.
STABLE = settings(derandomize=True, database=None)
PROBABILITIES = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1, width=32)
IMAGES = st.lists(st.tuples(st.booleans(), PROBABILITIES), min_size=1, max_size=60)


def both(probability):
    return np.stack([1 - np.asarray(probability), probability], axis=1)


def planted(slope, intercept, n=200_000, seed=0):
    """Return outcomes and probabilities whose true logit is ``intercept + slope`` times the stated one."""
    rng = np.random.default_rng(seed)
    stated = rng.normal(0.3, 1.5, n)
    return rng.random(n) < expit(intercept + slope * stated), expit(stated).astype(np.float32)


def test_brier_by_hand():
    """Two labels: (.1^2 + .4^2 + .3^2) / 3. Three: the squares of all labels, .2^2 + .1^2 + .1^2 and 1 + 0 + 1."""
    assert brier(np.array([1, 1, 0]), both([0.9, 0.6, 0.3])) == pytest.approx((0.01 + 0.16 + 0.09) / 3)
    three = np.array([[0.8, 0.1, 0.1], [0.0, 0.0, 1.0]])
    assert brier(np.array([0, 0]), three) == pytest.approx((0.06 + 2) / 2)
    assert squared_errors(np.array([0, 0]), three) == pytest.approx([0.06, 2])


def test_brier_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    true, probabilities = rng.integers(0, 3, 300), rng.dirichlet(np.ones(3), 300)
    assert brier(true, probabilities) == pytest.approx(brier_score_loss(true, probabilities, scale_by_half=False))
    event, probability = rng.random(300) < 0.4, rng.random(300)
    assert brier(event.astype(int), both(probability)) == pytest.approx(brier_score_loss(event, probability))


def test_calibration_error_by_hand():
    """20 images in 10 bins of 2, of which two have .2 and one hit each; the other eight are right."""
    probability = np.array([0.0] * 8 + [0.2] * 4 + [1.0] * 8)
    event = np.array([0] * 8 + [1, 0, 1, 0] + [1] * 8)
    assert expected_calibration_error(event, probability) == pytest.approx(0.2 * 0.3)
    # Fewer images than bins: one each. |0.1 - 0|, |0.7 - 1|, |0.8 - 0|
    assert expected_calibration_error(np.array([1, 0, 0]), np.array([0.7, 0.1, 0.8])) == pytest.approx(1.2 / 3)
    # Eleven images: the first bin holds two and weighs as much as two.
    uneven = expected_calibration_error(np.array([0] * 2 + [1] * 9), np.array([0.1, 0.2] + [1.0] * 9))
    assert uneven == pytest.approx(0.3 / 11)
    # Errors of opposite sign cancel within a bin: 20 images, .5 and .6 beside each other.
    alternating = expected_calibration_error(np.array([1, 0] * 10), np.array([0.45, 0.55] * 10))
    assert alternating == pytest.approx(0.5 * abs(0.45 - 1) + 0.5 * 0.55)


def test_bins_hold_equally_many_images_not_equal_widths():
    """100 images between .9 and 1, of which equally wide bins would see one: over- and underconfident halves."""
    probability = 0.9 + 0.001 * np.arange(100)
    event = np.arange(100) < 50
    expected = (np.mean(1 - probability[:50]) + np.mean(probability[50:])) / 2
    assert expected_calibration_error(event, probability) == pytest.approx(expected)
    assert abs(event.mean() - probability.mean()) < expected - 0.05


@STABLE
@given(IMAGES, st.randoms(use_true_random=False))
def test_the_order_of_the_images_and_the_choice_of_the_event_do_not_matter(images, random):
    event, probability = (np.array(values) for values in zip(*images, strict=True))
    error = expected_calibration_error(event, probability)
    assert 0 <= error <= 1
    random.shuffle(images)
    shuffled = (np.array(values) for values in zip(*images, strict=True))
    assert expected_calibration_error(*shuffled) == pytest.approx(error)


def test_a_calibrated_classifier_has_little_error_and_a_shifted_one_its_shift():
    rng = np.random.default_rng(2)
    probability = rng.uniform(0.1, 0.7, 100_000)
    event = rng.random(100_000) < probability
    assert expected_calibration_error(event, probability) < 0.01
    assert expected_calibration_error(event, probability + 0.2) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.5, 0), (2, 0), (-0.3, 0)])
def test_planted_slopes_are_recovered(slope, intercept):
    assert calibration_line(*planted(slope, intercept))["calibration_slope"] == pytest.approx(slope, abs=0.03)


@pytest.mark.parametrize("intercept", [-2.0, 0.0, 0.7])
def test_planted_shifts_are_recovered_and_leave_the_slope_alone(intercept):
    found = calibration_line(*planted(1, intercept))
    assert found["calibration_intercept"] == pytest.approx(intercept, abs=0.03)
    assert found["calibration_slope"] == pytest.approx(1, abs=0.03)


def test_the_intercept_by_hand():
    """All probabilities .5 and three of four events: logit(3 / 4); the slope of a constant is not defined."""
    found = calibration_line(np.array([1, 1, 1, 0]), np.full(4, 0.5))
    assert found["calibration_intercept"] == pytest.approx(math.log(3))
    assert isinstance(found["calibration_slope"], str)


def test_the_slope_by_hand():
    """Of those at .2, one of four is an event, of those at .8 three of four: log 3 over log 4."""
    found = calibration_line(np.array([1, 0, 0, 0, 1, 1, 1, 0]), np.array([0.2] * 4 + [0.8] * 4))
    assert found["calibration_slope"] == pytest.approx(math.log(3) / math.log(4))
    assert found["calibration_intercept"] == pytest.approx(0)


@pytest.mark.parametrize("spread", [0.01, 1, 20])
def test_the_slope_is_that_of_scikit_learn(spread):
    rng = np.random.default_rng(3)
    stated = rng.normal(0, spread, 150)
    event, probability = rng.random(150) < expit(0.4 * stated / spread - 0.5), expit(stated).astype(np.float32)
    used = logit(np.clip(probability.astype(float), 1e-6, 1 - 1e-6))
    peer = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky").fit(used[:, None] / used.std(), event)
    expected = peer.coef_[0, 0] / used.std()
    assert calibration_line(event, probability)["calibration_slope"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("event", "probability"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]),
        ([0, 0, 1, 1], [0.1, 0.5, 0.5, 0.9]),  # a tie at the threshold
        ([0, 1, 1], [1 - 5e-7, 1 - 2e-7, 1.0]),  # equal once they are kept away from 1
    ],
)
def test_separated_labels_have_no_slope_but_a_reason(event, probability):
    found = calibration_line(np.array(event), np.array(probability))
    assert "separates" in found["calibration_slope"]
    assert math.isfinite(found["calibration_intercept"])


@pytest.mark.parametrize("event", [True, False])
def test_a_single_label_has_neither(event):
    found = calibration_line(np.full(5, event), np.linspace(0, 1, 5))
    assert set(found.values()) == {"only one of the two labels occurs in the test set"}


@STABLE
@given(IMAGES)
@pytest.mark.filterwarnings("error")
def test_any_probabilities_give_numbers_or_reasons(images):
    """Also those of saturated networks, exactly 0 or 1 in single precision; the numbers solve their equations."""
    event, probability = (np.array(values) for values in zip(*images, strict=True))
    probability = probability.astype(np.float32)
    found = calibration_line(event, probability)
    used = logit(np.clip(probability.astype(float), 1e-6, 1 - 1e-6))
    if not isinstance(found["calibration_intercept"], str):
        assert expit(used + found["calibration_intercept"]).sum() == pytest.approx(event.sum(), abs=1e-6)
    if not isinstance(found["calibration_slope"], str):
        assert math.isfinite(found["calibration_slope"])
        # The residuals of the regression, and their products with the logits, sum to zero.
        line, room = found["calibration_slope"] * used, 60 + abs(found["calibration_slope"] * used).max()
        shift = brentq(lambda shift: (expit(line + shift) - event).sum(), -room, room)
        assert (expit(line + shift) - event) @ (used / used.std()) == pytest.approx(0, abs=1e-4)
