"""A task that is no classification: its metrics, their resamples, and verdicts in which less is better."""

import math

import numpy as np
import pandas as pd
import pytest
from radsynth.common.errors import UserError
from radsynth.common.registry import KINDS, Entry
from radsynth.report.arms import ABOVE, AGAINST_BASELINE, BELOW, HELPS, HURTS, Arms
from radsynth.report.correction import corrected_evaluations
from radsynth.report.evaluations import Evaluation
from radsynth.report.predictions import prediction_rows
from radsynth.report.statistics import compare, replicate_rows
from radsynth.report.tidy import headline_metrics, task_of
from radsynth.report.verdicts import verdict_rows
from radsynth.study.config import Study
from radsynth.tasks.classification import Classification
from throw_away import BrightSpots

LABELS = ["NORMAL", "PNEUMONIA"]
COHORT = ("phantom", "random", "small")
CONTROL = "matched_ddpm"
ARMS = Arms(
    {"baseline": {"real": True, "pools": {}}, "ddpm": {"real": True, "pools": {"ddpm": 9}}},
    {"small": {"ddpm": CONTROL}},
    samplings={"random": {"method": "random", "replicate": 1}},
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(KINDS["tasks"], "bright_spots", Entry("throw_away:BrightSpots"))


def evaluations(errors: dict[str, float], runs: int = 5, patients: int = 60) -> list[Evaluation]:
    """Return what arms with these mean errors say of two images of each patient."""
    rng, task = np.random.default_rng(0), BrightSpots(LABELS, LABELS[1])
    ids = [f"i{i}" for i in range(2 * patients)]
    test = pd.DataFrame({"image_id": ids, "label": np.array(LABELS)[np.arange(len(ids)) % 2]})
    test["patient_id"] = [f"p{i // 2}" for i in range(len(ids))]
    spots = rng.integers(0, 9, len(ids)).astype(float)
    found = []
    for run in range(1, runs + 1):
        for mix, error in errors.items():
            table = test.assign(
                spots=spots, found=spots + error * rng.choice([-1, 1], len(ids)) * rng.gamma(9, 1 / 9, len(ids))
            )
            report = task.metrics(table, {})
            found.append(Evaluation(COHORT, mix, "net", run, "test_1", report, table))
    return found


def test_resamples_have_the_metrics_of_their_images():
    (one,) = evaluations({"baseline": 1.0}, runs=1, patients=7)
    groups, counts = np.arange(14) // 2, np.vstack([np.ones(7), 1 - np.eye(7), np.zeros(7), [3, 0, 1, 0, 0, 2, 1]])
    found = one.task.resampled(one.predictions, one.report, groups, counts)
    assert set(found) == {"error"} == set(one.task.compared()) and one.task.thresholded() == ()
    for draw, weights in enumerate(counts.astype(int)):
        table = one.predictions.loc[np.repeat(np.arange(14), weights[groups])]
        report = one.task.metrics(table, {})
        assert report["reasons"] == (
            {} if len(table) else dict.fromkeys(("error", "bias"), "the test set has no image")
        )
        expected = report["metrics"]["error"]
        assert found["error"][draw] == pytest.approx(math.nan if expected is None else expected, nan_ok=True)


@pytest.mark.parametrize(("error", "side", "word"), [(1.5, BELOW, HELPS), (2.5, ABOVE, HURTS)])
def test_a_mix_with_smaller_errors_helps(error, side, word):
    """The differences lie beyond 1: no share's interval, which ends there, would hold them."""
    found = evaluations(
        {"baseline": 4.0 if word == HELPS else 1.0, "ddpm": error, CONTROL: 3.9 if word == HELPS else 1.1}
    )
    assert corrected_evaluations(found) == [] == prediction_rows(found)
    comparisons = compare(found, ARMS, 1)
    assert {row["metric"] for row in comparisons} == {"error"}
    (row,) = (row for row in comparisons if row["question"] == AGAINST_BASELINE)
    assert row["verdict"] == side and abs(row["difference"]) > 1.2
    assert row["ci_low"] < row["difference"] < row["ci_high"] and min(abs(row["ci_low"]), abs(row["ci_high"])) > 1
    cohorts = [dict(zip(("dataset", "sampling", "scenario"), COHORT, strict=True)) | {"subset": "train", "n_images": 9}]
    task = found[0].task
    (verdict,) = verdict_rows(comparisons, ARMS, cohorts, task)
    assert (verdict["verdict"], verdict["headline"], verdict["control"]) == (word, True, CONTROL)
    assert headline_metrics(task, pd.DataFrame(cohorts)) == {COHORT: "error"}
    assert replicate_rows(comparisons, ARMS, task) == []


def test_nothing_is_said_from_errors_that_never_differ():
    found = evaluations({"baseline": 1.0})
    same = [
        Evaluation(COHORT, mix, "net", e.run, "test_1", e.report, e.predictions) for mix in ARMS.mixes for e in found
    ]
    rows = [row for row in compare(same, ARMS, 1) if row["question"] == AGAINST_BASELINE]
    assert all("p_value" not in row and "same amount" in row["reason"] for row in rows) and rows


def test_the_task_of_a_study_is_asked_for_by_name():
    config = {
        "study": "mine",
        "labels": ["healthy", "ill"],
        "datasets": {"mine": {"source": "folder", "path": "images"}},
        "scenarios": {"small": {"train": {"healthy": 20, "ill": 10}}},
    }
    assert Study(config)["task"] == "classification"
    facts = Study(config | {"task": "bright_spots"}).facts()
    assert isinstance(task_of(facts), BrightSpots) and isinstance(task_of({}), Classification)
    with pytest.raises(UserError, match="task: unknown name 'tea', expected one of classification, bright_spots"):
        Study(config | {"task": "tea"})


def test_a_learner_must_be_able_to_learn_the_task(monkeypatch):
    from radsynth.tasks.keras_learner import CustomCNN

    config = {"study": "mine", "labels": ["a", "b"], "datasets": {"mine": {"source": "folder", "path": "images"}}}
    config |= {"scenarios": {"small": {"train": {"a": 20, "b": 10}}}, "task": "bright_spots"}
    Study(config)
    monkeypatch.setattr(CustomCNN, "losses", ("cross_entropy",))
    expected = (
        "classifiers.custom_cnn.architecture: custom_cnn learns by cross_entropy, expected squared_error, "
        "which task: bright_spots needs"
    )
    with pytest.raises(UserError, match=expected):
        Study(config)
