"""What of a dataset's entry leaves with metrics, archives and reports."""

import pytest
import yaml
from radsynth.common.schema import read_schema
from radsynth.study.config import Study
from radsynth.study.portable import LEFT_OUT, local_hash, portable, portable_pool

FOLDER = {
    "source": "folder",
    "path": "/home/jane/Private Clinic",
    "classes": {"NORMAL": "healthy of Dr Hook"},
    "patient_pattern": "(DOE.JANE)",
    "masks": "masks of Dr Hook",
    "mask_value": 2,
    "exclude": ["Moe left*", "Zoe*"],
    "test_split": "test",
}
STUDY = {
    "study": "mine",
    "labels": ["NORMAL", "PNEUMONIA"],
    "samplings": {"random": {"method": "random"}},
    "scenarios": {"small": {"train": {"NORMAL": 8, "PNEUMONIA": 8}}},
    "generators": {},
    "classifiers": {"custom_cnn": {"architecture": "custom_cnn"}},
}


def test_nothing_local_is_left_and_the_entry_stays_valid():
    study = Study({**STUDY, "datasets": {"mine": FOLDER}})
    entry = portable(study["datasets"]["mine"])
    text = yaml.safe_dump(entry)
    assert not any(name in text for name in ("jane", "Private", "Hook", "DOE", "Moe", "Zoe"))
    assert (entry["mask_value"], entry["test_split"], entry["path"]) == (2, "test", LEFT_OUT)
    again = Study({**STUDY, "datasets": {"mine": entry}})["datasets"]["mine"]
    assert again == entry == portable(again)


@pytest.mark.parametrize("key", ["path", "classes", "patient_pattern", "masks", "exclude"])
def test_a_change_of_what_is_left_out_is_told(key):
    other = FOLDER | {key: {"NORMAL": "sane"} if key == "classes" else "other"}
    assert portable(other).keys() == portable(FOLDER).keys()
    assert local_hash(other) != local_hash(FOLDER)


def test_every_text_of_ones_own_is_left_out():
    for source, schema in read_schema("sources").items():
        for key, option in schema["properties"].items():
            free = option.get("type") == "string" and not {"enum", "const"} & option.keys()
            assert not free or option.get("local"), f"{source}.{key}"


def test_the_table_that_a_pool_is_asked_by_is_left_out_and_the_entry_stays_valid():
    table = "/home/jane/Private Clinic/patients.csv"
    config = STUDY | {"datasets": {"mine": FOLDER}, "generators": {"ddpm": {"family": "ddpm", "per": "all"}}}
    pools = {
        "asked": {"kind": "sampled", "generator": "ddpm", "conditions": table},
        "fresh": {"kind": "sampled", "generator": "ddpm"},
    }
    study = Study({**config, "pools": pools})
    assert study.needs["asked"].files == (table,) and study.needs["fresh"].files == ()
    left = {name: portable_pool(pool, study.needs[name].files) for name, pool in study["pools"].items()}
    assert left == study["pools"] | {"asked": study["pools"]["asked"] | {"conditions": f"{LEFT_OUT}.csv"}}
    assert Study({**config, "pools": left})["pools"] == left, "as an archive is planned"
