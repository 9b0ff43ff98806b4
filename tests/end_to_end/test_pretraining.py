"""Generators that learn from phantoms before they see a tiny cohort, and a pretraining set that holds a test image."""

import json
import shutil

import pandas as pd
import pytest
import yaml
from PIL import Image
from radsynth.common.models import model_hash

pytestmark = pytest.mark.slow

PRETRAINED = {
    "study": "pretrained",
    "image_size": 32,
    "labels": ["NORMAL", "PNEUMONIA"],
    "datasets": {
        "own": {"source": "phantom", "images": {"NORMAL": 30, "PNEUMONIA": 30}},
        "others": {"source": "phantom", "role": "pretrain", "images": {"NORMAL": 24, "PNEUMONIA": 20}},
    },
    "scenarios": {
        "small": {
            "train": {"NORMAL": 8, "PNEUMONIA": 8},
            "test": {"counts": {"NORMAL": 10, "PNEUMONIA": 10}},
            "augment_labels": ["PNEUMONIA"],
        }
    },
    "generators": {
        "ddpm": {
            "family": "ddpm",
            "preset": "cpu",
            "pretrain_on": "others",
            "pretrain_steps": 5,
            "options": {"block_out_channels": [8, 8], "norm_groups": 4, "steps": 8, "log_every": 1, "previews": 0},
            "sampler": {"steps": 4},
        },
        "pggan": {
            "family": "pggan",
            "preset": "cpu",
            "pretrain_on": "others",
            "options": {
                **{"start_images": 16, "fade_images": 16, "stabilize_images": 16, "steps": 8, "batch_size": 16},
                **{"log_every": 1, "previews": 0},
            },
        },
    },
    "pool_size": 8,
    "mixes": {"baseline": {"real": True}, "both": {"real": True, "pools": {"ddpm": 4, "pggan": 4}}},
    "keras_backend": "torch",
    "runs": 1,
}
COHORT = "own/random/small"


def run(checkout, snakemake, config, *targets):
    (checkout / "study.yaml").write_text(yaml.safe_dump(config))
    return snakemake(checkout, "--configfile", "study.yaml", "--cores", "2", "--", *targets)


@pytest.fixture(scope="module")
def finished(module_checkout, snakemake):
    """A checkout in which both generators have been trained."""
    result = run(module_checkout, snakemake, PRETRAINED, "generators")
    assert result.returncode == 0, result.stdout[-3000:]
    return module_checkout


def test_each_training_begins_from_the_model_of_the_other_dataset(finished):
    results = finished / "results/pretrained"
    for name, steps in {"ddpm": 5, "pggan": 8}.items():
        start = results / f"generators/pretrained/others/{name}/PNEUMONIA/model"
        model = results / f"generators/{COHORT}/{name}/PNEUMONIA/model"
        assert (len(rows(start)), len(rows(model))) == (steps, 8)
        began = json.loads((model / "generator.json").read_text())["facts"]["start"]
        assert (began["pretrained_on"], began["data"]["n"], began["sha256"]) == ("others", 20, model_hash(start))
    critics = sorted(file.relative_to(results).parts[1] for file in results.glob("generators/**/critic.safetensors"))
    assert critics == ["pretrained"], "the model that makes the pool has none"
    resolutions = [[row["resolution"] for row in rows(folder)] for folder in (start, model)]
    assert resolutions[0][0] == 8 and resolutions[1] == [32] * 8
    assert not list(results.glob("generators/**/state"))


def rows(model):
    return [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]


def test_the_gates_have_looked_at_the_other_dataset(finished):
    results = finished / "results/pretrained"
    gates = json.loads((results / f"cohorts/{COHORT}/gates.json").read_text())
    assert gates["elsewhere"] == {"pixels": 0, "near_duplicates": 0, "patient": 0}
    assert list((results / "data/own/repeats").glob("*.csv")) == [results / "data/own/repeats/others.csv"]
    costs = [
        path.relative_to(results / "benchmarks").as_posix() for path in results.glob("benchmarks/pretrain_*/**/*.tsv")
    ]
    assert sorted(costs) == [f"pretrain_generator/others/{name}/PNEUMONIA.tsv" for name in ("ddpm", "pggan")]
    assert not (results / "cohorts/others").exists()


def test_a_test_image_that_was_re_encoded_into_the_other_dataset_stops_the_study(finished, snakemake):
    results = finished / "results/pretrained"
    data = {name: results / "data" / name for name in ("own", "others")}
    leak = pd.read_csv(results / f"cohorts/{COHORT}/tests.csv").iloc[0]
    raw = finished / "resources/raw/leaking"
    for label, listed in pd.read_csv(data["others"] / "manifest.csv").groupby("label"):
        (raw / label).mkdir(parents=True)
        for file in listed["file"]:
            shutil.copy(data["others"] / file, raw / label)
    with Image.open(data["own"] / leak["file"]) as image:
        image.save(raw / leak["label"] / "leak.jpg", quality=70)
    config = json.loads(json.dumps(PRETRAINED))
    config["datasets"]["leaking"] = {"source": "folder", "role": "pretrain"}
    for generator in config["generators"].values():
        generator["pretrain_on"] = "leaking"
    result = run(finished, snakemake, config, f"results/pretrained/generators/{COHORT}/ddpm/PNEUMONIA/model")
    assert result.returncode != 0
    log = (results / f"logs/gates/{COHORT}.log").read_text()
    error = next(line for line in log.splitlines() if " ERROR " in line)
    assert f"tests.csv: {leak['image_id']} and " in error and "leak" in error
    assert "of the dataset leaking, which pools know, are near duplicates (1 such images)" in error
    assert "gates.near_duplicates" in error
