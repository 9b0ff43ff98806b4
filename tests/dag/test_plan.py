"""The plan of the core study, without any raw data."""

import re
from collections import Counter
from pathlib import Path

import pytest
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings


def job_counts(output: str) -> Counter:
    """Return how often each rule is planned, from the statistics that Snakemake prints."""
    return Counter({name: int(n) for name, n in re.findall(r"^(\S+)\s+(\d+)$", output, re.MULTILINE)})


@pytest.fixture(scope="module")
def core_plan(root, snakemake):
    result = snakemake(root, "--dry-run", "--quiet", "rules", "--cores", "48", "--config", "study=never_run")
    assert result.returncode == 0, result.stdout
    return job_counts(result.stdout)


def test_the_core_study_is_planned_as_in_the_paper(core_plan):
    assert core_plan["cohort"] == 4, "2 samplings x 2 scenarios"
    assert core_plan["gates"] == 4
    assert core_plan["common_test"] == 2, "one per scenario, for both samplings"
    assert core_plan["cohort_order"] == 4, "2 samplings x 2 labels"
    assert "select_model" not in core_plan, "the last step's models, as in the paper"
    assert core_plan["train_generator"] == 8, "2 samplings x 2 labels x DDPM and PGGAN"
    assert core_plan["write_pool"] == core_plan["pool_quality"] == 8
    assert core_plan["quality_controls"] == 4, "one per sampling and label, for both generators"
    paper = 2 * 2 * 3 * 4 * 5  # samplings x scenarios x mixes x classifiers x runs
    assert core_plan["train_classifier"] == paper + 80, "one matched control serves both mixes"
    assert core_plan["evaluate"] == 320
    assert core_plan["common_test"] == 2, "one per scenario, for both samplings"
    assert core_plan["judge"] == 2 * 2 * 5 * 2, "the five expert runs of each cohort judge two generators"
    assert core_plan["download"] == core_plan["prepare_data"] == 1
    assert core_plan["features_domain_real"] == 2 and core_plan["features_domain_pool"] == 8
    assert core_plan["pairs_real"] == 4 and core_plan["pairs_pool"] == core_plan["neighbours"] == 8
    assert core_plan["weights"] == 5, "Inception, AlexNet, ResNet18, VGG16, ResNet50"


def test_a_third_generator_adds_models_and_pools_and_an_external_dataset_test_sets(root, snakemake):
    third = "generators={other: {family: ddpm, preset: default}}"
    nih = "datasets={nih: {source: folder, role: external_test}}"
    result = snakemake(root, "-n", "-q", "rules", "--cores", "48", "--config", "study=never_run", third, nih)
    assert result.returncode == 0, result.stdout
    plan = job_counts(result.stdout)
    assert plan["train_generator"] == plan["write_pool"] == 12
    assert plan["external_test"] == 4, "one per cohort"
    assert plan["prepare_data"] == 2 and plan["cohort_order"] == 4, "the external dataset is only prepared"
    assert plan["evaluate"] == 320 and plan["judge"] == 2 * 2 * 5 * 3


def test_without_matched_controls_the_papers_trainings_alone_are_planned(root, snakemake):
    settings = ["study=never_run", "matched_controls=False"]
    result = snakemake(root, "-n", "-q", "rules", "--cores", "48", "--config", *settings, "--", "classifiers")
    assert job_counts(result.stdout)["train_classifier"] == 240, result.stdout


def test_the_domain_is_the_first_baseline_classifier_of_the_generators_cohort(root, snakemake):
    quality = "quality={extractors: [pixels, domain], domain_classifier: resnet50_pretrained, diversity: [lpips]}"
    command = ["-n", "--cores", "48", "--config", "study=never_run", quality, "--"]
    result = snakemake(root, *command, "quality")
    assert result.returncode == 0, result.stdout
    plan = job_counts(result.stdout)
    assert plan["features_domain_real"] == 2 and plan["features_domain_pool"] == 8
    assert plan["features_pool"] == plan["pool_quality"] == 8, "pixels"
    trained = set(re.findall(r"^Job \d+: Training (\S+ on \S+, \S+, run \d)$", result.stdout, re.M))
    assert trained == {f"resnet50_pretrained on baseline, {sampling}/small, run 1" for sampling in ("random", "greedy")}
    pairs = "results/never_run/features/pairs/pools/kaggle_cxr/random/small/pggan/NORMAL.npz"
    plan = job_counts(snakemake(root, *command, pairs, pairs.replace("pools", "real").replace("/pggan", "")).stdout)
    assert plan["pairs_pool"] == plan["pairs_real"] == 1 and plan["weights"] == 2, "ResNet18 to sample by, AlexNet"


