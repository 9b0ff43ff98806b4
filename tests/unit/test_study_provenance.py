"""What pools have seen, and which studies are refused because of it: with two kinds that choose by a classifier."""

import copy
import shutil

import pytest
import yaml
from radsynth.checking.contents import plan_part
from radsynth.checking.needs import disk_needed
from radsynth.common import schema
from radsynth.common.errors import UserError
from radsynth.common.registry import KINDS, Entry
from radsynth.generators.base import Generator
from radsynth.generators.ddpm import DDPM
from radsynth.pools.kind import Needs, PoolKind
from radsynth.study import provenance
from radsynth.study.config import Study
from radsynth.study.gpu_hours import gpu_jobs


@pytest.fixture
def core(root, tmp_path, monkeypatch) -> dict:
    """The core study with both kinds of tests/plugins, and a classifier that only steers."""
    plugins, schemas = root / "tests/plugins", tmp_path / "schemas"
    shutil.copytree(root / "workflow/schemas", schemas)
    monkeypatch.setattr(schema, "SCHEMAS", schemas)
    monkeypatch.syspath_prepend(plugins)
    for kind, name in {"filtered": "Filtered", "optimised": "Optimised"}.items():
        shutil.copy(plugins / f"{kind}.schema.yaml", schemas / "pools")
        monkeypatch.setitem(KINDS["pools"], kind, Entry(f"{kind}:{name}"))
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    config["classifiers"]["guide"] = {"architecture": "custom_cnn", "role": "steers"}
    config["pools"] = {
        "ddpm": {"kind": "sampled", "generator": "ddpm"},
        "pggan": {"kind": "sampled", "generator": "pggan", "size": 3000},
        "surest": {"kind": "filtered", "of": "pggan", "classifier": "guide"},
        "better": {"kind": "optimised", "generator": "ddpm", "classifier": "guide", "size": 500},
    }
    config["mixes"] |= {name: {"real": True, "pools": {name: 500}} for name in ("surest", "better")}
    return config


def changed(core: dict, changes: dict) -> dict:
    config = copy.deepcopy(core)
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value
    return config


def test_a_pool_per_generator_is_what_a_study_without_pools_has(core, root):
    plain = yaml.safe_load((root / "config/config.yaml").read_text())
    pools = {
        name: {"size": 2000, "kind": "sampled", "generator": name, "conditions": "fresh"} for name in ("ddpm", "pggan")
    }
    assert Study(plain)["pools"] == pools
    study = Study(plain)
    assert Study(plain | {"pools": {name: dict(pool) for name, pool in pools.items()}}).config == study.config
    assert study.needs == {"ddpm": Needs(models=("ddpm",)), "pggan": Needs(models=("pggan",))}
    assert study.judges() == list(plain["classifiers"]) and study.pool_scenario("ddpm") == "small"


def test_the_closure_of_a_pool_holds_what_its_parents_need():
    needs = {
        "drawn": Needs(models=("gan",)),
        "chosen": Needs(pools=("drawn",), classifiers=("guide",)),
        "both": Needs(models=("ddpm",), pools=("chosen", "drawn"), datasets=("other",)),
    }
    assert provenance.closure(needs, "drawn") == needs["drawn"]
    assert provenance.closure(needs, "chosen") == Needs(("gan",), ("drawn",), ("guide",))
    assert provenance.closure(needs, "both") == Needs(("ddpm", "gan"), ("chosen", "drawn"), ("guide",), ("other",))


def test_what_steered_a_pool_has_learnt_from_all_labels_of_its_cohort(core):
    """The generators of the second cohort make PNEUMONIA alone; the classifier behind the pools knows NORMAL, too."""
    config = changed(core, {f"generators.{name}.train_on": "imbalanced" for name in ("ddpm", "pggan")})
    for scenario in config["scenarios"].values():
        scenario["augment_labels"] = ["PNEUMONIA"]
    study = Study(config)
    assert study.units("pggan") == ["PNEUMONIA"] == study.pool_labels("surest")
    assert study.arm("small", "matched_ddpm")["known"] == {"NORMAL": "small", "PNEUMONIA": "small"}
    both = {"NORMAL": "imbalanced", "PNEUMONIA": "small"}
    for mix in ("surest", "better"):
        assert provenance.known(study.config, study.needs, "small", mix) == both
    assert study.generator_scenarios() == ["imbalanced"] and study.spent() == {"NORMAL": 1500, "PNEUMONIA": 200}
    assert ["surest", "better"] in study.alike("small"), "one control, apart from that of the pools without a guide"


