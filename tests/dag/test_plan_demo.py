"""The plan of the demonstration."""

import re
from collections import Counter

import yaml


def test_the_demo_is_one_cohort_with_five_runs_and_a_matched_control(root, snakemake):
    command = ["-n", "-q", "rules", "--cores", "2", "--configfile", "config/demo.yaml", "--profile", "profiles/cpu"]
    result = snakemake(root, *command, "--config", "study=never_run")
    assert result.returncode == 0, result.stdout
    jobs = Counter({name: int(n) for name, n in re.findall(r"^(\S+)\s+(\d+)$", result.stdout, re.MULTILINE)})
    assert jobs["gates"] == 1, "one sampling, one scenario"
    assert jobs["train_generator"] == jobs["write_pool"] == 2
    assert jobs["train_classifier"] == jobs["evaluate"] == 3 * 5, "baseline, ddpm and its matched control x runs"
    assert jobs["total"] <= 70, "each costs seconds to start: the demo is to take minutes"


def test_make_demo_names_files_that_the_demo_writes(root, snakemake):
    config = yaml.safe_load((root / "config/demo.yaml").read_text())
    recipe = (root / "Makefile").read_text().partition("\ndemo:")[2].partition("\n\n")[0]
    named = re.findall(r"\$\(DEMO\)/(\S+?\.(?:png|md|txt))", recipe)
    assert len(named) == 3
    files = [f"results/{config['study']}/{file}" for file in named]
    result = snakemake(root, "-n", "-q", "rules", "--cores", "2", "--configfile", "config/demo.yaml", "--", *files)
    assert result.returncode == 0, result.stdout
