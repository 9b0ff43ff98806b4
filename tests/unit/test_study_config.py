"""The configuration: defaults, one-line errors that name the key, and what follows from it."""

import copy
from datetime import date
from pathlib import Path

import pytest
import yaml
from radsynth.common.errors import UserError
from radsynth.study.config import Study
from radsynth.study.configfiles import check_file

OWN_FOLDER = {
    "study": "mine",
    "labels": ["healthy", "ill"],
    "datasets": {"mine": {"source": "folder", "path": "images"}},
    "scenarios": {"small": {"train": {"healthy": 20, "ill": 10}}},
}


@pytest.fixture
def core(root: Path) -> dict:
    return yaml.safe_load((root / "config" / "config.yaml").read_text())


def test_every_shipped_configuration_is_valid(root: Path):
    for path in (root / "config").glob("*.yaml"):
        Study(yaml.safe_load(path.read_text()))


def test_the_configuration_of_an_archive_is_one(root: Path):
    """So that an archive can be drawn, and its study be run again, from what lies in it."""
    archived = list((root / "resources/paper_cache").glob("*/config.yaml"))
    assert archived
    for path in archived:
        config = yaml.safe_load(path.read_text())
        assert Study(config)["study"] == config["study"]


def test_a_folder_of_ones_own_needs_four_keys():
    study = Study(OWN_FOLDER)
    assert study["positive_label"] == "ill"
    assert study["mixes"] == {"baseline": {"real": True, "pools": {}}, "ddpm": {"real": True, "pools": {"ddpm": 2000}}}
    assert study["generators"]["ddpm"]["train_on"] == "small"
    assert study["classifiers"]["custom_cnn"]["input_size"] == study["image_size"] == 128
    assert study.test_sets("small") == ["test_1"]


def test_the_core_study_is_the_papers(core):
    study = Study(core)
    assert study.test_sets("imbalanced") == ["test_1", "test_2", "test_3"]
    assert study.mix_pools("small", "ddpm") == [("ddpm", "NORMAL"), ("ddpm", "PNEUMONIA")]
    assert study.mix_pools("imbalanced", "ddpm") == [("ddpm", "PNEUMONIA")]
    assert study.mix_pools("small", "baseline") == []
    assert study.spent() == {"NORMAL": 200, "PNEUMONIA": 200}
    assert study.longest_prefix("NORMAL") == 1500
    options = study["generators"]["ddpm"]["options"]
    assert (options["timesteps"], options["batch_size"], options["learning_rate"]) == (8000, 16, 1e-4)


def test_a_mix_without_real_images_has_pools_of_all_labels(core):
    core["mixes"]["ddpm_only"] = {"real": False, "pools": {"ddpm": 2000}}
    assert Study(core).mix_pools("imbalanced", "ddpm_only") == [("ddpm", "NORMAL"), ("ddpm", "PNEUMONIA")]


def test_a_generator_makes_only_what_a_mix_adds_or_all_if_none_does(core):
    core["generators"]["unused"] = {"family": "ddpm"}
    study = Study(core)
    assert study.pool_labels("ddpm") == study.pool_labels("unused") == ["NORMAL", "PNEUMONIA"]
    del core["scenarios"]["small"]
    core["generators"] = {"ddpm": {"family": "ddpm", "train_on": "imbalanced"}}
    core["mixes"] = {"baseline": {"real": True}, "ddpm": {"real": True, "pools": {"ddpm": 2000}}}
    study = Study(core)
    assert study.pool_labels("ddpm") == study.units("ddpm") == ["PNEUMONIA"]


def test_test_sets_are_own_common_and_external_ones(core):
    core["datasets"]["nih"] = {"source": "folder", "role": "external_test"}
    study = Study(core)
    assert (study.datasets("study"), study.datasets("external_test")) == (["kaggle_cxr"], ["nih"])
    assert study.real_test_sets("small") == ["test_1", "common", "external_nih"]
    del core["samplings"]["greedy"]
    assert Study(core).real_test_sets("imbalanced") == [
        *("test_1", "test_2", "test_3", "external_nih"),
    ], "one sampling needs no common test set"