def test_the_cohort_of_a_pool_is_spent_even_if_no_generator_learnt_from_it(core):
    """A plain function of what is needed: nothing rests on the list of generators."""
    config = Study(core).config
    config["generators"]["pggan"]["train_on"] = "imbalanced"
    needs = {"surest": Needs(pools=("pggan",), classifiers=("guide",)), "pggan": Needs(models=("pggan",))}
    assert provenance.cohort_of(config, needs, "surest") == "imbalanced"
    assert provenance.scenarios_seen(config, needs) == ["small", "imbalanced"]
    assert provenance.labels_seen(config, needs, "pggan", "PNEUMONIA") == ["PNEUMONIA"]
    assert provenance.labels_seen(config, needs, "surest", "PNEUMONIA") == ["NORMAL", "PNEUMONIA"]


def test_parents_are_made_of_the_labels_that_their_children_need(core):
    for scenario in core["scenarios"].values():
        scenario["augment_labels"] = ["PNEUMONIA"]
    for mix in ("ddpm", "pggan"):
        del core["mixes"][mix]
    study = Study(core)
    assert study.pool_labels("surest") == study.pool_labels("pggan") == study.units("pggan") == ["PNEUMONIA"]
    assert study.pool_labels("ddpm") == ["NORMAL", "PNEUMONIA"], "in no mix, and nothing is made of it"
    assert study.units("ddpm") == ["NORMAL", "PNEUMONIA"]


def test_images_are_withheld_from_a_pool_if_all_its_makers_lack_them(core):
    core["generators"]["pggan"]["selection"] = {"method": "kid", "withhold": 0.2}
    study = Study(core)
    assert study.withholder("pggan") == "pggan" and study.withholder("ddpm") is None
    assert study.withholder("surest") is None, "the classifier has learnt from them"
    assert [pool for pool in study["pools"] if study.has_own_controls(pool)] == ["pggan", "better"]


def test_a_pool_that_is_chosen_from_one_with_conditions_has_them_too(core):
    core["generators"]["pggan"]["per"] = "all"
    assert Study(core).conditional_pools() == ["pggan", "surest"]


# The leak that is planted, and what is said of it.
REFUSED = {
    "a judge that steers": (
        {"classifiers.guide.role": "judges"},
        "pools.surest: the classifier guide steers it and is evaluated on mixes.surest; expected another one",
    ),
    "a judge behind the parent": (
        {
            "pools.again": {"kind": "filtered", "of": "better", "classifier": "guide", "size": 9},
            "pools.better.classifier": "resnet50_pretrained",
            "mixes.better": {"real": True, "pools": {"again": 9}},
        },
        "pools.again: the classifier resnet50_pretrained steers it and is evaluated on mixes.better",
    ),
    "an expert that steers": (
        {"classifiers.guide.role": "judges", "experts": ["guide"], "mixes": {"baseline": {"real": True}}},
        "pools.surest: the classifier guide steers it and is one of the experts",
    ),
    "an expert that only steers": ({"experts": ["guide"]}, "experts: guide steers pools, expected a classifier"),
    "measured by what steers": (
        {"quality": {"extractors": ["domain"], "domain_classifier": "guide"}},
        "pools.surest: the classifier guide steers it and is quality.domain_classifier",
    ),
    "nobody judges": ({"classifiers": {"guide": {"architecture": "custom_cnn", "role": "steers"}}}, "classifiers: all"),
    "parent of another cohort": (
        {
            "pools.surest": {"kind": "joined", "generator": "ddpm", "of": "pggan"},
            "generators.pggan.train_on": "imbalanced",
        },
        "pools.surest: the pool pggan knows the images of imbalanced, the generator ddpm those of small; expected one",
    ),
    "unknown parent": ({"pools.surest.of": "x"}, "pools.surest.of: unknown name 'x', expected one of ddpm, pggan"),
    "unknown generator": ({"pools.ddpm.generator": "x"}, "pools.ddpm.generator: unknown name 'x', expected one of"),
    "unknown classifier": ({"pools.surest.classifier": "x"}, "pools.surest.classifier: unknown name 'x'"),
    "unknown kind": ({"pools.ddpm.kind": "x"}, "pools.ddpm.kind: unknown kind 'x', expected one of sampled"),
    "option of another kind": ({"pools.ddpm.of": "pggan"}, "pools.ddpm.of: unknown key, expected one of conditions"),
    "conditions of no kind": (
        {"pools.ddpm.conditions": "freshh"},
        "pools.ddpm.conditions: 'freshh', expected fresh, train or a CSV file",
    ),
    "guidance of what is told nothing": (
        {"pools.ddpm.guidance": 2},
        "pools.ddpm.guidance: the generator ddpm is told nothing that its images could heed",
    ),
    "guidance of what cannot heed": (
        {"pools.pggan.guidance": 2},
        "pools.pggan.guidance: the generator pggan is told nothing that its images could heed",
    ),
    "a sampler's guidance of what is told nothing": (
        {"generators.ddpm.sampler": {"guidance": 2}},
        "generators.ddpm.sampler.guidance: the model is told nothing that its images could heed",
    ),
    "no option": ({"pools.ddpm": {"kind": "sampled"}}, "pools.ddpm.generator: missing"),
    "made of itself": ({"pools.surest.of": "surest"}, "pools.surest: is made of itself (surest of surest)"),
    "made of what is made of it": (
        {
            "pools.surest.of": "again",
            "pools.again": {"kind": "filtered", "of": "surest", "classifier": "guide"},
        },
        "pools.surest: is made of itself (surest of again of surest)",
    ),
    "more than the parent has": ({"pools.surest.size": 3001}, "pools.surest.size: 3001 images asked, but pggan can"),
    "more than the pool has": (
        {"mixes.better.pools": {"better": 501}},
        "mixes.better.pools.better: 501 images asked, but pools.better.size is 500",
    ),
    "made of nothing": ({"pools.surest": {"kind": "joined"}}, "pools.surest: needs neither a generator nor a pool"),
    "made of test images": (
        {"pools.surest": {"kind": "joined", "generator": "ddpm", "dataset": "kaggle_cxr"}},
        "pools.surest: is made from the dataset kaggle_cxr with role: study, whose images classifiers are tested on",
    ),
    "names alike but for case": (
        {"pools.DDPM": {"kind": "sampled", "generator": "ddpm"}},
        "pools: ddpm and DDPM differ in case alone",
    ),
}


