"""Results that Snakemake knows nothing of belong to their configuration. The jobs only pretend to work."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from conftest import clone
from test_reruns import CHANGED, COLLECTING, LIBRARY, STUDY, edited, write_study

TWO = STUDY | {"generators": {"ddpm": STUDY["generators"]["ddpm"]}, "quality": {"extractors": ["pixels"]}}
TWO |= {"mixes": {key: STUDY["mixes"][key] for key in ("baseline", "ddpm")}, "experts": [], "matched_controls": False}
DDPM = TWO["generators"]["ddpm"]
# What makes other results, and how the first that is named differs.
CHANGES = {
    "seed": ({"seed": 7}, r"prepare_data: seed 2025, now 7"),
    "order of labels": ({"labels": ["PNEUMONIA", "NORMAL"]}, r'labels \["NORMAL", "PNEUMONIA"\], now \["PNEUMONIA", '),
    "steps": (
        {"generators": {"ddpm": DDPM | {"options": {"steps": 9}}}},
        r"train_generator: options\.steps 500, now 9\)",
    ),
    "options of a dataset": (
        {"datasets": {"phantom": {"source": "phantom", "images": {"NORMAL": 60, "PNEUMONIA": 70}}}},
        r"prepare_data: dataset\.images\.PNEUMONIA 60, now 70",
    ),
    "pools": ({"pool_size": 13, "mixes": {"baseline": {"real": True}}}, r"controls: pool_size 12, now 13"),
    "runs": ({"runs": 2}, r"metrics: study\.runs 1, now 2; config\.runs 1, now 2"),
}
COMMAND = ["--dry-run", "--configfile", "study.yaml", "--cores", "2"]


@pytest.fixture(scope="module")
def finished(module_checkout, snakemake) -> Path:
    """A checkout with the finished study."""
    write_study(module_checkout, TWO)
    result = snakemake(module_checkout, *COMMAND[1:], pretend=True)
    assert result.returncode == 0, result.stdout[-3000:]
    return module_checkout


@pytest.fixture
def bare(finished, tmp_path) -> Path:
    """A clone with the results alone, without Snakemake's records."""
    folder = clone(tmp_path / "bare")
    shutil.copytree(finished / "results", folder / "results")
    write_study(folder, TWO)
    return folder


@pytest.fixture
def planned(snakemake):
    def plan(folder: Path, *arguments: str) -> set[str]:
        result = snakemake(folder, *COMMAND, *arguments)
        assert result.returncode == 0, result.stdout[-3000:]
        return set(re.findall(r"^Job \d+: (.*)$", result.stdout, re.MULTILINE))

    return plan


@pytest.fixture
def stopped(snakemake):
    """The one line with which planning stops, and the paths that it says are to be deleted."""

    def stop(folder: Path, *arguments: str) -> tuple[str, list[str]]:
        result = snakemake(folder, *COMMAND, *arguments)
        lines = [line for line in result.stdout.splitlines() if "not made by this configuration" in line]
        assert result.returncode != 0 and len(lines) == 1, result.stdout[-3000:]
        assert "Traceback" not in result.stdout
        return lines[0], re.search("delete (.*); to keep it", lines[0])[1].split()

    return stop


def delete(folder: Path, paths: list[str]) -> None:
    for path in (folder / path for path in paths):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param(*change, id=name, marks=() if name in ("seed", "runs") else pytest.mark.slow)
        for name, change in CHANGES.items()
    ],
)
def test_results_of_another_configuration_stop_the_plan_until_they_are_deleted(
    finished, bare, stopped, planned, changed, message
):
    """And then what runs is what would have run with Snakemake's records."""
    write_study(bare, TWO | changed)
    line, paths = stopped(bare)
    assert re.search(message, line), line
    before = {path for path in (bare / "results").rglob("*") if path.is_file()}
    delete(bare, paths)
    write_study(finished, TWO | changed)
    try:
        assert planned(bare) == planned(finished)
    finally:
        write_study(finished, TWO)
    kept = sum(path.exists() for path in before)
    assert 0 < kept < len(before)


def test_a_renamed_folder_is_not_a_study_of_that_name(bare, stopped, planned):
    (bare / "results/two").rename(bare / "results/three")
    write_study(bare, TWO | {"study": "three"})
    line, paths = stopped(bare)
    assert 'study "two", now "three"' in line, line
    # What only holds the name is made anew; images and models stay.
    assert all(path.startswith("results/three/") for path in paths)
    delete(bare, paths)
    again = planned(bare)
    assert again > COLLECTING and not any(job.startswith(("Training", "Preparing", "Drawing 12")) for job in again)


@pytest.mark.parametrize("content", [None, "{"])
def test_results_without_their_record_are_nobodys(bare, stopped, planned, content):
    record = bare / "results/two/data/phantom/.made/images.json"
    if content is None:
        record.unlink()
    else:
        record.write_text(content)
    line, paths = stopped(bare)
    assert "prepare_data: nothing tells what made it" in line
    delete(bare, paths)
    assert planned(bare) >= {"Preparing the images of phantom", *COLLECTING}


def test_results_that_were_copied_over_others_are_told_by_their_times(finished, tmp_path, stopped, planned):
    """Snakemake's records are those of the files that were there before."""
    folder = clone(tmp_path / "over")
    for name in ("results", ".snakemake"):
        shutil.copytree(finished / name, folder / name)
    write_study(folder, TWO)
    assert planned(folder) == set()
    for path in (folder / "results").rglob("*"):
        os.utime(path, (path.stat().st_mtime - 1000,) * 2)
    assert planned(folder) == set(), "the same results, of another time"
    with edited(folder / "results/two/data/phantom/.made/images.json", '"seed": 2025', '"seed": 2026'):
        assert "seed 2026, now 2025" in stopped(folder)[0]


def test_results_of_other_inputs_stop_the_plan(bare, stopped):
    """One stage was made anew elsewhere, from other raw files, say, and what follows from it was not."""
    record = bare / "results/two/data/phantom/.made/images.json"
    content = json.loads(record.read_text())
    content["outputs"]["manifest.csv"] = "0" * 64
    record.write_text(json.dumps(content))
    line, paths = stopped(bare)
    assert "made from another data/phantom/manifest.csv" in line and "results/two/data" not in paths


def test_who_lets_times_alone_decide_keeps_results_of_other_code_and_no_others(finished, stopped, planned):
    times = ["--rerun-triggers", "mtime", "--"]
    with edited(finished / LIBRARY / "generators/ddpm.py", *CHANGED):
        assert planned(finished) and not planned(finished, *times)
    write_study(finished, TWO | {"seed": 7})
    try:
        assert "seed 2025, now 7" in stopped(finished, *times)[0]
    finally:
        write_study(finished, TWO)


def test_stale_results_can_be_deleted_by_snakemake(bare, snakemake):
    write_study(bare, TWO | {"seed": 7})
    result = snakemake(bare, *COMMAND[1:], "--delete-all-output")
    assert result.returncode == 0, result.stdout[-3000:]
    left = [path for path in (bare / "results/two").rglob("*") if path.is_file() and ".made" not in path.parts]
    assert {path.relative_to(bare / "results/two").parts[0] for path in left} <= {"logs", "benchmarks"}


def test_an_archive_of_stale_results_is_not_made(bare, stopped):
    write_study(bare, TWO | {"seed": 7, "paper": {"version": "other"}})
    assert "seed 2025, now 7" in stopped(bare, "--", "archive")[0]