def test_mixes_of_one_composition_share_a_control_and_others_have_their_own(core):
    core["mixes"] |= {
        "ddpm_only": {"real": False, "pools": {"ddpm": 2000}},
        "half": {"real": True, "pools": {"ddpm": 1000}},
        "mixed": {"real": True, "pools": {"ddpm": 1000, "pggan": 1000}},
        "changed": {"real": True, "pools": {"pggan": 2000}, "augment": "cxr"},
        "oversampled": {"real": True, "balance": "oversample"},
    }
    study = Study(core)
    assert study.controls("small") == {
        **dict.fromkeys(("ddpm", "pggan", "mixed"), "matched_ddpm"),
        **{name: f"matched_{name}" for name in ("ddpm_only", "half", "changed")},
    }, "mixes without synthetic images have none"
    assert study.alike("small") == [["ddpm", "pggan", "mixed"], ["ddpm_only"], ["half"], ["changed"]]
    assert study.arms("small")[-4:] == ["matched_ddpm", "matched_ddpm_only", "matched_half", "matched_changed"]
    assert study.mix_pools("small", "matched_ddpm") == []
    arm = study.arm("imbalanced", "matched_changed")
    assert arm["mix"]["augment"] == "cxr" and arm["augmented"] == ["PNEUMONIA"] and arm["steps_of"] is None
    assert study.arm("small", "ddpm")["known"] is None
    assert Study(core | {"matched_controls": False}).controls("small") == {}


def test_a_control_draws_from_all_real_images_that_the_mix_knows(core):
    """The generator of PNEUMONIA has learnt from 1,500 + 200 images, so a mix of 200 + 200 knows those too."""
    core["generators"]["ddpm"] |= {"train_on": "imbalanced"}
    study = Study(core)
    assert study.arm("small", "matched_ddpm")["known"] == {"NORMAL": "imbalanced", "PNEUMONIA": "small"}
    assert study.arm("imbalanced", "matched_ddpm")["known"] == dict.fromkeys(core["labels"], "imbalanced")
    assert study.arm("small", "matched_pggan")["known"] == dict.fromkeys(core["labels"], "small")
    assert "matched_pggan" in study.arms("small"), "the mixes do not know the same images"
    assert study.controls("imbalanced") == {"ddpm": "matched_ddpm", "pggan": "matched_ddpm"}, "here they do"
    core["generators"]["ddpm"]["per"] = "all"
    core["scenarios"]["imbalanced"]["train"]["PNEUMONIA"] = 100
    joint = Study(core).arm("imbalanced", "matched_ddpm")["known"]
    assert joint == dict.fromkeys(core["labels"], "imbalanced"), "a joint model knows the images of all its labels"


def test_validation_is_none_unless_asked_for_and_only_patients_are_held_back_from_generators(core):
    assert core["validation"] == "images", "as in the paper"
    assert Study(OWN_FOLDER)["validation"] == "none"
    held_back = {name: Study(core | {"validation": name}).held_back() for name in ("none", "patients", "images")}
    assert held_back == {"none": None, "patients": 0.2, "images": None}
    core["generators"]["ddpm"]["selection"] = {"method": "kid", "withhold": 0.045}
    assert Study(core)["validation"] == "images"
    with pytest.raises(UserError, match=r"^generators.ddpm.selection.withhold: 0.045 of 160 images are 7"):
        Study(core | {"validation": "patients"})


