"""The command `snakemake check` as a newcomer types it: without images, with some, and with a wrong configuration."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MINE = """
study: mine
labels: [healthy, ill]
datasets: {mine: {source: folder}}
scenarios: {small: {train: {healthy: 20, ill: 200}}}
image_size: 32
"""


def files(folder: Path) -> set[Path]:
    """Return what lies in a folder, but for what Snakemake and Python themselves leave."""
    found = {path.relative_to(folder) for path in folder.rglob("*")}
    return {path for path in found if path.parts[0] != ".snakemake" and "__pycache__" not in path.parts}


@pytest.fixture
def mine(checkout: Path) -> Path:
    """A checkout with a configuration of its own, and a few images of which one class is called otherwise."""
    (checkout / "mine.yaml").write_text(MINE)
    rng = np.random.default_rng(0)
    for label in ("healthy", "Ill"):
        folder = checkout / "resources/raw/mine" / label
        folder.mkdir(parents=True)
        for number in range(40):
            Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(folder / f"{number}.png")
    return checkout


def test_a_clone_without_images_is_told_what_it_lacks_and_nothing_is_left_behind(checkout, snakemake):
    before = files(checkout)
    result = snakemake(checkout, "check")
    assert result.returncode == 0, result.stdout
    assert "320 classifier trainings" in result.stdout and "5 weights files to be fetched" in result.stdout
    assert "resources/raw/kaggle_cxr" in result.stdout and "complete set holds NORMAL 1,802" in result.stdout
    assert "Building DAG" not in result.stdout and "Job stats" not in result.stdout, "the report alone"
    assert result.stdout.rstrip().splitlines()[-1].startswith(("Ready: snakemake --cores", "  1. "))
    assert files(checkout) == before


def test_a_folder_with_mistakes_and_the_same_without(mine, snakemake):
    before = files(mine)
    result = snakemake(mine, "check", "--configfile", "mine.yaml")
    assert result.returncode == 0, result.stdout
    last = result.stdout.rstrip().splitlines()[-2:]
    assert last[0] == "Not ready: 1 thing to mend first"
    assert last[1].endswith("no class folder ill, found Ill, healthy; write under datasets.mine: classes: {ill: Ill}")
    classes = "datasets={mine: {source: folder, classes: {ill: Ill}}}"
    result = snakemake(mine, "check", "--configfile", "mine.yaml", "--config", classes)
    assert "1. scenarios.small.train.ill: 200 asked, 40 there" in result.stdout
    (mine / "mine.yaml").write_text(MINE.replace("200", "20"))
    result = snakemake(mine, "check", "--configfile", "mine.yaml", "--config", classes, "--cores", "2")
    last = result.stdout.rstrip().splitlines()[-1]
    assert last.startswith("Ready: snakemake --configfile mine.yaml --config 'datasets=") and "--cores" in last
    assert files(mine) == before


def test_the_number_of_cores_is_still_asked_of_a_study_and_a_wrong_configuration_fails(checkout, snakemake):
    result = snakemake(checkout, "--configfile", "config/demo.yaml")
    assert result.returncode != 0 and "cores have to be specified" in result.stdout
    result = snakemake(checkout, "check", "--config", "runs=many")
    assert result.returncode != 0 and "configuration: runs:" in result.stdout and "Traceback" not in result.stdout


def test_only_the_check_is_planned_and_it_is_no_part_of_the_study(root, snakemake):
    result = snakemake(root, "-n", "check", "--config", "study=never_run")
    assert "\ncheck        1\ntotal        1\n" in result.stdout and "prepare_data" not in result.stdout, result.stdout
    result = snakemake(root, "-n", "-q", "rules", "--config", "study=never_run")
    assert result.returncode == 0 and "\ncheck " not in result.stdout
