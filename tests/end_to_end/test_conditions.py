"""Whether a pool shows what was asked of it, from raw images on: a joint family is asked for labels."""

import json

import pytest
import yaml

FAMILY = '''
"""Training images with noise: of the label that is asked, with their masks, or of any."""

import numpy as np
from radsynth.generators.base import Generator


class Joint(Generator):
    accepts = frozenset({"label"})
    emits = frozenset({"image", "mask"})

    def learn(self, data, run_dir, seed):
        self.arrays = {"images": data.images, "masks": data.masks}
        for label in data.label_counts:
            self.arrays[label] = np.flatnonzero(data.labels == label)

    def draw(self, rng, condition):
        everyone = np.arange(len(self.arrays["images"]))
        index = rng.choice(self.arrays[condition["label"]] if self.options["heeds"] else everyone)
        image = self.arrays["images"][index] + rng.normal(0, 3, (32, 32, 1))
        return np.clip(image, 0, 255).astype(np.uint8), self.arrays["masks"][index]
'''
SCHEMA = """
type: object
properties:
  options:
    type: object
    additionalProperties: false
    properties:
      heeds: {description: Whether the label is heeded., type: boolean, default: true}
"""
STUDY = {
    "study": "asked",
    "seed": 5,
    "image_size": 32,
    "labels": ["NORMAL", "PNEUMONIA"],
    "datasets": {"phantom": {"source": "phantom", "images": {"NORMAL": 240, "PNEUMONIA": 240}}},
    "samplings": {"random": {"method": "random"}},
    "diversity_extractor": "pixels",
    "scenarios": {"small": {"train": {"NORMAL": 100, "PNEUMONIA": 100}}},
    "generators": {
        "heeding": {"family": "joint", "per": "all"},
        "deaf": {"family": "joint", "per": "all", "options": {"heeds": False}},
    },
    "pool_size": 40,
    "quality": {"extractors": ["pixels"], "diversity": []},
    "mixes": {"baseline": {"real": True}},
    "classifiers": {"custom_cnn": {"architecture": "custom_cnn"}},
    "runs": 1,
}


@pytest.mark.slow
def test_labels_and_lesions_of_joint_pools_are_told_where_they_are_shown(module_checkout, snakemake):
    library = module_checkout / "workflow/scripts/radsynth"
    (library / "generators/joint.py").write_text(FAMILY)
    (module_checkout / "workflow/schemas/generators/joint.schema.yaml").write_text(SCHEMA)
    registry, families = library / "common/registry.py", '    "families": {\n'
    entry = '        "joint": Entry("radsynth.generators.joint:Joint"),\n'
    registry.write_text(registry.read_text().replace(families, families + entry))
    (module_checkout / "study.yaml").write_text(yaml.safe_dump(STUDY))
    results, here = module_checkout / "results/asked", "phantom/random/small"
    targets = [f"results/asked/fidelity/{here}/{name}.json" for name in STUDY["generators"]]
    command = ["--configfile", "study.yaml", "--cores", "2", "--", *targets]
    result = snakemake(module_checkout, *command)
    assert result.returncode == 0, result.stdout[-3000:]
    found = {}
    for name in STUDY["generators"]:
        report = json.loads((results / f"fidelity/{here}/{name}.json").read_text())
        assert (report["extractor"], report["guidance"], report["n_synthetic"]) == ("pixels", "", 80)
        found[name] = {row["asked"]: row for row in report["conditions"]}
        assert (results / f"benchmarks/condition_fidelity/{here}/{name}.tsv").is_file()
    heeding, deaf = found["heeding"]["label"], found["deaf"]["label"]
    assert heeding["verdict"] not in ("", "not_told") and heeding["value"] > deaf["value"]
    control = ("real", "real_low", "real_high", "n_real", "n_train")
    assert deaf["verdict"] == "not_told" and all(deaf[key] == heeding[key] for key in control), "one reader"
    assert found["heeding"]["lesion"]["verdict"] != "" and found["heeding"]["lesion"]["n"] >= 30, "by the masks"
    assert "Nothing to be done" in snakemake(module_checkout, *command).stdout
