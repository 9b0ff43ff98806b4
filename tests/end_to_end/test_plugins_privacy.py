"""An attack that the project does not have, one file, one line and a schema, through the whole study."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from test_tiny_study import COMMAND, HERE, TINY, write_config

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"
STUDY = TINY | {
    "attacks": {"nearest": {"kind": "nearest_image"}, "coarse": {"kind": "nearest_image", "size": 4}},
    "samplings": {"greedy": {"method": "random"}},  # members by chance, as attacks should have them
    "mixes": {"baseline": {"real": True}},
    "runs": 1,
}


def install(checkout: Path) -> None:
    """Do what somebody does who adds an attack: its file, its line, its schema."""
    library, schemas = checkout / "workflow/scripts/radsynth", checkout / "workflow/schemas/attacks"
    schemas.mkdir(exist_ok=True)
    shutil.copy(PLUGINS / "nearest_image.schema.yaml", schemas)
    shutil.copy(PLUGINS / "nearest_image.py", library / "privacy")
    registry, line = library / "common/registry.py", '    "attacks": {'
    text = registry.read_text()
    assert line in text
    entry = '"nearest_image": Entry("radsynth.privacy.nearest_image:NearestImage"), '
    registry.write_text(text.replace(line, line + entry))


@pytest.mark.slow
def test_an_attack_goes_through_the_whole_study(module_checkout, snakemake):
    install(module_checkout)
    write_config(module_checkout, STUDY)
    result = snakemake(module_checkout, *COMMAND)
    assert result.returncode == 0, result.stdout[-3000:]
    results = module_checkout / "results/tiny"
    attacks = pd.read_csv(results / "metrics/attacks.csv", keep_default_na=False)
    assert list(zip(attacks["label"], attacks["attack"], strict=True)) == [
        (label, attack) for label in TINY["labels"] for attack in sorted(STUDY["attacks"])
    ]
    summary = (results / "summary.md").read_text()
    said = summary.split("\n## Can an attacker tell who was trained on?\n")[1].split("\n## ")[0]
    cohort = pd.read_csv(results / f"cohorts/{HERE}/train.csv")
    tests = pd.read_csv(results / f"cohorts/{HERE}/tests.csv")
    for row in attacks.to_dict("records"):
        found = json.loads((results / f"privacy/{HERE}/ddpm/{row['label']}/{row['attack']}.json").read_text())
        assert found["n_members"] == row["n_members"] == (cohort["label"] == row["label"]).sum()
        assert found["n_non_members"] == tests.loc[tests["label"] == row["label"], "image_id"].nunique()
        assert row["auc"] == pytest.approx(found["auc"]) and found["low"] is not None and found["access"] == "images"
        assert f"- ddpm {row['label']}, {row['attack']} (reads images;" in said
        interval = f"AUC {found['auc']:.2f} [{found['low']:.2f}, {found['high']:.2f}], chance 0.5"
        assert interval in said and f"could have been shown {found['least_auc']:.2f}." in said
    assert "safe" not in said
    nearest = attacks[attacks["attack"] == "nearest"]["auc"].tolist()
    assert nearest != attacks[attacks["attack"] == "coarse"]["auc"].tolist(), "an option is heeded"
    assert "Nothing to be done" in snakemake(module_checkout, *COMMAND).stdout

    # Another option makes its attack anew and nothing else but what follows.
    write_config(
        module_checkout, STUDY | {"attacks": STUDY["attacks"] | {"coarse": {"kind": "nearest_image", "size": 2}}}
    )
    plan = snakemake(module_checkout, *COMMAND, "-n").stdout
    assert plan.count(": Attack coarse on the ") == 2 and ": Attack nearest" not in plan and ": Drawing 12 " not in plan