class Joined(PoolKind):
    """Needs whatever it names."""

    @staticmethod
    def needs(entry):
        return Needs(
            *(tuple(entry[key] for key in keys if key in entry) for keys in (["generator"], ["of"], [], ["dataset"]))
        )


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_a_planted_leak_is_refused_in_one_line(core, tmp_path, monkeypatch, changes, message):
    monkeypatch.setitem(KINDS["pools"], "joined", Entry(f"{__name__}:Joined"))
    properties = {key: {"type": "string"} for key in ("generator", "of", "dataset")}
    (tmp_path / "schemas/pools/joined.schema.yaml").write_text(yaml.safe_dump({"properties": properties}))
    Study(copy.deepcopy(core))
    with pytest.raises(UserError) as error:
        Study(changed(core, changes))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_dataset_for_pools_is_no_test_set(core, tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS["pools"], "joined", Entry(f"{__name__}:Joined"))
    properties = {key: {"type": "string"} for key in ("generator", "of", "dataset")}
    (tmp_path / "schemas/pools/joined.schema.yaml").write_text(yaml.safe_dump({"properties": properties}))
    core["datasets"]["others"] = {"source": "folder", "role": "pools"}
    core["pools"]["surest"] = {"kind": "joined", "generator": "ddpm", "dataset": "others"}
    study = Study(core)
    assert study.needs["surest"].datasets == ("others",)
    assert study.datasets("pools") == ["others"] and "external_others" not in study.real_test_sets("small")


OTHERS = {"source": "folder", "role": "pretrain"}


def pretrained(core: dict, **generator) -> dict:
    core["datasets"]["others"] = dict(OTHERS)
    core["generators"]["ddpm"] |= {"pretrain_on": "others", **generator}
    return core


def test_pools_know_what_their_generators_were_pretrained_on(core, tmp_path, monkeypatch):
    plain = Study(copy.deepcopy(core))
    assert plain.datasets_seen() == [] and plain.pretrained() == {} and "pretrained" not in plain.facts()
    monkeypatch.setitem(KINDS["pools"], "joined", Entry(f"{__name__}:Joined"))
    properties = {key: {"type": "string"} for key in ("generator", "of", "dataset")}
    (tmp_path / "schemas/pools/joined.schema.yaml").write_text(yaml.safe_dump({"properties": properties}))
    core["datasets"]["drawn"] = {"source": "folder", "role": "pools"}
    core["pools"]["surest"] = {"kind": "joined", "generator": "ddpm", "dataset": "drawn"}
    study = Study(pretrained(core))
    assert study.datasets_seen() == ["others", "drawn"] and study.pretrained() == {"ddpm": "others"}
    assert "ddpm: ddpm, preset paper, pretrained on others; pggan" in study.facts()["generators"]
    assert "external_others" not in study.real_test_sets("small") and study.datasets("study") == ["kaggle_cxr"]
    assert study.controls("small") == plain.controls("small") and study.alike("small") == plain.alike("small")


