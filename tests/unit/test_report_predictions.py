"""What the archive keeps of single images: enough to decide again, and nothing that names one."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import report_planted as planted
from radsynth.report.chapter import read_metrics
from radsynth.report.predictions import read_predictions, renumbered
from radsynth.report.recheck import disagreements
from report_planted import COLUMNS

PLAN = planted.FULL | {
    "classifiers": {"custom_cnn": 0.9},
    "scenarios": {"small": [120], "imbalanced": [60, 60]},
    "experts": ["custom_cnn"],
    "runs": 4,
}


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """A study with planted effects, two samplings, an external test set and pools that are judged."""
    return planted.metrics(tmp_path_factory.mktemp("predictions"), PLAN)


def test_verdicts_are_made_again_from_the_predictions(metrics):
    count, lines = disagreements(metrics)
    assert count > 200 and lines == []


def test_other_predictions_give_other_verdicts(metrics):
    """Broken on purpose: with the predictions of two mixes exchanged the numbers do not come out again."""
    table = metrics["predictions"].copy()
    ours, theirs = (table["mix"] == name for name in ("baseline", "ddpm"))
    table.loc[ours, "probabilities"], table.loc[theirs, "probabilities"] = (
        table.loc[theirs, "probabilities"].to_numpy(),
        table.loc[ours, "probabilities"].to_numpy(),
    )
    count, lines = disagreements(metrics | {"predictions": table})
    assert len(lines) > count / 4


def test_numbers_name_no_image_and_no_patient(metrics):
    """Images and patients are 1 to n, in an order that is not that of the data; one number per image in all tests."""
    images = metrics["test_images"]
    for column in ("image_id", "patient_id"):
        numbers = images.loc[images[column] != "", column].astype(int)
        assert set(numbers) <= set(range(1, 1 + len(images)))
    (_, one), *_ = images.groupby(["dataset", "sampling", "scenario", "testset"], sort=False)
    assert one["image_id"].astype(int).is_monotonic_increasing and one["label"].ne(one["label"].shift()).sum() > 10


def test_renumbering_keeps_what_belongs_together(metrics):
    evaluations = read_predictions(metrics)
    again = renumbered(evaluations, seed=7)
    for before, after in zip(evaluations, again, strict=True):
        if before.is_synthetic:
            continue
        assert sorted(before.predictions["p_NORMAL"]) == sorted(after.predictions["p_NORMAL"])
        sizes = [sorted(side.predictions.groupby("patient_id").size().to_list()) for side in (before, after)]
        assert sizes[0] == sizes[1]
    assert any(
        before.predictions["p_NORMAL"].tolist() != after.predictions["p_NORMAL"].tolist()
        for before, after in zip(evaluations, again, strict=True)
    )


def test_archives_of_the_repository_decide_as_they_say(root):
    """By the command that the README of the archives names; those that keep predictions."""
    for folder in sorted((root / "resources/paper_cache").glob("*/")):
        command = [sys.executable, "-m", "radsynth.report.recheck", str(folder)]
        environment = os.environ | {"PYTHONPATH": str(root / "workflow/scripts")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if (folder / "predictions.csv").read_text().count("\n") > 1:
            assert done.returncode == 0 and "come out again as they are kept" in done.stdout, done.stdout + done.stderr
        else:
            assert done.returncode == 1 and "keeps no predictions" in done.stderr


def test_probabilities_keep_all_digits_of_32_bits(tmp_path):
    found = planted.metrics(tmp_path, planted.SMALL)
    again = read_metrics({name: tmp_path / "metrics" / f"{name}.csv" for name in COLUMNS})
    (row, *_) = found["predictions"]["probabilities"]
    values = np.array(row.split(), np.float32)
    assert again["predictions"]["probabilities"].iloc[0] == row
    assert " ".join(map(str, values)) == row and math.isclose(values[0] + values[1], 1, abs_tol=1e-6)
