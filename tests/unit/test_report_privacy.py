"""The chapter on attacks: its rows, its words, and that it says nothing where nothing was attacked."""

import json

import pytest
import report_planted as planted
from radsynth.report import summary
from radsynth.report.chapter import chapters
from radsynth.report.privacy import ATTACKS
from radsynth.report.privacy_words import sentences
from radsynth.report.tidy import as_table

SMALL = planted.SMALL | {"scenarios": {"small": [60]}, "runs": 1}
FOUND = {
    "kind": "nearest",
    "access": "images",
    "n_members": 40,
    "n_non_members": 60,
    "n_member_patients": 20,
    "n_non_member_patients": 30,
    "auc": 0.8,
    "low": 0.7,
    "high": 0.9,
    "p_value": 0.0005,
    "chance": 0.5,
    "least_auc": 0.664,
    "tpr": 0.4,
    "fpr": 0.0833333,
    "reason": "",
}
PLACE = {"dataset": "d", "sampling": "s", "scenario": "c", "pool": "ddpm", "label": "NORMAL", "attack": "near"}


def said(**changes) -> str:
    """Return the line about one attack."""
    lines = sentences({"attacks": as_table(ATTACKS, [PLACE | FOUND | changes])})
    return next(line for line in lines if line.startswith("- "))


def test_the_rows_are_those_of_the_files_and_the_section_stands_in_the_summary(tmp_path):
    paths = planted.plant(tmp_path, SMALL)
    file = tmp_path / "privacy/phantom/random/small/ddpm/NORMAL/near.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(FOUND))
    files = planted.write_metrics(tmp_path / "with", paths | {"attacks": [str(file)]}, str(tmp_path), SMALL)
    header, line = files["attacks"].read_text().splitlines()
    assert header.split(",") == ATTACKS.columns
    assert line == ("phantom,random,small,ddpm,NORMAL,near,images,40,60,0.8,0.7,0.9,0.0005,0.5,0.664,0.4,0.0833333,")
    text = summary.summary(planted.read_metrics(files))
    assert text.count("## Can an attacker tell who was trained on?") == 1
    assert (
        "- ddpm NORMAL, near (reads images; 40 training and 60 test images): **training images are told from others**: "
        "AUC 0.80 [0.70, 0.90], chance 0.5, smallest AUC that could have been shown 0.66.\n"
    ) in text


def test_without_an_attack_there_is_a_header_and_not_a_word(tmp_path, monkeypatch):
    files = planted.write_metrics(tmp_path / "none", planted.plant(tmp_path, SMALL), str(tmp_path), SMALL)
    assert files["attacks"].read_text() == ",".join(ATTACKS.columns) + "\n"
    metrics = planted.read_metrics(files)
    before = {name: table for name, table in metrics.items() if name != "attacks"}
    assert "privacy" in chapters(metrics) and "privacy" not in chapters(before)
    assert summary.summary(metrics) == summary.summary(before) and summary.headline(metrics) == summary.headline(before)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"auc": 0.52, "low": 0.41, "high": 0.63}, "not told from chance: AUC 0.52 [0.41, 0.63], chance 0.5, smallest"),
        ({"auc": 0.2, "low": 0.1, "high": 0.3}, "**training images are told from others**, by lower scores: AUC 0.20"),
        (
            {"low": None, "high": None, "reason": "few"},
            "**no power**: AUC 0.80 without an interval, chance 0.5, smallest AUC that could have been shown 0.66 (f",
        ),
        (
            {"low": None, "high": None, "least_auc": None, "reason": "few"},
            "**no power**: AUC 0.80 without an interval, chance 0.5, no AUC could have been shown (few)",
        ),
        (
            dict.fromkeys(("auc", "low", "high", "least_auc", "tpr", "fpr")) | {"reason": "empty pool"},
            "**no power**: AUC undefined, chance 0.5 (empty pool)",
        ),
    ],
)
def test_what_was_not_shown_is_never_called_safe(changes, words):
    line = said(**changes)
    assert words in line and "safe" not in line and "nan" not in line
