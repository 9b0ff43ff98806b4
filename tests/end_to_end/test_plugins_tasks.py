"""A task that is no classification and a learner in torch, each one file and one line, through the whole line."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from test_tiny_study import COMMAND, TINY, write_config

CONFIG = TINY | {
    "study": "spots",
    "task": "bright_spots",
    "quality": {"extractors": ["pixels", "domain"], "baseline_draws": 3, "domain_classifier": "net"},
    "classifiers": {"net": {"architecture": "small_net", "batch_size": 16}},
    "experts": ["net"],
}
LINES = {
    '    "tasks": {\n': '        "bright_spots": Entry("radsynth.tasks.throw_away:BrightSpots"),\n',
    '    "learners": {\n': '        "small_net": Entry("radsynth.tasks.throw_away:SmallNet"),\n',
}


def add(checkout: Path, root: Path) -> None:
    """Add task and learner to a checkout: their file, and a line for each."""
    shutil.copy(root / "tests/unit/throw_away.py", checkout / "workflow/scripts/radsynth/tasks")
    registry = checkout / "workflow/scripts/radsynth/common/registry.py"
    text = registry.read_text()
    for kind, line in LINES.items():
        assert text.count(kind) == 1
        text = text.replace(kind, kind + line)
    registry.write_text(text)


@pytest.mark.slow
def test_another_task_and_another_learner_pass_through_the_whole_line(checkout, root, snakemake):
    add(checkout, root)
    write_config(checkout, CONFIG)
    result = snakemake(checkout, *COMMAND)
    assert result.returncode == 0, result.stdout[-3000:]
    results = checkout / "results/spots"

    records = [json.loads(path.read_text()) for path in results.glob("classifiers/**/run_1/training.json")]
    assert {record["backend"] for record in records} == {"torch"} and len(records) == 3
    assert all(record["task"] == "bright_spots" and "threshold" not in record for record in records)
    assert not list(results.glob("classifiers/**/model")) and not list(results.glob("classifiers/**/state"))
    histories = [pd.read_csv(path) for path in results.glob("classifiers/**/run_1/history.csv")]
    assert all(len(history) == 4 and history["val_loss"].notna().all() for history in histories)

    metrics = {path.stem: pd.read_csv(path, keep_default_na=False) for path in results.glob("metrics/*.csv")}
    classification = metrics["classification"]
    assert set(classification["metric"]) == {"error", "bias"}
    assert set(classification["mix"]) == {"baseline", "ddpm", "matched_ddpm"}, "no outputs to correct"
    of_labels = ("confusion", "roc_auc", "mcnemar", "recognition", "predictions")
    assert all(metrics[name].empty for name in of_labels)
    verdicts = metrics["verdicts"]
    assert set(verdicts["metric"]) == {"error"} and set(verdicts["headline"]) == {True} and len(verdicts) == 1
    assert "domain" in set(metrics["quality"]["extractor"])
    assert "synthetic_ddpm" in set(classification["tested_on"])
    assert "mean absolute error" in (results / "summary.md").read_text()
    scores = (results / "tables/scores.md").read_text()
    assert "mean absolute error" in scores and "accuracy" not in scores
    assert "Nothing to be done" in snakemake(checkout, *COMMAND).stdout