# Of each way of validation, the fewest images of a label that do, and what is said of one image less.
FEWEST = {
    "none": ("none", 0.2, 2, "1 image to learn from (validation: none, so validation_fraction holds none back)"),
    "images": ("images", 0.2, 3, "2 images, of which validation_fraction 0.2 (validation: images) holds back 1 and le"),
    "half of the images": ("images", 0.5, 4, "3 images, of which validation_fraction 0.5 (validation: images) holds b"),
    "patients": ("patients", 0.2, 3, "2 images, of which validation_fraction 0.2 (validation: patients) holds back 0"),
    "few patients": ("patients", 0.01, 50, "49 images, of which validation_fraction 0.01 (validation: patients) holds"),
    "half of the patients": ("patients", 0.5, 4, "3 images, of which validation_fraction 0.5 (validation: patients) h"),
}


@pytest.mark.parametrize(("validation", "fraction", "fewest", "message"), FEWEST.values(), ids=FEWEST)
def test_too_few_images_to_learn_from_are_refused_when_planned(validation, fraction, fewest, message):
    def planned(n):
        train = {"train": {"healthy": 100, "ill": n}}
        return OWN_FOLDER | {"scenarios": {"s": train}, "validation": validation, "validation_fraction": fraction}

    assert Study(planned(fewest))["scenarios"]["s"]["train"]["ill"] == fewest
    with pytest.raises(UserError) as error:
        Study(planned(fewest - 1))
    assert str(error.value).startswith(f"scenarios.s.train.ill: {message}")
    assert validation == "none" or str(error.value).endswith(f"ask for at least {fewest} images, or another fraction")
    with pytest.raises(UserError, match=r"^scenarios.s.train.ill: 1 image.*validation_fraction"):
        Study(planned(1))


def test_a_share_that_leaves_next_to_nothing_asks_for_another(core):
    core |= {"validation": "images", "validation_fraction": 0.9999}
    with pytest.raises(
        UserError, match=r"holds back 200 and leaves 0 to learn from, .* left: ask for another fraction$"
    ):
        Study(core)


def test_labels_keep_the_order_of_the_study_whatever_order_scenarios_name_them_in():
    labels = ["zebra", "apple", "mango"]
    scenario = {"train": {"mango": 9, "apple": 9, "zebra": 9}, "augment_labels": ["mango", "apple", "zebra"]}
    study = Study(OWN_FOLDER | {"labels": labels, "scenarios": {"small": scenario}})
    assert study.mix_labels("small", "ddpm") == study.units("ddpm") == list(study.spent()) == labels
    assert list(study.arm("small", "matched_ddpm")["known"]) == labels
    scenario["augment_labels"] = ["mango", "zebra"]
    assert Study(OWN_FOLDER | {"labels": labels, "scenarios": {"small": scenario}}).mix_pools("small", "ddpm") == [
        ("ddpm", "zebra"),
        ("ddpm", "mango"),
    ]


def test_whole_numbers_with_a_point_are_whole_numbers(core):
    core |= {"runs": 3.0, "pool_size": 24.0}
    core["scenarios"]["small"]["train"]["NORMAL"] = 40.0
    core["generators"]["ddpm"]["options"] = {"steps": 100.0, "block_out_channels": [32.0] * 6}
    core["mixes"] = {"baseline": {"real": True}}
    study = Study(core)
    options = study["generators"]["ddpm"]["options"]
    numbers = [study["runs"], study["pool_size"], study["scenarios"]["small"]["train"]["NORMAL"], options["steps"]]
    assert [*numbers, *options["block_out_channels"]] == [3, 24, 40, 100, *[32] * 6]
    assert all(type(number) is int for number in [*numbers, *options["block_out_channels"]])


def test_a_key_that_stands_twice_and_bombs_of_aliases_are_refused_with_their_line(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("study: a\ngenerators:\n  ddpm: {family: ddpm}\n  # later\n  ddpm: {family: pggan}\n")
    with pytest.raises(UserError, match="study.yaml: the key ddpm stands twice, in lines 3 and 5$"):
        check_file(file)
    file.write_text(
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
            for before, name in zip("abcdef", "bcdefg", strict=True)
        )
    )
    with pytest.raises(UserError, match="more than 100,000 values, by aliases"):
        check_file(file)
    file.write_text("a: &a {x: 1}\nb: {x: *a, y: *a}\nc: {<<: *a, x: 2}\n")
    check_file(file)


