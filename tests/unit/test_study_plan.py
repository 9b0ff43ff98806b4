"""Paths, seeds and targets of a study, without Snakemake."""

import re

import pytest
import yaml
from radsynth.study.config import Study
from radsynth.study.gpu_hours import gpu_jobs
from radsynth.study.inputs import Inputs
from radsynth.study.plan import CLASSIFIER, JUDGEMENT, POOL, Plan, filled, one_of

HERE = {"dataset": "kaggle_cxr", "sampling": "random", "scenario": "small"}


class Wildcards(dict):
    """Wildcards as Snakemake gives them: their values are what they iterate over."""

    __getattr__ = dict.__getitem__

    def __iter__(self):
        return iter(self.values())


@pytest.fixture
def core(root):
    return yaml.safe_load((root / "config/config.yaml").read_text())


@pytest.fixture
def plan(core):
    return Plan(Study(core))


def test_patterns_are_filled_in_order_and_keep_what_has_no_value():
    paths = filled("{a}/{b}/{c}.csv", a=["x", "y"], b=[1, 2], other=["never", "asked"])
    assert paths == ["x/1/{c}.csv", "x/2/{c}.csv", "y/1/{c}.csv", "y/2/{c}.csv"]
    assert filled("{a}", a="one") == ["one"] and filled("none", a="one") == ["none"]
    assert filled("{a}", a=[]) == []


def test_logs_and_benchmarks_lie_in_folders_of_the_same_names(plan):
    names = HERE | {"pool": "ddpm", "label": "NORMAL"}
    below = "kaggle_cxr/random/small/ddpm/NORMAL"
    assert plan.log("write_pool", POOL).format(**names) == f"results/khazrak2025/logs/write_pool/{below}.log"
    assert plan.cost("write_pool", POOL).format(**names) == f"results/khazrak2025/benchmarks/write_pool/{below}.tsv"
    assert plan.pool.format(**names) == f"results/khazrak2025/pools/{below}"
    assert plan.log("collect") == "results/khazrak2025/logs/collect.log"


def test_every_wildcard_has_a_constraint_that_its_values_meet(plan):
    constraints = plan.constraints()
    patterns = [value for value in vars(plan).values() if isinstance(value, str)] + [CLASSIFIER, JUDGEMENT]
    used = {name for pattern in patterns for name in re.findall(r"{(\w+)}", pattern)}
    assert used <= set(constraints)
    assert re.fullmatch(constraints["scenario"], "small") and not re.fullmatch(constraints["scenario"], "smaller")
    assert one_of(["a.b", "c"]) == r"a\.b|c" and constraints["external"] == "none"
    assert re.fullmatch(constraints["own"], "") and not re.fullmatch(constraints["own"], "/ddpm")


def test_evaluations_of_a_run_come_before_those_of_the_pools_that_an_expert_judges(plan):
    files = plan.evaluation_targets()
    assert len(files) == len(set(files)) == 320 + 40
    run = "results/khazrak2025/classifiers/kaggle_cxr/random/small/baseline/vgg16_pretrained/run_1"
    first = files.index(f"{run}/evaluation.json")
    expected = [f"{run}/{below}evaluation.json" for below in ("", "synthetic/ddpm/", "synthetic/pggan/")]
    assert files[first : first + 3] == expected
    assert plan.evaluation_targets("predictions.csv")[first] == f"{run}/predictions.csv"
    judged = {file for file in files if "/synthetic/" in file}
    assert all("/baseline/vgg16_pretrained/" in file for file in judged)


def test_costs_are_those_of_the_jobs_that_make_the_targets(plan):
    costs = [path.removeprefix("results/khazrak2025/benchmarks/") for path in plan.cost_targets()]
    assert len(set(costs)) == len(costs)
    counts = {stage: sum(job.startswith(f"{stage}/") for job in costs) for stage in ("train_generator", "judge")}
    assert counts == {"train_generator": len(plan.generator_targets()), "judge": 40}
    assert not any(job.startswith("select_model/") for job in costs), "no model is selected"