def test_conditions_are_looked_at_once_per_pool_of_which_something_is_asked(root, snakemake, core_plan):
    joint = ["-n", "--quiet", "rules", "--cores", "1", "--config", "study=never_run", "generators={ddpm: {per: all}}"]
    asked = job_counts(snakemake(root, *joint).stdout)
    assert asked["condition_fidelity"] == 2 and "condition_fidelity" not in core_plan, "2 samplings, of both labels"
    fewer = core_plan["train_generator"] - asked["train_generator"]
    assert asked["total"] == core_plan["total"] + 2 - fewer and fewer == 2
    quality = job_counts(snakemake(root, *joint, "--", "quality").stdout)
    assert quality["condition_fidelity"] == 2


def test_a_selected_model_is_chosen_from_training_images_alone(root, snakemake):
    kid = "generators={ddpm: {selection: {method: kid, extractor: resnet18_imagenet}}}"
    result = snakemake(root, "-n", "--cores", "1", "--config", "study=never_run", kid)
    assert result.returncode == 0, result.stdout
    plan = job_counts(result.stdout)
    assert plan["select_model"] == 4 and plan["train_generator"] == plan["write_pool"] == 8, "PGGAN's are not chosen"
    assert plan["quality_controls"] == 8, "those of DDPM stand against what it has seen of the cohort"
    # Nothing exists yet, so that the inputs of a job are what other jobs make.
    inputs = re.findall(r"^Job \d+: (\w+) .*\nReason: .*Input files updated by another job: (.*)$", result.stdout, re.M)
    chosen = [set(files.split(", ")) for first_word, files in inputs if first_word == "Choosing"]
    assert len(chosen) == 4
    results, weights = "results/never_run", "resources/weights/resnet18-f37072fd.pth"
    cohorts = {(sampling, label) for sampling in ("random", "greedy") for label in ("NORMAL", "PNEUMONIA")}
    for sampling, label in cohorts:
        model = f"{results}/generators/kaggle_cxr/{sampling}/small/ddpm/{label}/model"
        train = f"{results}/cohorts/kaggle_cxr/{sampling}/small/train.csv"
        assert {model, train, f"{results}/data/kaggle_cxr/images", weights} in chosen
    for word in ("Controls", "Quality"):
        with_model = [files for first, files in inputs if first == word and "/selected" in files]
        assert len(with_model) == 4 and all("/ddpm/" in files for files in with_model), "which images were withheld"
    drawn = [
        re.fullmatch(".*/(ddpm|pggan)/\\w+/(model|selected)", files) for word, files in inputs if word == "Drawing"
    ]
    assert sorted(match.groups() for match in drawn if match) == [("ddpm", "selected")] * 4 + [("pggan", "model")] * 4


def test_samplings_share_a_test_set_that_each_training_and_validation_set_is_held_against(root, snakemake):
    result = snakemake(root, "-n", "--cores", "1", "--config", "study=never_run", "--", "cohorts")
    assert result.returncode == 0, result.stdout
    cohorts = "results/never_run/cohorts/kaggle_cxr"
    jobs = re.findall(
        r"^Job \d+: Test set that all samplings of (\w+) share\nReason: .*Input files updated by another job: (.*)$",
        *(result.stdout, re.MULTILINE),
    )
    assert len(jobs) == 2
    for scenario, files in jobs:
        # The generators of both scenarios learn from the small one.
        seen = {
            f"{cohorts}/{sampling}/{cohort}/{file}.csv"
            for sampling in ("random", "greedy")
            for cohort in {scenario, "small"}
            for file in ("train", "validation")
        }
        assert {file for file in files.split(", ") if file.startswith(cohorts)} == seen
    evaluated = "results/never_run/classifiers/kaggle_cxr/greedy/small/baseline/custom_cnn/run_1/evaluation.json"
    plan = job_counts(snakemake(root, "-n", "-q", "rules", "--config", "study=never_run", "--", evaluated).stdout)
    assert plan["common_test"] == plan["train_classifier"] == plan["evaluate"] == 1
    assert plan["cohort"] == 2, "those of both samplings"


def test_one_sampling_needs_no_common_test_set(root, snakemake):
    result = snakemake(
        root, "-n", "-q", "rules", "--configfile", "config/kaggle_pneumonia.yaml", "--config", "study=never_run"
    )
    assert result.returncode == 0, result.stdout
    assert "common_test" not in job_counts(result.stdout)


