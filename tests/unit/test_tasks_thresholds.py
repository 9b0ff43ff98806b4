"""Thresholds for 95 % specificity: what they allow, and that they survive the table of predictions."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radsynth.tasks.thresholds import choose_threshold, is_called

#: The same examples in every run.
STABLE = settings(derandomize=True, database=None)
# Few distinct values, so that there are ties, and those that saturated networks give.
SCORES = st.sampled_from([0.0, 1e-7, 0.1, 0.3, 0.5, 0.7, 1 - 1e-7, 1.0]) | st.floats(0, 1, width=32)


def negatives_only(score):
    return choose_threshold(np.zeros(len(score), bool), np.array(score))


@STABLE
@given(st.lists(st.tuples(st.booleans(), SCORES), min_size=20, max_size=90))
def test_at_most_one_negative_in_twenty_is_called_and_no_smaller_threshold_does_so(images):
    positive, score = np.array([own for own, _ in images]), np.array([value for _, value in images], np.float32)
    threshold, reason = choose_threshold(positive, score)
    negatives = score[~positive]
    if len(negatives) < 20:
        assert threshold is None and f"{len(negatives)} validation image" in reason
        return
    assert reason == ""
    assert is_called(negatives, threshold).mean() <= 0.05
    smaller = float(np.nextafter(np.float32(threshold), np.float32(-1)))
    assert is_called(negatives, smaller).mean() > 0.05


def test_thresholds_by_hand():
    """Of 20 negatives one may be called, of 39 one, of 40 two: the threshold is just above the next of them."""
    rising = [k / 64 for k in range(40)]
    for n, highest_not_called in ((20, 18), (39, 37), (40, 37)):
        threshold, reason = negatives_only(rising[:n])
        assert threshold == np.nextafter(np.float32(highest_not_called / 64), np.float32(1)) and reason == ""
    assert negatives_only(rising[:19]) == (
        None,
        "19 validation images outside the positive label, a threshold for 95 % specificity needs at least 20",
    )
    assert negatives_only([])[1].startswith("0 validation images ")
    assert negatives_only([0.5])[1].startswith("1 validation image outside")


def test_positives_do_not_move_the_threshold():
    score = np.linspace(0, 0.9, 30)
    alone = negatives_only(score)
    more = np.append(score, [0.95, 0.99, 0.2])
    assert choose_threshold(np.arange(33) >= 30, more) == alone


def test_where_the_negatives_are_certain_of_the_wrong_label_nothing_is_called():
    threshold, _ = negatives_only([1.0, 1.0, *[0.1] * 18])
    assert threshold > 1 and not is_called(np.array([1.0]), threshold).any()


def test_predictions_read_back_from_their_table_are_called_alike():
    """As text, a number of single precision is not the same in double precision; at the threshold that would count."""
    score = np.random.default_rng(0).random(2000).astype(np.float32)
    read = pd.read_csv(io.StringIO(pd.DataFrame({"p": score}).to_csv(index=False)))["p"].to_numpy()
    assert (read != score).mean() > 0.9
    for threshold in score[:200].tolist():
        assert np.array_equal(is_called(score, threshold), is_called(read, threshold))


def test_of_new_negatives_somewhat_more_are_called_than_of_the_old_ones():
    """(k + 1) / (n + 1), as the documentation says: 2 / 21 with 20 negatives, 6 / 101 with 100."""
    rng = np.random.default_rng(0)
    for n, expected in ((20, 2 / 21), (100, 6 / 101)):
        called = [1 - negatives_only(rng.random(n))[0] for _ in range(2000)]
        assert np.mean(called) == pytest.approx(expected, abs=0.005)