def test_a_pretraining_takes_the_steps_of_its_own_training_or_those_asked_for(core):
    pretrained(core, options={"epochs": 3, "batch_size": 7}, selection={"method": "kid", "withhold": 0.2})
    assert Study(core).pretraining("ddpm", "NORMAL") == Study(core)["generators"]["ddpm"]["options"] | {"steps": 3 * 23}
    core["generators"]["ddpm"]["pretrain_steps"] = 5
    assert Study(core).pretraining("ddpm", "NORMAL")["steps"] == 5
    assert Study(core)["generators"]["ddpm"]["options"]["steps"] is None
    core["generators"]["pggan"] |= {"pretrain_on": "others", "pretrain_steps": 10**6}
    assert Study(core).pretraining("pggan", "NORMAL")["steps"] == 10**6


class Untaught(Generator):
    """A family of which no training begins from another model."""


@pytest.mark.parametrize(
    ("changes", "message"),
    {
        "unknown": (
            {"generators.ddpm.pretrain_on": "x"},
            "generators.ddpm.pretrain_on: unknown name 'x', expected one of kaggle_cxr, others",
        ),
        "tested on": (
            {"generators.ddpm.pretrain_on": "kaggle_cxr"},
            "generators.ddpm.pretrain_on: kaggle_cxr has role: study, whose images classifiers are tested on; expected",
        ),
        "external": (
            {"datasets.others.role": "external_test"},
            "generators.ddpm.pretrain_on: others has role: external_test, whose images classifiers are tested on; exp",
        ),
        "for pools": (
            {"datasets.others.role": "pools"},
            "generators.ddpm.pretrain_on: others has role: pools; expected a dataset with role: pretrain",
        ),
        "family": (
            {"generators.ddpm": {"family": "untaught", "pretrain_on": "others"}},
            "generators.ddpm.pretrain_on: untaught begins from no other model, expected a family that does",
        ),
        "steps of nothing": (
            {"generators.pggan.pretrain_steps": 5},
            "generators.pggan.pretrain_steps: 5, but there is no pretrain_on to take them on",
        ),
        "not grown": (
            {"generators.pggan.pretrain_on": "others", "generators.pggan.pretrain_steps": 5},
            "generators.pggan.pretrain_steps: 5 end at 8 px, expected at least ",
        ),
        "no steps": ({"generators.ddpm.pretrain_steps": 0}, "generators.ddpm.pretrain_steps: 0 is less than"),
        "made from": (
            {"pools.surest": {"kind": "joined", "generator": "ddpm", "dataset": "others"}},
            "pools.surest: is made from the dataset others with role: pretrain; expected one with role: pools",
        ),
        "no label": (
            {"datasets.others": {"source": "phantom", "role": "pretrain", "images": {"NORMAL": 9}}},
            "datasets.others.images",
        ),
    }.values(),
)
def test_a_pretraining_that_cannot_be_is_refused_in_one_line(core, tmp_path, monkeypatch, changes, message):
    monkeypatch.setitem(KINDS["pools"], "joined", Entry(f"{__name__}:Joined"))
    monkeypatch.setitem(KINDS["families"], "untaught", Entry(f"{__name__}:Untaught"))
    (tmp_path / "schemas/generators/untaught.schema.yaml").write_text("properties: {}")
    properties = {key: {"type": "string"} for key in ("generator", "of", "dataset")}
    (tmp_path / "schemas/pools/joined.schema.yaml").write_text(yaml.safe_dump({"properties": properties}))
    Study(copy.deepcopy(pretrained(core)))
    with pytest.raises(UserError) as error:
        Study(changed(core, changes))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_the_check_says_what_is_trained_before_the_cohorts(core):
    lines = plan_part(Study(pretrained(core))).lines
    said = "4 trainings on small (NORMAL, PNEUMONIA), after 2 trainings on others, 4 pools of 2,000 images"
    assert sum(said in line for line in lines) == 1
    jobs = [job for job in gpu_jobs(Study(core)) if job.startswith("pretrain_generator/")]
    assert jobs == [f"pretrain_generator/others/ddpm/{label}" for label in ("NORMAL", "PNEUMONIA")]
    without = copy.deepcopy(core)
    without["generators"]["ddpm"]["pretrain_on"] = None
    more, less = (disk_needed(Study(config), 0)["models"] for config in (core, without))
    assert more == less + 2 * 4 * DDPM.count_parameters(Study(core)["generators"]["ddpm"]["options"], 128)


def test_the_check_says_what_pools_are_made_with_and_what_only_steers(core):
    lines = plan_part(Study(core)).lines
    assert any(line.endswith("4 trainings on small (NORMAL, PNEUMONIA), 4 pools of 2,000 images") for line in lines)
    assert "pool surest (filtered): 4 pools of 2,000 images, made with pggan, guide" in lines
    assert "2 classifier trainings only to steer pools: guide" in lines
    assert Study(core).steering() == [("guide", "small")]
    steered = [job for job in gpu_jobs(Study(core)) if "guide" in job]
    drawn = ("random", "greedy")
    assert steered == [f"train_classifier/kaggle_cxr/{name}/small/baseline/guide/run_1" for name in drawn]