def test_single_targets_plan_only_what_they_need(root, snakemake):
    result = snakemake(root, "-n", "-q", "rules", "--cores", "1", "--config", "study=never_run", "--", "cohorts")
    plan = job_counts(result.stdout)
    assert plan["gates"] == 4 and "train_generator" not in plan and "train_classifier" not in plan


def test_the_archive_needs_no_training(root, snakemake):
    def plan(version):
        source = f"paper={{source: archive, version: {version}}}"
        return snakemake(root, "-n", "-q", "rules", "--cores", "1", "--config", "study=never_run", source)

    shipped = sorted(path.name for path in (root / "resources/paper_cache").iterdir() if path.is_dir())
    result = plan(shipped[0])
    assert result.returncode == 0, result.stdout
    assert set(job_counts(result.stdout)) - {"total"} == {"tables", "charts", "summary", "all"}
    result = plan("any")
    assert result.returncode != 0 and "resources/paper_cache/any/" in result.stdout, "a missing archive is an error"


@pytest.fixture
def workflow(root: Path, tmp_path, monkeypatch):
    """The workflow of the core study as Snakemake sees it, with nothing there yet."""
    monkeypatch.chdir(tmp_path)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        yield api.workflow(
            resource_settings=ResourceSettings(cores=48),
            config_settings=ConfigSettings(configfiles=[root / "config" / "config.yaml"]),
            snakefile=root / "Snakefile",
        )._workflow


def test_memory_and_walltime_follow_the_number_of_images(workflow, tmp_path):
    quality = {rule.name: rule for rule in workflow.rules}["pool_quality"].resources
    given = {"data_manifest": str(tmp_path / "manifest.csv"), "pool_manifest": str(tmp_path / "pool.csv")}

    def asked(attempt):
        return tuple(quality[name].evaluate(None, input=given, attempt=attempt).value for name in ("mem_mb", "runtime"))

    assert asked(1) == (8000, 60), "before the data are prepared"
    (tmp_path / "manifest.csv").write_text("image_id\n" + "x\n" * 120)
    assert asked(1) == (8012, 60) and asked(2) == (12018, 60)
    (tmp_path / "manifest.csv").write_text("image_id\n" + "x\n" * 40_000)
    assert asked(1) == (12000, 60 + 160), "two extractors"
    (tmp_path / "pool.csv").write_text("file\n" + "x\n" * 20_000)
    assert asked(1) == (14000, 60 + 360)


def test_every_rule_says_what_it_needs(root: Path, workflow):
    rules = {rule.name: rule for rule in workflow.rules}
    working = {name: rule for name, rule in rules.items() if rule.is_script and name != "check"}
    assert len(working) >= 18
    for name, rule in working.items():
        assert rule.log and rule.conda_env and (rule.benchmark or not rule.output), name
        assert {"mem_mb", "runtime"} <= set(rule.resources), name
        assert rule.docstring and rule.message and rule.script, name
        if name != "weights":
            assert "code" in dict(rule.params.items()), f"{name} would not notice a change of its code"
    # Snakemake does not tell threads that a rule states from its own default.
    for path in (root / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        assert len(re.findall(r"^ +threads: \d+$", text, re.M)) == len(re.findall(r"^ +script:$", text, re.M)), path
    can_use_gpu = {"features_real", "features_pool", "train_generator", "write_pool", "train_classifier", "judge"}
    can_use_gpu |= {"evaluate", "features_domain_real", "features_domain_pool"}
    can_use_gpu |= {"pretrain_generator", "select_model", "pairs_real", "pairs_pool", "attack"}
    assert {name for name, rule in working.items() if "gpu" in rule.resources} == can_use_gpu
    assert set(rules) - set(working) == {
        *("all", "data", "cohorts", "generators", "pools", "quality", "privacy", "classifiers", "figures", "check"),
    }


def test_jobs_name_no_machine_path(root, snakemake):
    result = snakemake(root, "-n", "-p", "--cores", "48", "--config", "study=never_run")
    jobs = result.stdout.partition("Building DAG")[2]
    assert "train_generator" in jobs and str(root) not in jobs


@pytest.mark.parametrize(
    ("setting", "key"),
    [("runs=many", "runs"), ("epochs=3", "epochs"), ("image_size=100", "image_size")],
)
def test_a_wrong_value_is_one_line_that_names_the_key(root, snakemake, setting, key):
    result = snakemake(root, "-n", "--cores", "1", "--config", setting)
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    lines = [line for line in result.stdout.splitlines() if line.startswith("configuration:")]
    assert len(lines) == 1 and lines[0].startswith(f"configuration: {key}:")