def test_a_seed_depends_on_the_wildcards_and_that_of_a_run_on_no_mix(plan):
    names = HERE | {"pool": "ddpm", "label": "NORMAL"}
    assert plan.seed("pool")(Wildcards(names)) == plan.study.seed("pool", *names.values())
    runs = [Wildcards(HERE | {"mix": mix, "classifier": "custom_cnn", "run": "2"}) for mix in ("baseline", "ddpm")]
    first, second = (plan.run_seed("training")(run) for run in runs)
    assert first == second == plan.study.seed("training", *HERE.values(), "custom_cnn", 2, bits=32)


def test_a_selecting_generator_has_models_and_controls_of_its_own(core):
    core["generators"]["ddpm"]["selection"] = {"method": "kid", "extractor": "resnet18_imagenet"}
    plan = Plan(Study(core))
    pool = Wildcards(HERE | {"pool": "ddpm", "label": "NORMAL"})
    maker = Wildcards(HERE | {"generator": "pggan", "unit": "NORMAL"})
    other = Wildcards(pool | {"pool": "pggan"})
    assert plan.quality_controls_of(Wildcards(pool)).endswith("small/ddpm/controls_NORMAL.json")
    assert plan.quality_controls_of(Wildcards(other)).endswith("small/controls_NORMAL.json")
    assert plan.withholding_model(pool).endswith("/small/ddpm/NORMAL/selected") and plan.withholding_model(other) == []
    assert [path.endswith("/pggan/NORMAL/model") for path in Inputs(plan).models_of_pool(other)] == [True]
    assert Inputs(plan).withholding(maker) == {} and Inputs(plan).selection_weights(maker) == []
    assert any("/select_model/" in path for path in plan.cost_targets())


def test_one_pretrained_model_serves_all_samplings(core, plan):
    maker = Wildcards(HERE | {"generator": "ddpm", "unit": "NORMAL"})
    assert Inputs(plan).start(maker) == [] and Inputs(plan).repeats_of("kaggle_cxr") == []
    assert plan.pretrained_targets() == [] and plan.constraints()["pretraining"] == "none"
    core["datasets"]["others"] = {"source": "folder", "role": "pretrain"}
    core["generators"]["ddpm"]["pretrain_on"] = "others"
    taught = Plan(Study(core))
    below = "results/khazrak2025"
    models = [f"{below}/generators/pretrained/others/ddpm/{label}/model" for label in ("NORMAL", "PNEUMONIA")]
    assert taught.pretrained_targets() == models
    assert {Inputs(taught).start(Wildcards(maker | {"sampling": name})) for name in taught.samplings} == {models[0]}
    assert Inputs(taught).start(Wildcards(maker | {"generator": "pggan"})) == []
    assert Inputs(taught).repeats_of("kaggle_cxr") == [f"{below}/data/kaggle_cxr/repeats/others.csv"]
    more = [f"{below}/benchmarks/pretrain_generator/others/ddpm/{label}.tsv" for label in ("NORMAL", "PNEUMONIA")]
    assert taught.cost_targets() == [*more, *plan.cost_targets()]
    assert taught.generator_targets() == plan.generator_targets() and taught.datasets == plan.datasets
    assert f"{below}/data/others/integrity.md" in taught.data_targets()


def test_a_pretraining_changes_no_seed_and_has_its_own(core, plan):
    names = Wildcards(HERE | {"generator": "ddpm", "unit": "NORMAL"})
    before = plan.seed("generator")(names)
    core["datasets"]["others"] = {"source": "folder", "role": "pretrain"}
    core["generators"]["ddpm"]["pretrain_on"] = "others"
    taught = Plan(Study(core))
    assert taught.seed("generator")(names) == before
    pretraining = Wildcards({"pretraining": "others", "generator": "ddpm", "unit": "NORMAL"})
    assert taught.seed("pretraining")(pretraining) == taught.study.seed("pretraining", "others", "ddpm", "NORMAL")