def test_joint_models_have_one_unit(core):
    core["generators"]["both"] = {"family": "ddpm", "per": "all"}
    study = Study(core)
    assert study.units("both") == ["joint"] and study.unit("both", "NORMAL") == "joint"
    assert study.units("ddpm") == ["NORMAL", "PNEUMONIA"]


WRONG = {
    "unknown key": ({"epochs": 3}, "epochs: unknown key"),
    "wrong type": ({"runs": "five"}, "runs: 'five' (str), expected integer"),
    "out of range": ({"runs": 0}, "runs: 0 is less than the minimum of 1"),
    "nested unknown key": ({"classifiers.custom_cnn.epoch": 3}, "classifiers.custom_cnn.epoch: unknown key"),
    "one label": ({"labels": ["NORMAL"]}, "labels:"),
    "label like a joint model": ({"labels": ["NORMAL", "joint"]}, "labels: joint has a meaning of its own"),
    "scenario like a rule": (
        {"scenarios.order": {"train": {"NORMAL": 5, "PNEUMONIA": 5}}},
        "scenarios: order has a meaning of its own",
    ),
    "a control's name": (
        {"mixes.matched_ddpm": {"real": True}},
        "mixes.matched_ddpm: this name is kept for an arm that is made by itself",
    ),
    "number as a name": (
        {"samplings": {1: {"method": "random"}}},
        "samplings.1: YAML reads 1 as a number; write '1'",
    ),
    "no as a key": (
        {"scenarios.small.train": {False: 5, "PNEUMONIA": 5}},
        "scenarios.small.train.no: YAML reads no (also off, false) as a truth value; write 'no'",
    ),
    "nothing as a key": (
        {"scenarios.small.train": {None: 5, "PNEUMONIA": 5}},
        "scenarios.small.train.null: nothing stands here (YAML reads null and ~ so, too); write 'null'",
    ),
    "no and yes as labels": (
        {"labels": [False, True]},
        "labels.0: YAML reads no (also off, false) as a truth value; write 'no'",
    ),
    "yes as a name": ({"study": True}, "study: YAML reads yes (also on, true) as a truth value; write 'yes'"),
    "no as a folder": (
        {"datasets.own": {"source": "folder", "classes": {"NORMAL": False}}},
        "datasets.own.classes.NORMAL: YAML reads no (also off, false) as a truth value; write 'no'",
    ),
    "no as one of some words": (
        {"validation": False},
        "validation: YAML reads no (also off, false) as a truth value, expected none or patients or images",
    ),
    "numbers as labels": ({"labels": [0, 1]}, "labels.0: YAML reads 0 as a number; write '0'"),
    "number as a split": (
        {"datasets.own": {"source": "folder", "test_split": 1}},
        "datasets.own.test_split: YAML reads 1 as a number; write '1'",
    ),
    "date as a name": ({"study": date(2026, 11, 28)}, "study: YAML reads 2026-11-28 as a date; write '2026-11-28'"),
    "nothing as a label": (
        {"labels": [None, "x"]},
        "labels.0: nothing stands here (YAML reads null and ~ so, too); write",
    ),
    "nothing behind a key": (
        {"labels": None},
        "labels: nothing stands here (YAML reads null and ~ so, too), expected a list",
    ),
    "label with a space": (
        {"labels": ["NORMAL", "Viral Pneumonia"]},
        "labels.1: 'Viral Pneumonia' is not a safe name, expected the letters a-z and A-Z, digits, _ and - alone; "
        "name the label VIRAL_PNEUMONIA and map it: classes: {VIRAL_PNEUMONIA: Viral Pneumonia}",
    ),
    "label that its mapping must quote": (
        {"labels": ["NORMAL", "Entzündung: (pos)"]},
        "labels.1: 'Entzündung: (pos)' is not a safe name, expected the letters a-z and A-Z, digits, _ and - alone; "
        "name the label ENTZUNDUNG_POS and map it: classes: {ENTZUNDUNG_POS: 'Entzündung: (pos)'}",
    ),
    "label in other letters": (
        {"labels": ["NORMAL", "肺炎"]},
        "labels.1: '肺炎' is not a safe name, expected the letters a-z and A-Z, digits, _ and - alone; "
        "name the label MY_LABEL and map it: classes: {MY_LABEL: 肺炎}",
    ),
    "name with a space": (
        {"scenarios.very small": {"train": {"NORMAL": 5, "PNEUMONIA": 5}}},
        "scenarios.very small: 'very small' is not a safe name, expected the letters a-z and A-Z, digits, _ and - "
        "alone; very_small would do",
    ),
    "name with a line's end": ({"study": "own\n"}, "study: 'own\\n' is not a safe name"),
    "label with a line's end": ({"labels": ["NORMAL", "ILL\n"]}, "labels.1: 'ILL\\n' is not a safe name"),
    "long name": ({"study": "a" * 41}, "study: a name of 41 characters, expected at most 40"),
    "long key": (
        {"mixes." + "m" * 41: {"real": True}},
        "mixes.mmmmmmmmmmmmmmmmmmmm...: a name of 41 characters, expected at most 40",
    ),
    "names alike but for case": (
        {"samplings.Random": {"method": "random"}},
        "samplings: random and Random differ in case alone",
    ),
    "labels alike but for case": ({"labels": ["ill", "Ill"]}, "labels: ill and Ill differ in case alone"),
    "name of a device": ({"study": "Aux"}, "study: Aux is the name of a device on some systems"),
    "no number": ({"validation_fraction": float("nan")}, "validation_fraction: nan is no finite number"),
    "infinity": (
        {"generators.ddpm.options": {"learning_rate": float("inf")}},
        "generators.ddpm.options.learning_rate: inf is no finite number",
    ),
    "part of an image": ({"scenarios.small.train.NORMAL": 24.5}, "scenarios.small.train.NORMAL: 24.5 (float)"),
    "endless runs": ({"runs": 10**9}, "runs: 1000000000 is greater than the maximum of 1000"),
    "login in an address": (
        {"datasets.m": {"source": "medmnist", "name": "breastmnist", "base_url": "https://me:secret@x.org/files"}},
        "datasets.m.base_url: holds a login",
    ),
    "login in an address without a scheme": (
        {"datasets.m": {"source": "medmnist", "name": "breastmnist", "base_url": "me:secret@x.org/files"}},
        "datasets.m.base_url: holds a login",
    ),
    "token in an address": (
        {"datasets.m": {"source": "medmnist", "name": "breastmnist", "base_url": "https://x.org/files?token=secret"}},
        "datasets.m.base_url: holds a login or a token",
    ),
    "path as a name": ({"study": "a/b"}, "study: 'a/b' is not a safe name, expected the letters a-z"),
    "pattern without a group": (
        {"datasets.nih": {"source": "folder", "patient_pattern": r"\d+_"}},
        "datasets.nih.patient_pattern: '\\\\d+_' has 0 groups, expected one group",
    ),
    "pattern that is none": (
        {"datasets.nih": {"source": "folder", "patient_pattern": "("}},
        "datasets.nih.patient_pattern: '(' is no regular expression",
    ),
    "half a comparison": ({"compare": ["demo"]}, "compare: demo alone, expected two names"),
    "unknown positive label": ({"positive_label": "ILL"}, "positive_label: unknown name 'ILL'"),
    "unknown source": ({"datasets.kaggle_cxr.source": "web"}, "datasets.kaggle_cxr.source: unknown source 'web'"),
    "unknown source option": ({"datasets.kaggle_cxr.sice": 1}, "datasets.kaggle_cxr.sice: unknown key"),
    "label without images": ({"scenarios.small.train": {"NORMAL": 5}}, "scenarios.small.train.PNEUMONIA: missing"),
    "unknown class": (
        {"scenarios.small.train": {"NORMAL": 5, "PNEUMONIA": 5, "COVID": 5}},
        "scenarios.small.train: unknown name 'COVID'",
    ),
    "unknown augment label": ({"scenarios.small.augment_labels": ["X"]}, "scenarios.small.augment_labels"),
    "no augment label": ({"scenarios.small.augment_labels": []}, "scenarios.small.augment_labels"),
    "wrong test": ({"scenarios.small.test": "all"}, "scenarios.small.test:"),
    "unknown family": ({"generators.ddpm.family": "gan"}, "generators.ddpm.family: unknown family 'gan'"),
    "unknown preset": ({"generators.ddpm.preset": "huge"}, "generators.ddpm.preset: unknown preset 'huge'"),
    "unknown hyperparameter": ({"generators.ddpm.options": {"lr": 1}}, "generators.ddpm.options.lr: unknown key"),
    "hyperparameter of a wrong type": (
        {"generators.ddpm.options": {"timesteps": "many"}},
        "generators.ddpm.options.timesteps: 'many' (str), expected integer",
    ),
    "unknown scenario": ({"generators.ddpm.train_on": "large"}, "generators.ddpm.train_on: unknown name 'large'"),
    "pool of nobody": ({"mixes.ddpm.pools": {"gan": 5}}, "mixes.ddpm.pools: unknown name 'gan'"),
    "pool too small": ({"mixes.ddpm.pools": {"ddpm": 2001}}, "mixes.ddpm.pools.ddpm: 2001 images asked"),
    "empty mix": ({"mixes.nothing": {"real": False}}, "mixes.nothing: neither real images nor a pool"),
    "synthetic baseline": ({"mixes.baseline.pools": {"ddpm": 5}}, "mixes.baseline: expected {real: true}"),
    "augmented baseline": ({"mixes.baseline.augment": "cxr"}, "mixes.baseline: expected {real: true}"),
    "unknown validation": ({"validation": "folds"}, "validation: 'folds' (str), expected none or patients or images"),
    "no baseline": ({"mixes": {"ddpm": {"real": True}}}, "mixes.baseline: missing"),
    "size that cannot be halved": ({"image_size": 72}, "generators.ddpm.options.block_out_channels: 6 levels halve"),
    "unknown way to choose a model": (
        {"generators.ddpm.selection": {"method": "fid"}},
        "generators.ddpm.selection.method: 'fid' (str), expected last or iteration or kid",
    ),
    "key of another way": (
        {"generators.ddpm.selection": {"method": "iteration", "step": 5, "images": 3}},
        "generators.ddpm.selection.images: unknown key, expected one of method, step",
    ),
    "step beyond the training": (
        {"generators.ddpm.selection": {"method": "iteration", "step": 6657}},
        "generators.ddpm.selection.step: 6657, expected 1 to 6656 steps",
    ),
    "step before the last resolution": (
        {"generators.pggan.selection": {"method": "iteration", "step": 100000}},
        "generators.pggan.selection.step: 100000, expected 133334 to 160000 steps",
    ),
    "unknown extractor of a choice": (
        {"generators.ddpm.selection": {"method": "kid", "extractor": "domain"}},
        "generators.ddpm.selection.extractor: domain exists only after the cohort",
    ),
    "too few to withhold": (
        {"generators.ddpm.selection": {"method": "kid", "withhold": 0.03}},
        "generators.ddpm.selection.withhold: 0.03 of 200 images are 6, expected at least 8",
    ),
    "more steps than timesteps": (
        {"generators.ddpm.sampler": {"steps": 9000}},
        "generators.ddpm.sampler.steps: 9000, expected at most the model's 8000 timesteps",
    ),
    "PGGAN that stops too early": (
        {"generators.pggan.options": {"steps": 1000}},
        "generators.pggan.options.steps: 1000 end at 8 px",
    ),
    "unknown role": ({"datasets.kaggle_cxr.role": "x"}, "datasets.kaggle_cxr.role: 'x' (str), expected study"),
    "only external": ({"datasets.kaggle_cxr.role": "external_test"}, "datasets: all are external_test"),
    "unknown expert": ({"experts": ["radiologist"]}, "experts: unknown name 'radiologist'"),
    "unknown balance": ({"mixes.baseline.balance": "x"}, "mixes.baseline.balance: 'x'"),
    "steps of nobody": ({"mixes.ddpm.steps": {"match": "x"}}, "mixes.ddpm.steps.match: unknown name 'x'"),
    "steps of itself": ({"mixes.ddpm.steps": {"match": "ddpm"}}, "mixes.ddpm.steps.match: ddpm takes its steps"),
    "unknown extractor": ({"quality.extractors": ["vgg"]}, "quality.extractors: unknown name 'vgg'"),
    "unknown classifier of the domain": (
        {"quality.domain_classifier": "x"},
        "quality.domain_classifier: unknown name 'x', expected one of custom_cnn",
    ),
    "unknown diversity": ({"quality.diversity": ["ssim"]}, "quality.diversity.0: 'ssim' (str), expected ms_ssim or"),
    "no pairs": ({"quality.diversity_pairs": 1}, "quality.diversity_pairs: 1 is less than"),
    "diversity of cohorts by what they train": (
        {"diversity_extractor": "domain"},
        "diversity_extractor: domain exists only after the cohort, expected pixels or",
    ),
    "sampling by what it trains": (
        {"samplings.greedy.extractor": "domain"},
        "samplings.greedy.extractor: domain exists only after the cohort, expected pixels or",
    ),
    "greedy without features": ({"samplings.greedy": {"method": "k_center_greedy"}}, "samplings.greedy.extractor"),
    "random with features": (
        {"samplings.random": {"method": "random", "extractor": "pixels"}},
        "samplings.random.extractor",
    ),
    "unknown architecture": ({"classifiers.custom_cnn.architecture": "x"}, "classifiers.custom_cnn.architecture"),
    "more phantoms than made": (
        {"datasets.kaggle_cxr": {"source": "phantom", "images": {"NORMAL": 1500, "PNEUMONIA": 900}}},
        "scenarios.imbalanced.train.NORMAL: 1500 images asked, but datasets.kaggle_cxr has 1500",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_wrong_configurations_name_the_key_in_one_line(core, change, message):
    config = copy.deepcopy(core)
    for dotted, value in change.items():
        *parents, last = dotted.split(".")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value
    with pytest.raises(UserError) as error:
        Study(config)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_the_domain_is_that_of_the_first_classifier_unless_another_is_named(core):
    core["quality"]["extractors"] = ["pixels", "domain"]
    assert Study(core)["quality"]["domain_classifier"] == "custom_cnn"
    core["quality"]["domain_classifier"] = "vgg16_pretrained"
    assert Study(core)["quality"]["domain_classifier"] == "vgg16_pretrained"


def test_missing_keys_are_named():
    config = copy.deepcopy(OWN_FOLDER)
    del config["scenarios"]
    with pytest.raises(UserError, match="^scenarios: missing$"):
        Study(config)


def test_seeds_depend_on_their_parts(core):
    study = Study(core)
    assert study.seed("generator", "a") == study.seed("generator", "a") != study.seed("generator", "b")
    core["seed"] += 1
    assert Study(core).seed("generator", "a") != study.seed("generator", "a")
