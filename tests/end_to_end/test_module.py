"""The workflow as a module of another one, below a prefix."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from test_tiny_study import TINY

STUDY = TINY | {
    "samplings": {"random": {"method": "random"}},
    "mixes": {"baseline": {"real": True}},
    "quality": {"extractors": ["pixels", "domain"], "baseline_draws": 3},
    "runs": 1,
}
OUTER = """
configfile: "outer.yaml"


module radsynth:
    snakefile:
        "{root}/Snakefile"
    config:
        config["images"]
    prefix:
        "sub"


use rule * from radsynth


rule ours:
    input:
        "sub/results/tiny/summary.md",
    output:
        "results/ours/words.txt",
    shell:
        "wc -w < {{input}} > {{output}}"
"""
COMMAND = ["--cores", "2", "--", "ours", "data", "pools", "quality", "classifiers"]


@pytest.fixture
def outer(root, tmp_path) -> Path:
    """A workflow in a folder of its own that has this one as a module."""
    folder = tmp_path / "outer"
    folder.mkdir()
    (folder / "Snakefile").write_text(OUTER.format(root=root))
    (folder / "outer.yaml").write_text(yaml.safe_dump({"images": STUDY}))
    return folder


def check_places(outer: Path) -> None:
    """Everything lies below the prefix, but for what the other workflow itself has made."""
    assert {path.name for path in outer.iterdir()} <= {"Snakefile", "outer.yaml", "results", "sub", ".snakemake"}
    assert [path.name for path in (outer / "results").iterdir()] == ["ours"]
    results = outer / "sub/results/tiny"
    record = json.loads((results / "cohorts/phantom/random/small/.made/train.csv.json").read_text())
    assert record["rule"] == "cohort" and "data/phantom/manifest.csv" in record["inputs"]
    made = json.loads((results / "generators/phantom/random/small/ddpm/NORMAL/.made/model.json").read_text())
    assert made["params"]["root"] == "results/*/data/phantom", "the same wherever the results lie"


def test_another_workflow_plans_and_names_what_a_module_makes(outer, snakemake):
    result = snakemake(outer, *COMMAND, pretend=True)
    assert result.returncode == 0, result.stdout[-3000:]
    check_places(outer)
    assert "Nothing to be done" in snakemake(outer, *COMMAND, pretend=True).stdout
    # Its results are compared with the configuration when Snakemake has lost its records; those of others are theirs.
    for path in (outer / ".snakemake").glob("metadata*/**/*"):
        if path.is_file():
            path.unlink()
    assert snakemake(outer, "-n", *COMMAND).returncode == 0
    (outer / "outer.yaml").write_text(yaml.safe_dump({"images": STUDY | {"seed": 4}}))
    result = snakemake(outer, "-n", *COMMAND)
    assert result.returncode and "seed 3, now 4" in result.stdout and "delete sub/results/tiny/" in result.stdout


@pytest.mark.slow
def test_another_workflow_runs_the_study_to_its_end(outer, snakemake):
    result = snakemake(outer, *COMMAND)
    assert result.returncode == 0, result.stdout[-3000:]
    check_places(outer)
    accuracy = pd.read_csv(outer / "sub/results/tiny/metrics/classification.csv").query("metric == 'accuracy'")
    assert accuracy["value"].between(0, 1).all() and set(accuracy["mix"]) >= {"baseline"}
    assert "Nothing to be done" in snakemake(outer, *COMMAND).stdout
