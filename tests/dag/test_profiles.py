"""The profiles of clusters: what they plan, where jobs go, and what they ask of the environment."""

import logging
import re
from collections import Counter
from types import SimpleNamespace

import pytest
import yaml
from radsynth.study.config import Study
from radsynth.study.gpu_hours import gpu_jobs
from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file

SITES = ["osc-pitzer", "osc-ascend", "osc-cardinal"]
PLAN = ["-n", "-q", "rules", "--profile", "profiles/slurm", "--config", "study=never_run"]


def written_rules(root) -> dict[str, str]:
    """Return the text of every rule that makes something, by its name."""
    text = "\n".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    blocks = re.split(r"^ *(?=rule \w+:$)", text, flags=re.MULTILINE)[1:]
    return {re.match(r"rule (\w+):", block)[1]: block for block in blocks}


def test_a_cluster_profile_plans_the_core_study_and_its_gpu_jobs_are_counted(root, snakemake, monkeypatch):
    """What gpu_hours adds up is what the plan holds of the rules that ask for a GPU, one by one."""
    monkeypatch.setenv("OSC_ACCOUNT", "PAS0000")
    kid = {"selection": {"method": "kid", "extractor": "resnet18_imagenet"}, "pretrain_on": "others"}
    others = {"source": "folder", "role": "pretrain"}
    changed = [f"generators={ {'ddpm': kid} }", f"datasets={ {'others': others} }"]
    result = snakemake(root, *PLAN, *changed, "--profile", "profiles/osc-pitzer")
    assert result.returncode == 0, result.stdout
    planned = Counter()
    with_gpu = {name for name, text in written_rules(root).items() if re.search(r"^ +gpu=", text, re.MULTILINE)}
    # Snakemake prints its statistics twice.
    for name, count in dict(re.findall(r"^(\w+) +(\d+)$", result.stdout, re.MULTILINE)).items():
        planned.update({name: int(count)} if name in with_gpu else {})
    assert planned["train_generator"] == 8 and planned["select_model"] == 4 and planned["pretrain_generator"] == 2
    core = yaml.safe_load((root / "config/config.yaml").read_text())
    core["generators"]["ddpm"] |= kid
    core["datasets"]["others"] = others
    assert planned == Counter(stage for stage, _ in gpu_jobs(Study(core)).values())
    assert set(planned) == with_gpu - {"attack"}, "no rule is left out; nothing is attacked"


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
        blocks = re.findall(r"threads: (\d+)\n +resources:\n +mem_mb=memory\((\d+)", text)
        # prepare_data grows with its workers: a base and so much for each.
        per_thread = re.findall(r"attempt: \((\d+) \+ (\d+) \* threads\)", text)
        assert all(int(base) + int(each) <= 4000 for base, each in per_thread), path.name
        assert len(blocks) + len(per_thread) == len(re.findall(r"^ +script:$", text, re.MULTILINE)), path.name
        assert all(int(megabytes) <= 4000 * int(threads) for threads, megabytes in blocks), path.name


def test_every_small_job_without_a_gpu_is_submitted_together_with_others(root):
    groups = yaml.safe_load((root / "profiles/slurm/config.yaml").read_text())["groups"]
    rules = written_rules(root)
    assert len(rules) > 25
    assert set(groups) <= set(rules), "rules that exist"
    local = {"download", "weights", "check", "metrics"}
    for rule, text in rules.items():
        if rule not in local:
            has_gpu = re.search(r"^ +gpu=", text, re.MULTILINE)
            # A classifier's training and its evaluation hold the same GPU one after the other.
            assert (rule in groups) == (not has_gpu or rule in ("train_classifier", "evaluate")), rule


def test_a_scenario_of_ones_own_gets_the_threads_and_the_groups_of_ours(root, snakemake, tmp_path):
    (tmp_path / "study.yaml").write_text(
        "study: never_run\n"
        "labels: [a, b]\n"
        "datasets: {phantom: {source: phantom, images: {a: 90, b: 90}}}\n"
        "scenarios: {my_own: {train: {a: 30, b: 30}}}\n"
        "image_size: 32\n"
    )
    command = ["-n", "-q", "rules", "--cores", "4", "--configfile", str(tmp_path / "study.yaml"), "--", "classifiers"]
    result = snakemake(root, "--profile", "profiles/cpu", *command)
    assert result.returncode == 0, result.stdout
    planned = set(re.findall(r"^(\w+) +\d+$", result.stdout, re.MULTILINE)) - {"classifiers", "total"}
    rules = written_rules(root)
    assert {"cohort", "train_classifier", "evaluate"} < planned <= set(rules), "no rule has the scenario in its name"
    threads = yaml.safe_load((root / "profiles/cpu/config.yaml").read_text())["set-threads"]
    groups = yaml.safe_load((root / "profiles/slurm/config.yaml").read_text())["groups"]
    assert set(threads) <= set(rules) and {"cohort", "train_classifier", "evaluate"} <= set(threads) & set(groups)
