"""The paper's grid in small (two generators, four classifiers), and the other arms, on 32 px phantoms."""

import json

import pandas as pd
import yaml

PHANTOM = {"source": "phantom", "images": {"NORMAL": 80, "PNEUMONIA": 60}}
GRID = {
    "study": "grid",
    "seed": 5,
    "image_size": 32,
    "labels": ["NORMAL", "PNEUMONIA"],
    "datasets": {"phantom": PHANTOM},
    "scenarios": {
        "imbalanced": {
            "train": {"NORMAL": 32, "PNEUMONIA": 16},
            "test": {"counts": {"NORMAL": 24, "PNEUMONIA": 12}},
            "augment_labels": ["PNEUMONIA"],
        }
    },
    "generators": {
        "ddpm": {
            "family": "ddpm",
            "preset": "cpu",
            "options": {"block_out_channels": [8, 8], "norm_groups": 4, "steps": 8, "previews": 0},
            "sampler": {"steps": 4},
        },
        "pggan": {
            "family": "pggan",
            "preset": "cpu",
            "options": {"start_images": 64, "fade_images": 64, "stabilize_images": 64, "previews": 1, "log_every": 4},
        },
    },
    "pool_size": 16,
    "quality": {"baseline_draws": 3, "diversity": []},
    "mixes": {"baseline": {"real": True}, "both": {"real": True, "pools": {"ddpm": 8, "pggan": 8}}},
    "runs": 1,
}
CNN = {"custom_cnn": {"architecture": "custom_cnn", "epochs": 2, "batch_size": 16}}


def run(checkout, snakemake, config, *targets):
    path = checkout / "study.yaml"
    path.write_text(yaml.safe_dump(config))
    result = snakemake(checkout, "--configfile", str(path), "--cores", "2", "--", *targets)
    assert result.returncode == 0, result.stdout[-3000:]
    return checkout / "results" / config["study"]


def test_two_generators_and_four_classifiers(checkout, snakemake):
    small = {"input_size": 32, "epochs": 1}
    classifiers = CNN | {"vgg16_untrained": {"architecture": "vgg16_untrained", **small}}
    for name in ("vgg16_pretrained", "resnet50_pretrained"):
        classifiers[name] = {"architecture": name, "weights": "random", **small}
    config = GRID | {"classifiers": classifiers, "experts": ["vgg16_pretrained"]}
    results = run(checkout, snakemake, config, "all")

    found = pd.read_csv(results / "metrics/classification.csv")
    own = found[(found["testset"] == "test_1") & (found["metric"] == "accuracy")]
    assert set(map(tuple, own[["classifier", "mix"]].to_numpy())) == {
        (classifier, mix)
        for classifier in classifiers
        for mix in (*GRID["mixes"], "matched_both", "baseline_corrected")
    }
    assert own["value"].between(0, 1).all()
    used = own.groupby("classifier")["weights"].unique().str.join("")
    assert used.to_dict() == {
        "custom_cnn": "none",
        "vgg16_untrained": "none",
        "vgg16_pretrained": "random",
        "resnet50_pretrained": "random",
    }
    training = pd.read_csv(results / "metrics/training.csv").groupby("generator")
    assert training["loss"].count()["ddpm"] > 0 and training["critic_loss"].count()["pggan"] > 1
    assert sorted(training["resolution"].unique()["pggan"]) == [8, 16, 32]
    quality = pd.read_csv(results / "metrics/quality.csv")
    assert set(quality["generator"]) == {"ddpm", "pggan"}
    assert set(quality["label"]) == {"PNEUMONIA"}, "no mix adds NORMAL images"
    cohort = results / "classifiers/phantom/random/imbalanced/baseline/vgg16_pretrained/run_1"
    judged = json.loads((cohort / "synthetic_pggan.json").read_text())
    assert judged["n"] == {"NORMAL": 0, "PNEUMONIA": 16}
    assert not list(results.glob("classifiers/**/custom_cnn/**/synthetic_*.json")), "only experts judge"
    assert "random" in (results / "summary.md").read_text(), "random weights are named in the answer"


def test_the_other_arms_and_an_external_dataset(checkout, snakemake):
    external = PHANTOM | {"images": {"NORMAL": 10, "PNEUMONIA": 14}, "role": "external_test"}
    mixes = {
        "baseline": {"real": True},
        "ddpm": {"real": True, "pools": {"ddpm": 16}},
        "ddpm_only": {"real": False, "pools": {"ddpm": 16}},
        "oversampled": {"real": True, "balance": "oversample"},
        "classical": {"real": True, "augment": "cxr"},
        "baseline_long": {"real": True, "steps": {"match": "ddpm"}},
    }
    config = GRID | {"study": "arms", "mixes": mixes, "classifiers": CNN, "validation": "images"}
    config["generators"] = {"ddpm": GRID["generators"]["ddpm"]}
    config["datasets"] = {"phantom": PHANTOM, "elsewhere": external}
    wanted = "results/arms/classifiers/phantom/random/imbalanced"
    targets = [f"{wanted}/{mix}/custom_cnn/run_1/training.json" for mix in (*mixes, "matched_ddpm")]
    results = run(checkout, snakemake, config, *targets, f"{wanted}/baseline/custom_cnn/run_1/external_elsewhere.json")

    cohort = checkout / wanted
    trained = {mix: json.loads((cohort / mix / "custom_cnn/run_1/training.json").read_text()) for mix in mixes}
    # Of 32 + 16 real images, 6 + 3 are kept for validation.
    assert trained["baseline"]["n"]["train"] == {"real": {"NORMAL": 26, "PNEUMONIA": 13}}
    assert trained["ddpm"]["n"]["train"] == {
        "real": {"NORMAL": 26, "PNEUMONIA": 13},
        "synthetic": {"PNEUMONIA": 16},
    }
    assert trained["ddpm_only"]["n"]["train"] == {"synthetic": {"NORMAL": 16, "PNEUMONIA": 16}}
    control = json.loads((cohort / "matched_ddpm/custom_cnn/run_1/training.json").read_text())
    assert control["n"] == {"train": {"real": {"NORMAL": 32, "PNEUMONIA": 16}}}, "all that the generator has seen"
    assert control["images_per_epoch"] == {"NORMAL": 26, "PNEUMONIA": 13 + 16}
    assert trained["oversampled"]["n"]["train"] == {"real": {"NORMAL": 26, "PNEUMONIA": 26}}
    assert trained["baseline_long"]["n"] == trained["classical"]["n"] == trained["baseline"]["n"]
    assert all(figures["n"]["validation"] == trained["baseline"]["n"]["validation"] for figures in trained.values())
    loss = {
        mix: pd.read_csv(cohort / mix / "custom_cnn/run_1/history.csv")["loss"].tolist()
        for mix in ("baseline", "classical", "baseline_long")
    }
    assert len(set(map(tuple, loss.values()))) == 3, "other pixels or other steps give another training"
    elsewhere = json.loads((cohort / "baseline/custom_cnn/run_1/external_elsewhere.json").read_text())
    assert elsewhere["n"] == {"NORMAL": 10, "PNEUMONIA": 14}
    gates = json.loads((results / "cohorts/phantom/random/imbalanced/gates.json").read_text())
    assert gates["checked"]["test_images"] == 36
    assert not (results / "cohorts/elsewhere").exists() and not (results / "generators/elsewhere").exists()
