"""The kinds of input folders that users have, as a script that is no part of the project draws them."""

import os
import runpy
import sys
from pathlib import Path

import pytest
from cases import CASES, changed, run_case

#: What is right for each.
RIGHT = {
    "split_folders": {"images": 40, "splits": {"train": 24, "test": 10, "val": 6}},
    "masks_beside": {"images": 36, "masks": 36},
    "masks_in_class": {"images": 20, "masks": 20},
    "links": {"images": 13, "unreadable": 1, "links": 5, "linked_again": 1},
    "linked_class": {"images": 16, "links": 16},
    "twelve_bit": {"images": 16, "window": [0, 3424], "converted_16_bit": 16},
    "rewritten": {"images": 24},
    "patient_folders": {"images": 36, "patients": 6},
    "other_suffixes": {"images": 16, "files_seen": 16},
    "odd_names": {"images": 9},
    "hidden": {"images": 12, "passed_over": 2},
    "smooth": {"images": 80, "near_duplicates": None, "large_duplicate_group": None},
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    root = Path(__file__).resolve().parents[2]
    script = Path(os.environ.get("RADSYNTH_DATA", root.parent / "shared/data")).parent / "cases/make_cases.py"
    if not script.is_file():
        pytest.skip("needs the script that draws the cases")
    folder = tmp_path_factory.mktemp("cases")
    before, sys.argv = sys.argv, [str(script), str(folder)]
    try:
        runpy.run_path(str(script))
    finally:
        sys.argv = before
    return folder


@pytest.mark.parametrize("name", RIGHT)
def test_a_case_comes_out_right(cases, name):
    result = run_case(cases, name)
    flat = {**result, **result.get("found", {})}
    assert {key: flat.get(key) for key in RIGHT[name]} == RIGHT[name], result


def test_a_class_of_one_image_is_refused_when_planned(cases):
    error = run_case(cases, "one_image")["error"]
    assert error.startswith("scenarios.small.train.ill: ") and "validation_fraction" in error and "\n" not in error


@pytest.mark.parametrize("name", ["rewritten", "linked_class"])
def test_a_change_behind_the_same_names_is_noticed(cases, name):
    assert changed(cases, name)


def test_every_case_is_looked_at(cases):
    assert {path.name for path in cases.iterdir() if path.is_dir()} == set(CASES)