@pytest.mark.parametrize(
    ("per", "options", "asked"),
    [
        ("label", {}, False),
        ("label", {"attributes": []}, False),
        ("label", {"attributes": [], "lesions": "none"}, False),
        ("label", {"attributes": ["view"]}, True),
        ("label", {"lesions": "boxes"}, True),
        ("all", {}, True),
    ],
)
def test_pools_of_which_something_is_asked_are_looked_at_and_others_planned_as_before(core, per, options, asked):
    before = Plan(Study(core))
    core["generators"]["ddpm"]["per"] = per
    study = Study(core)
    study["generators"]["ddpm"]["options"] |= options
    plan, files = (
        Plan(study),
        [f"results/khazrak2025/fidelity/kaggle_cxr/{s}/small/ddpm.json" for s in ("random", "greedy")],
    )
    assert before.fidelity_targets() == [] and study.conditional_pools() == ["ddpm"] * asked
    assert plan.fidelity_targets() == files * asked
    costs = [path for path in plan.cost_targets() if "/condition_fidelity/" in path]
    assert costs == [
        file.replace("/fidelity/", "/benchmarks/condition_fidelity/").replace(".json", ".tsv") for file in files * asked
    ]
    if per == "label":
        assert [path for path in plan.cost_targets() if path not in costs] == before.cost_targets()
        assert plan.all_targets() == before.all_targets() and gpu_jobs(study) == gpu_jobs(before.study)


def test_conditions_are_read_off_the_pool_of_all_labels_by_the_first_extractor(core):
    core["quality"]["extractors"] = ["domain", "pixels"]
    core["generators"]["ddpm"]["per"] = "all"
    plan = Plan(Study(core))
    pool, results = Wildcards(HERE | {"pool": "ddpm"}), "results/khazrak2025"
    below = "kaggle_cxr/random/small/ddpm"
    assert plan.fidelity.format(**pool) == f"{results}/fidelity/{below}.json"
    assert Inputs(plan).labelled_features(pool) == [
        f"{results}/features/domain/pools/{below}/{label}.npz" for label in ("NORMAL", "PNEUMONIA")
    ]
    assert Inputs(plan).labelled_files(pool, "manifest.csv") == [
        f"{results}/pools/{below}/{label}/manifest.csv" for label in ("NORMAL", "PNEUMONIA")
    ]
    assert plan.quality_features_real(pool)[0] == f"{results}/features/domain/cohorts/kaggle_cxr/random/small/real.npz"


def test_no_label_or_pool_of_any_name_takes_the_place_of_what_is_said_of_conditions(core):
    core["labels"] = ["fidelity", "NORMAL"]
    core["generators"] = {"fidelity": {"family": "ddpm", "preset": "cpu", "per": "all"}}
    text = yaml.safe_dump(core).replace("PNEUMONIA", "fidelity")
    core = yaml.safe_load(text) | {"mixes": {"baseline": {"real": True}}}
    plan = Plan(Study(core))
    everything = [*plan.fidelity_targets(), *plan.quality_targets(), *plan.per_pool(plan.nearest), *plan.pool_targets()]
    assert len(plan.fidelity_targets()) == 2 and len(set(everything)) == len(everything)


def test_an_archive_has_a_place_of_its_own_and_needs_no_images(core):
    plan = Plan(Study(core | {"paper": {"source": "archive", "version": "v1"}}))
    assert plan.results == "results/khazrak2025/archive/v1"
    assert plan.numbers["costs"] == "resources/paper_cache/v1/costs.csv" and "predictions" not in plan.shown
    assert plan.all_targets() == plan.analysis_targets()


def test_test_tables_are_read_with_the_images_that_they_list(core):
    core["datasets"]["nih"] = {"source": "folder", "role": "external_test"}
    tables = Inputs(Plan(Study(core))).test_tables()
    data = "results/khazrak2025/data/{dataset}"
    assert tables == {"tests": data, "common": data, "external_nih": "results/khazrak2025/data/nih"}
