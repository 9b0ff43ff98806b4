"""The paper's grid in small (two generators, four classifiers), new families and other arms, on 32 px phantoms.

As in the core study the classifiers run on torch. There is no TensorFlow for these jobs.
"""

import json

import pandas as pd
import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.slow

JOINT = '''
"""One model of all labels: class mean and noise in two channels, and the mask, with what was boxed as a lesion."""

import numpy as np
from radsynth.generators.base import Generator


class Joint(Generator):
    accepts = frozenset({"label", "boxes"})
    emits = frozenset({"image", "mask"})
    channels = ("soft", "bone")

    def learn(self, data, run_dir, seed):
        for label in data.label_counts:
            own = data.labels == label
            self.arrays |= {label: data.images[own].mean(axis=0), f"mask of {label}": data.masks[own][0]}

    def draw(self, rng, condition):
        mask = self.arrays[f"mask of {condition['label']}"].copy()
        for box in condition.get("boxes", ()):
            x0, y0, x1, y1 = (round(edge * len(mask)) for edge in box)
            mask[y0:y1, x0:x1] = 2
        image = self.arrays[condition["label"]] + rng.normal(0, self.options["noise"], (*mask.shape, 2))
        return np.clip(image, 0, 255).astype(np.uint8), mask
'''
MASKED = '''
"""A training image with noise, and its mask."""

import numpy as np
from radsynth.generators.base import Generator


class Masked(Generator):
    emits = frozenset({"image", "mask"})

    def learn(self, data, run_dir, seed):
        self.arrays = {"images": data.images, "masks": data.masks}

    def draw(self, rng, condition):
        index = rng.integers(len(self.arrays["images"]))
        image = self.arrays["images"][index] + rng.normal(0, self.options["noise"], (32, 32, 1))
        return np.clip(image, 0, 255).astype(np.uint8), self.arrays["masks"][index]
'''
SCHEMA = """
type: object
properties:
  options:
    type: object
    additionalProperties: false
    properties:
      noise: {description: Standard deviation in grey levels., type: number, default: 12}
"""
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
        "joint": {"family": "joint", "per": "all"},
        "masked": {"family": "masked", "options": {"noise": 5}},
    },
    "pool_size": 16,
    "quality": {"baseline_draws": 3, "diversity": []},
    "mixes": {
        "baseline": {"real": True},
        "mixed": {"real": True, "pools": {"ddpm": 4, "pggan": 4, "joint": 4, "masked": 6}},
    },
    "keras_backend": "torch",
    "matched_controls": False,
    "runs": 1,
}
CNN = {"custom_cnn": {"architecture": "custom_cnn", "epochs": 2, "batch_size": 16}}
SMALL = {"input_size": 32, "epochs": 1}
CLASSIFIERS = {
    **CNN,
    "vgg16_untrained": {"architecture": "vgg16_untrained", **SMALL},
    "vgg16_pretrained": {"architecture": "vgg16_pretrained", "weights": "random", **SMALL},
    "resnet50_pretrained": {"architecture": "resnet50_pretrained", "weights": "random", **SMALL},
}


def run(checkout, snakemake, config, *targets):
    (checkout / "study.yaml").write_text(yaml.safe_dump(config))
    command = ["--configfile", "study.yaml", "--cores", "2", "--", *targets]
    result = snakemake(checkout, *command)
    assert result.returncode == 0, result.stdout[-3000:]
    return checkout / "results" / config["study"]


