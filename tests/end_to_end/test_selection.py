"""A study whose generators' models are chosen among those of their training."""

import json

import pandas as pd
import pytest
from PIL import Image
from test_tiny_study import TINY, write_config

OPTIONS = {"steps": 12, "previews": 0}
KID = {"method": "kid", "checkpoints": 3, "first": 3, "withhold": 0.3, "images": 16}
STUDY = TINY | {
    "datasets": {"phantom": {"source": "phantom", "images": {"NORMAL": 100, "PNEUMONIA": 100}}},
    "samplings": {"random": {"method": "random"}},
    "scenarios": {"small": {"train": {"NORMAL": 40, "PNEUMONIA": 40}, "augment_labels": ["PNEUMONIA"]}},
    "generators": {
        "chosen": {"family": "ddpm", "preset": "cpu", "options": OPTIONS, "selection": KID},
        "given": {
            "family": "ddpm",
            "preset": "cpu",
            "options": OPTIONS,
            "selection": {"method": "iteration", "step": 5},
        },
    },
    "mixes": {"baseline": {"real": True}, "both": {"real": True, "pools": {"chosen": 12, "given": 12}}},
    "classifiers": {"custom_cnn": {"architecture": "custom_cnn", "epochs": 1, "batch_size": 16}},
    "matched_controls": False,
    "validation": "none",
    "runs": 1,
}


@pytest.mark.slow
def test_pools_come_from_the_selected_model(checkout, snakemake):
    write_config(checkout, STUDY)
    command = ["--configfile", "study.yaml", "--cores", "2"]
    result = snakemake(checkout, *command)
    assert result.returncode == 0, result.stdout[-3000:]
    results = checkout / "results" / "tiny"

    unit = results / "generators/phantom/random/small/chosen/PNEUMONIA"
    assert [folder.name for folder in sorted((unit / "model/checkpoints").iterdir())] == [
        f"step_{step:09d}" for step in (3, 6, 12)
    ]
    assert {path.name for path in unit.iterdir()} == {
        *("model", "selected", "progress", "training.png", "preview.png", "selection.png", ".made"),
    }
    chosen = json.loads((unit / "selected/selection.json").read_text())
    assert [row["step"] for row in chosen["candidates"]] == [3, 6, 12] and chosen["step"] in (3, 6, 12)
    with Image.open(unit / "selection.png") as picture:
        assert picture.size[0] > 900
    cohort = pd.read_csv(results / "cohorts/phantom/random/small/train.csv", dtype=str, keep_default_na=False)
    withheld = cohort["image_id"].isin(pd.read_csv(unit / "model/withheld.csv", dtype=str)["image_id"])
    assert withheld.sum() == chosen["n_withheld"] == 12 and set(cohort.loc[withheld, "label"]) == {"PNEUMONIA"}
    others = cohort[~withheld & (cohort["label"] == "PNEUMONIA")]
    assert len(others) == chosen["n_trained"] == 28
    assert not set(cohort.loc[withheld, "patient_id"]) & set(others["patient_id"]), "patients are withheld whole"

    given = results / "generators/phantom/random/small/given/PNEUMONIA"
    assert json.loads((given / "selected/describe.json").read_text())["step"] == 5
    assert not (given / "model/withheld.csv").exists()
    for folder in (unit, given):
        manifest = pd.read_csv(results / f"pools/phantom/random/small/{folder.parent.name}/PNEUMONIA/manifest.csv")
        assert len(manifest) == 12
    for name, n in (("chosen", 28), ("given", 40)):
        report = json.loads((results / f"quality/phantom/random/small/{name}/PNEUMONIA.json").read_text())
        assert {row["n_reference"] for row in report["metrics"] if row["reference"] == "train"} == {n}, (
            "what it has seen"
        )
    costs = pd.read_csv(results / "metrics/costs.csv").query("stage == 'select_model'")
    assert sorted(costs["name"]) == ["chosen", "given"]
    assert set(costs["device"]) == {"cpu"}
    training = pd.read_csv(results / "metrics/training.csv")
    assert set(training["generator"]) == {"chosen", "given"}

    assert "Nothing to be done" in snakemake(checkout, *command).stdout
    chosen = STUDY["generators"]["chosen"] | {"selection": KID | {"images": 20}}
    write_config(checkout, STUDY | {"generators": STUDY["generators"] | {"chosen": chosen}})
    again = snakemake(checkout, *command, "-n", "-q", "rules").stdout
    assert "select_model" in again and "train_generator" not in again, "what chooses does not train"
