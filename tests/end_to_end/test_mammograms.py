"""The whole line on mammograms: DICOM files and tables in, report out, by the rules that chest X-rays go through."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

STUDY = {
    "study": "mammograms",
    "seed": 7,
    "image_size": 64,
    "labels": ["BENIGN", "SUSPICIOUS"],
    "datasets": {
        "breasts": {
            "source": "vindr_mammo",
            "standin": {"studies": 30, "height": 160},
            "classes": {"by": "birads", "groups": {"BENIGN": [1, 2], "SUSPICIOUS": [4, 5]}},
            "flip_to": "left",
            "test_split": "test",
        }
    },
    "scenarios": {
        "small": {"train": {"BENIGN": 16, "SUSPICIOUS": 16}},
        "imbalanced": {
            "train": {"BENIGN": 32, "SUSPICIOUS": 12},
            "test": {"counts": {"BENIGN": 6, "SUSPICIOUS": 3}},
            "augment_labels": ["SUSPICIOUS"],
        },
    },
    "generators": {
        "ddpm": {
            "family": "ddpm",
            "preset": "cpu",
            "options": {"steps": 6, "previews": 0, "block_out_channels": [8, 16], "norm_groups": 4},
            "sampler": {"steps": 4},
        },
        "latent": {
            "family": "latent_diffusion",
            "preset": "cpu",
            "per": "all",
            "options": {
                **{"steps": 6, "previews": 0, "block_out_channels": [8, 16], "norm_groups": 4, "copies": 2},
                **{"autoencoder_steps": 4, "autoencoder_channels": [8, 8, 8], "bottleneck": "warn"},
                **{"attributes": ["view", "birads"], "continuous": ["age"], "lesions": "boxes"},
            },
            "sampler": {"steps": 4},
        },
    },
    "pools": {
        "ddpm": {"kind": "sampled", "generator": "ddpm"},
        "latent": {"kind": "sampled", "generator": "latent"},
        "replay": {"kind": "sampled", "generator": "latent", "conditions": "train", "guidance": 2},
        "written": {"kind": "sampled", "generator": "latent", "conditions": "asked.csv", "size": 2},
    },
    "pool_size": 12,
    "quality": {"baseline_draws": 2, "diversity": []},
    "mixes": {"baseline": {"real": True}, "mixed": {"real": True, "pools": {"ddpm": 6, "latent": 4}}},
    "classifiers": {"custom_cnn": {"architecture": "custom_cnn", "epochs": 1, "batch_size": 16}},
    "matched_controls": False,
    "runs": 1,
}


def run(checkout, snakemake, config, *targets):
    path = checkout / "study.yaml"
    path.write_text(yaml.safe_dump(config))
    result = snakemake(checkout, "--configfile", str(path), "--cores", "2", "--", *targets)
    assert result.returncode == 0, result.stdout[-3000:]
    return checkout / "results" / config["study"]


def check(results, size):
    """Check what a study on mammograms must have done, whatever its size."""
    data = results / "data/breasts"
    manifest = pd.read_csv(data / "manifest.csv", dtype=str, keep_default_na=False)
    assert set(manifest["origin"]) == {"procedural stand-in"} and set(manifest["split"]) == {"training", "test"}
    with Image.open(data / manifest["file"][0]) as image:
        assert image.mode == "L" and image.size == (size, size)
    boxes = [box for text in manifest["boxes"] for box in json.loads(text)]
    assert boxes and all(0 <= corner <= size for box in boxes for corner in box[:4])
    with Image.open(data / "samples.png") as samples:
        assert len(np.unique(np.asarray(samples).reshape(-1, 3), axis=0)) > 100
    assert "| laterality | BENIGN | SUSPICIOUS | all |" in (data / "counts.md").read_text()
    assert "| procedural |" in (data / "integrity.md").read_text()
    for table in results.glob("cohorts/breasts/*/*/*.csv"):
        splits = set(pd.read_csv(table)["split"])
        nothing_held_back = table.name == "validation.csv" and not splits
        assert nothing_held_back or splits == ({"test"} if table.name == "tests.csv" else {"training"}), table
    scores = pd.read_csv(results / "metrics/classification.csv").query("metric == 'accuracy'")
    assert set(scores["mix"]) == {"baseline", "baseline_corrected", "mixed"}
    assert scores["value"].between(0, 1).all()
    assert (results / "summary.md").read_text().strip()


def check_conditions(results):
    """Check what was asked of pools of a model that is told attributes and boxes."""
    train = pd.read_csv(results / "cohorts/breasts/random/imbalanced/train.csv", dtype=str, keep_default_na=False)
    pools = {
        name: results / f"pools/breasts/random/imbalanced/{name}/SUSPICIOUS" for name in ("latent", "replay", "written")
    }
    manifests = {name: pd.read_csv(pool / "manifest.csv", dtype=str) for name, pool in pools.items()}
    asked = {name: list(map(json.loads, manifest["condition"])) for name, manifest in manifests.items()}
    assert set(manifests["replay"]["guidance"]) == {"2"} and set(manifests["latent"]["guidance"]) == {"1"}
    own = train[train["label"] == "SUSPICIOUS"]
    told = {(row.view, row.birads, row.age) for row in own.itertuples()}
    for row in asked["replay"]:
        attributes = row["attributes"]
        assert (attributes["view"], attributes["birads"], attributes.get("age", "")) in told
    assert {row.get("attributes", {}).get("birads") for row in asked["latent"]} <= {"4", "5", None}
    assert asked["written"] == [
        {"label": "SUSPICIOUS", "attributes": {"view": "CC", "age": "50"}, "boxes": [[0.25, 0.5, 0.5, 0.75]]},
        {"label": "SUSPICIOUS", "attributes": {"view": "MLO"}, "boxes": []},
    ]
    masks = [np.asarray(Image.open(pools["written"] / file)) for file in manifests["written"]["mask_file"]]
    assert masks[0][32:48, 16:32].min() == 2 and (masks[0] == 2).sum() == 16 * 16 and not masks[1].any()
    found = json.loads((results / "fidelity/breasts/random/imbalanced/replay.json").read_text())
    assert {"label", "view", "birads", "lesion"} <= {row["asked"] for row in found["conditions"]}


ASKED = """label,view,age,boxes
BENIGN,CC,44,[]
BENIGN,MLO,,[]
SUSPICIOUS,CC,50,"[[0.25, 0.5, 0.5, 0.75]]"
SUSPICIOUS,MLO,,[]
"""


@pytest.mark.slow
def test_mammograms_from_dicom_to_words(checkout, snakemake):
    (checkout / "asked.csv").write_text(ASKED)
    results = run(checkout, snakemake, STUDY, "all")
    check(results, 64)
    check_conditions(results)
    gates = json.loads((results / "cohorts/breasts/random/small/gates.json").read_text())
    assert gates["patient_safe"] is True, "a study stands for the patient"
    again = snakemake(checkout, "--configfile", str(checkout / "study.yaml"), "--cores", "2")
    assert "Nothing to be done" in again.stdout, again.stdout[-2000:]


@pytest.mark.slow
def test_mammograms_at_256_px(checkout, snakemake):
    data = {"breasts": STUDY["datasets"]["breasts"] | {"standin": {"studies": 16, "height": 640}}}
    config = STUDY | {"study": "large", "image_size": 256, "datasets": data}
    config["scenarios"] = {"small": {"train": {"BENIGN": 12, "SUSPICIOUS": 8}}}
    growing = {"start_images": 32, "fade_images": 32, "stabilize_images": 32, "previews": 0}
    growing |= {"widths": [16, 16, 8, 8, 8, 8, 8]}
    narrow = {"steps": 3, "previews": 0, "batch_size": 4, "block_out_channels": [8, 16, 16, 16]}
    config["generators"] = {
        "ddpm": {"family": "ddpm", "preset": "cpu", "options": narrow, "sampler": {"steps": 4}},
        "pggan": {"family": "pggan", "preset": "cpu", "options": growing},
    }
    config["pool_size"] = 8
    del config["pools"]
    config["mixes"] = STUDY["mixes"] | {"mixed": {"real": True, "pools": {"ddpm": 6, "pggan": 6}}}
    check(run(checkout, snakemake, config, "all"), 256)