@pytest.fixture(scope="module", autouse=True)
def without_tensorflow(tmp_path_factory):
    """Jobs find no TensorFlow, and the environment asks for it: the configuration decides."""
    modules = tmp_path_factory.mktemp("modules")
    (modules / "tensorflow.py").write_text("raise ImportError('there is no TensorFlow here')\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(modules))
        patch.setenv("KERAS_BACKEND", "tensorflow")
        yield


@pytest.fixture(scope="module")
def finished(module_checkout, snakemake):
    """A checkout with two more families of generators and the finished grid."""
    generators = module_checkout / "workflow/scripts/radsynth/generators"
    for name, code in {"joint": JOINT, "masked": MASKED}.items():
        (generators / f"{name}.py").write_text(code)
        (module_checkout / f"workflow/schemas/generators/{name}.schema.yaml").write_text(SCHEMA)
        registry = module_checkout / "workflow/scripts/radsynth/common/registry.py"
        line = f'        "{name}": Entry("radsynth.generators.{name}:{name.title()}"),\n'
        registry.write_text(registry.read_text().replace('"families": {\n', '"families": {\n' + line))
    run(module_checkout, snakemake, GRID | {"classifiers": CLASSIFIERS, "experts": ["vgg16_pretrained"]}, "all")
    return module_checkout


def test_two_generators_and_four_classifiers(finished):
    results = finished / "results/grid"
    found = pd.read_csv(results / "metrics/classification.csv")
    own = found[(found["testset"] == "test_1") & (found["metric"] == "accuracy")]
    assert set(map(tuple, own[["classifier", "mix"]].to_numpy())) == {
        (classifier, mix) for classifier in CLASSIFIERS for mix in (*GRID["mixes"], "baseline_corrected")
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
    assert set(quality["generator"]) == set(GRID["generators"])
    assert set(quality["label"]) == {"PNEUMONIA"}, "no mix adds NORMAL images"
    cohort = results / "classifiers/phantom/random/imbalanced/baseline/vgg16_pretrained/run_1"
    judged = json.loads((cohort / "synthetic/pggan/evaluation.json").read_text())["synthetic_pggan"]
    assert judged["n"] == {"NORMAL": 0, "PNEUMONIA": 16}
    assert not list(results.glob("classifiers/**/custom_cnn/**/synthetic")), "only experts judge"
    assert "random" in (results / "summary.md").read_text(), "random weights are named in the answer"
    made = [json.loads(file.read_text()) for file in results.glob("classifiers/**/training.json")]
    examined = [json.loads(file.read_text())["test_1"] for file in results.glob("classifiers/**/run_*/evaluation.json")]
    assert len(made) == len(examined) == 8 and {report["backend"] for report in made + examined} == {"torch"}


def test_new_families_are_a_file_a_line_and_a_schema(finished):
    """A joint family with masks and two channels, and one with masks alone, have passed through the whole study."""
    results = finished / "results/grid"
    joint = results / "pools/phantom/random/imbalanced/joint/PNEUMONIA"
    table = pd.read_csv(joint / "manifest.csv")
    assert set(table["channels"]) == {"soft bone"} and table["mask_sha256"].str.fullmatch("[0-9a-f]{64}").all()
    with Image.open(joint / table["file"][0]) as image, Image.open(joint / table["mask_file"][0]) as mask:
        assert (image.mode, image.size, mask.mode, mask.size) == ("LA", (32, 32), "L", (32, 32))
    assert list((results / "generators/phantom/random/imbalanced/joint/joint/model").iterdir())
    pool = results / "pools/phantom/random/imbalanced/masked/PNEUMONIA"
    masked = pd.read_csv(pool / "manifest.csv")
    assert len(masked) == 16
    for file in masked["mask_file"]:
        with Image.open(pool / file) as mask:
            assert set(mask.tobytes()) <= {0, 1, 2}
    split = pd.read_csv(results / "classifiers/phantom/random/imbalanced/mixed/custom_cnn/run_1/split.csv")
    assert (split["origin"] == "synthetic").sum() == 4 + 4 + 4 + 6


def test_the_other_arms_and_an_external_dataset(finished, snakemake):
    """Added to the finished grid, whose data, cohort, models and pools serve them."""
    external = PHANTOM | {"images": {"NORMAL": 10, "PNEUMONIA": 14}, "role": "external_test"}
    mixes = {
        "baseline": {"real": True},
        "ddpm": {"real": True, "pools": {"ddpm": 16}},
        "ddpm_only": {"real": False, "pools": {"ddpm": 16}},
        "oversampled": {"real": True, "balance": "oversample"},
        "classical": {"real": True, "augment": "cxr"},
        "baseline_long": {"real": True, "steps": {"match": "ddpm"}},
    }
    config = GRID | {"mixes": mixes, "classifiers": CNN, "validation": "images", "matched_controls": True}
    config["generators"] = {"ddpm": GRID["generators"]["ddpm"]}
    config["datasets"] = {"phantom": PHANTOM, "elsewhere": external}
    wanted = "results/grid/classifiers/phantom/random/imbalanced"
    targets = [f"{wanted}/{mix}/custom_cnn/run_1/training.json" for mix in (*mixes, "matched_ddpm")]
    results = run(finished, snakemake, config, *targets, f"{wanted}/baseline/custom_cnn/run_1/evaluation.json")

    cohort = finished / wanted
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
    evaluation = json.loads((cohort / "baseline/custom_cnn/run_1/evaluation.json").read_text())
    elsewhere = evaluation["external_elsewhere"]
    assert elsewhere["n"] == {"NORMAL": 10, "PNEUMONIA": 14}
    gates = json.loads((results / "cohorts/phantom/random/imbalanced/gates.json").read_text())
    assert gates["checked"]["test_images"] == 36
    assert not (results / "cohorts/elsewhere").exists() and not (results / "generators/elsewhere").exists()
