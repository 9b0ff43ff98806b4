"""The profiles of clusters: what they plan, where jobs go, and what they ask of the environment."""

import logging
import re
from types import SimpleNamespace

import pytest
import yaml
from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file

SITES = ["osc-pitzer", "osc-ascend", "osc-cardinal"]
PLAN = ["-n", "-q", "rules", "--config", "study=never_run", "--profile", "profiles/slurm"]


def test_a_cluster_profile_plans_the_core_study(root, snakemake, monkeypatch):
    monkeypatch.setenv("OSC_ACCOUNT", "PAS0000")
    result = snakemake(root, *PLAN, "--profile", "profiles/osc-pitzer")
    assert result.returncode == 0, result.stdout
    assert re.search(r"^train_generator +8$", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("value", [None, ""])
def test_an_account_that_is_not_set_is_one_line(root, snakemake, monkeypatch, value):
    monkeypatch.delenv("OSC_ACCOUNT", raising=False)
    if value is not None:
        monkeypatch.setenv("OSC_ACCOUNT", value)
    result = snakemake(root, *PLAN, "--profile", "profiles/osc-pitzer")
    assert result.returncode != 0 and "Traceback" not in result.stdout
    lines = [line for line in result.stdout.splitlines() if line.startswith("profile:")]
    assert len(lines) == 1 and "slurm_account" in lines[0] and "OSC_ACCOUNT is not set" in lines[0]


@pytest.mark.parametrize("site", SITES)
def test_sites_say_only_what_differs(root, site):
    settings = yaml.safe_load((root / f"profiles/{site}/config.yaml").read_text())
    assert settings == {
        "executor": "slurm",
        "slurm-partition-config": "partitions.yaml",
        "default-resources": {"slurm_account": "$OSC_ACCOUNT"},
    }


@pytest.mark.parametrize(
    ("profile", "gpu", "cpu"),
    [
        ("slurm", "gpu", "cpu"),
        ("osc-pitzer", "gpu-exp", "cpu"),
        ("osc-ascend", "nextgen", "nextgen"),
        ("osc-cardinal", "gpu", "cpu"),
    ],
)
def test_jobs_go_where_there_is_what_they_need(root, profile, gpu, cpu):
    partitions = read_partition_file(root / f"profiles/{profile}/partitions.yaml")

    def chosen(threads, **resources):
        return get_best_partition(
            partitions, SimpleNamespace(name="job", threads=threads, resources=resources), logging
        )

    training = {"mem_mb": 3 * 16000, "runtime": 1440}
    assert chosen(8, gpu=1, **training) == gpu
    assert chosen(8, gpu=2, **training) == gpu
    assert chosen(2, mem_mb=8000, runtime=60) == chosen(2, gpu=0, mem_mb=8000, runtime=60) == cpu


def test_rules_name_no_site_and_ask_for_no_more_memory_than_their_cores_share(root):
    for path in [root / "Snakefile", *(root / "workflow/rules").glob("*.smk")]:
        text = path.read_text()
        assert not re.search(r"osc|pitzer|ascend\b|cardinal|partition|slurm", text, re.IGNORECASE), path.name
        blocks = re.findall(r"threads: (\d+)\n +resources:\n +mem_mb=memory\((\d+)\)", text)
        # prepare_data grows with its workers: a base and so much for each.
        per_thread = re.findall(r"attempt: \((\d+) \+ (\d+) \* threads\)", text)
        assert all(int(base) + int(each) <= 4000 for base, each in per_thread), path.name
        assert len(blocks) + len(per_thread) == len(re.findall(r"^ +script:$", text, re.MULTILINE)), path.name
        assert all(int(megabytes) <= 4000 * int(threads) for threads, megabytes in blocks), path.name


def test_profiles_group_jobs_of_rules_that_exist(root):
    groups = yaml.safe_load((root / "profiles/slurm/config.yaml").read_text())["groups"]
    rules = set(
        re.findall(r"^rule (\w+):$", "\n".join(p.read_text() for p in (root / "workflow/rules").glob("*.smk")), re.M)
    )
    named_after_scenarios = {"cohort_small", "cohort_imbalanced", "evaluate_small", "evaluate_imbalanced", "gates"}
    assert set(groups) <= rules | named_after_scenarios
