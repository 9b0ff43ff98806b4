"""The plans of the mammogram studies, without any raw data, and what a user is told who has none."""

import re
from collections import Counter

import pytest
import yaml
from radsynth.study.config import Study


def plan(root, snakemake, file, *settings):
    command = ["-n", "-q", "rules", "--cores", "48", "--configfile", f"config/{file}.yaml"]
    result = snakemake(root, *command, "--config", "study=never_run", *settings)
    assert result.returncode == 0, result.stdout
    return Counter({name: int(n) for name, n in re.findall(r"^(\S+)\s+(\d+)$", result.stdout, re.MULTILINE)})


def test_the_real_study_is_planned_by_the_rules_of_chest_radiographs(root, snakemake):
    jobs = plan(root, snakemake, "vindr_mammo")
    assert jobs["download"] == jobs["prepare_data"] == jobs["describe_data"] == 1
    assert jobs["cohort"] == 2 and jobs["gates"] == 2
    assert jobs["train_classifier"] == 2 * (7 + 2) * 2 * 5, "scenarios x mixes and controls x classifiers x runs"
    core = plan(root, snakemake, "config", "runs=5")
    assert set(jobs) - set(core) == {"condition_fidelity"}, "no other rule of their own"


@pytest.mark.parametrize("size", [128, 256, 512])
def test_the_real_study_is_one_at_any_size(root, size):
    config = yaml.safe_load((root / "config/vindr_mammo.yaml").read_text())
    assert Study(config | {"image_size": size})["image_size"] == size


def test_the_study_of_the_standin_is_planned(root, snakemake):
    jobs = plan(root, snakemake, "vindr_demo")
    assert jobs["train_classifier"] == 2 * (6 + 2) * 2, "scenarios x mixes and controls x runs"
    assert jobs["train_generator"] == 2 * 2 + 1, "labels x DDPM and PGGAN, one latent diffusion"
    assert jobs["write_pool"] == 2 * 5 and jobs["condition_fidelity"] == 3, "labels x pools, three of them conditional"


def test_absent_data_are_one_line_that_says_where_they_go_and_how_to_fetch_them(checkout, snakemake, monkeypatch):
    for name in ("PHYSIONET_USERNAME", "PHYSIONET_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    record = "results/vindr_mammo/data/vindr_mammo/download.json"
    result = snakemake(checkout, "--cores", "1", "--configfile", "config/vindr_mammo.yaml", "--", record)
    assert result.returncode != 0
    said = [line for line in result.stdout.splitlines() if line.startswith("download: ")]
    assert said == [
        "download: resources/raw/vindr_mammo: 3 files are missing, such as breast-level_annotations.csv; place them "
        "there, or, with access to https://physionet.org/files/vindr-mammo/1.0.0, set PHYSIONET_USERNAME and "
        "PHYSIONET_PASSWORD to fetch them"
    ]
    assert "Traceback" not in result.stdout
