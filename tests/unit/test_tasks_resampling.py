"""The metrics under resampled patients are those of the evaluation on tables in which images are repeated."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radsynth.tasks.classification import Classification, evaluate, predictions_table
from radsynth.tasks.resampling import resampled_metrics

#: The same examples in every run.
STABLE = settings(derandomize=True, database=None, deadline=None)
LABELS = ["a", "b", "c"]
METRICS = Classification(LABELS, "b").compared()


def both(score):
    return np.stack([1 - np.asarray(score), score], axis=1)


def evaluated(true, scores, positive, threshold, chosen=slice(None)):
    """Return METRICS as ``evaluate`` gives them for the chosen images, NaN where undefined."""
    labels = LABELS[: scores.shape[1]]
    images = pd.DataFrame({"image_id": "", "label": np.array(labels)[true], "patient_id": ""}, index=range(len(true)))
    table = predictions_table(images, scores, labels).iloc[chosen].reset_index(drop=True)
    metrics = evaluate(table, labels, labels[positive], threshold)["metrics"]
    return {name: np.nan if metrics[name] is None else metrics[name] for name in METRICS}


@st.composite
def resamples(draw):
    """A test set of few patients and images, so that labels go missing, with ties, and some resamples of it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_labels, n_groups, n = draw(st.sampled_from([2, 2, 3])), draw(st.integers(1, 8)), draw(st.integers(1, 60))
    true, groups = rng.integers(0, n_labels, n), rng.integers(0, n_groups, n)
    scores = np.round(rng.dirichlet(np.ones(n_labels), n) + 0.3 * np.eye(n_labels)[true], draw(st.integers(1, 3)))
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    counts = np.vstack([np.ones(n_groups), 1 - np.eye(n_groups), rng.multinomial(n_groups, [1 / n_groups] * n_groups)])
    threshold = draw(st.sampled_from([None, 0.5, float(scores[0, -1])]))
    return true, scores, draw(st.integers(0, n_labels - 1)), groups, counts, threshold


@STABLE
@given(resamples())
def test_each_resample_has_the_metrics_of_its_images(resample):
    true, scores, positive, groups, counts, threshold = resample
    found = resampled_metrics(true, scores.argmax(axis=1), scores.astype(float), positive, groups, counts, threshold)
    assert tuple(found) == METRICS
    for draw, weights in enumerate(counts[:, groups].astype(int)):
        expected = evaluated(true, scores, positive, threshold, np.repeat(np.arange(len(true)), weights))
        assert {name: found[name][draw] for name in METRICS} == pytest.approx(expected, nan_ok=True)


def test_leaving_out_each_of_many_patients():
    rng = np.random.default_rng(3)
    true, groups = rng.integers(0, 2, 300), rng.integers(0, 40, 300)
    scores = both(np.round(np.clip(rng.normal(0.35 + 0.3 * true, 0.25), 0, 1), 2)).astype(np.float32)
    found = resampled_metrics(true, scores.argmax(axis=1), scores, 1, groups, 1 - np.eye(40), 0.7)
    for left_out in range(40):
        expected = evaluated(true, scores, 1, 0.7, groups != left_out)
        assert {name: found[name][left_out] for name in METRICS} == pytest.approx(expected)


def test_one_false_alarm_of_twenty_is_allowed_and_one_of_nineteen_is_not():
    """Positives .9, .6; one negative at .7, the others at .3: weights 1 or, without one of the others, 0."""
    true, score = np.array([1, 1, *[0] * 20]), np.array([0.9, 0.6, 0.7, *[0.3] * 19])
    counts = np.ones((2, 22))
    counts[1, -1] = 0
    found = resampled_metrics(true, (score > 0.5).astype(int), both(score), 1, np.arange(22), counts, 0.8)
    assert found["sensitivity_at_95_specificity_on_test"].tolist() == [1, 0.5]
    assert found["sensitivity_at_95_specificity"].tolist() == [0.5, 0.5]


def test_resampling_in_blocks_changes_nothing(monkeypatch):
    rng = np.random.default_rng(4)
    true, score = rng.integers(0, 2, 60), rng.random(60)
    counts = rng.multinomial(60, np.full(60, 1 / 60), size=11)
    arguments = true, (score > 0.5).astype(int), both(score), 1, np.arange(60), counts, 0.5
    whole = resampled_metrics(*arguments)
    monkeypatch.setattr("radsynth.tasks.resampling.BLOCK", 200)
    parts = resampled_metrics(*arguments)
    assert all(np.array_equal(whole[name], parts[name]) for name in METRICS)


@pytest.mark.filterwarnings("error")
def test_a_test_set_without_images_has_no_metrics():
    """It may stand beside others, whose patients are drawn."""
    none = np.zeros(0, int)
    found = resampled_metrics(none, none, np.empty((0, 2)), 1, none, np.ones((3, 5)), 0.5)
    assert all(found[name].shape == (3,) and np.isnan(found[name]).all() for name in METRICS)
