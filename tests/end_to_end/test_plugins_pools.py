"""Two kinds of pools that the project does not have, each one file, one line and a schema, through the whole study."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from test_tiny_study import COMMAND, TINY, write_config

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"
LINES = {"filtered": "Filtered", "optimised": "Optimised"}
STUDY = TINY | {
    "pools": {
        "ddpm": {"kind": "sampled", "generator": "ddpm", "size": 16},
        "surest": {"kind": "filtered", "of": "ddpm", "classifier": "guide"},
        "better": {"kind": "optimised", "generator": "ddpm", "classifier": "guide"},
    },
    "mixes": {"baseline": {"real": True}}
    | {name: {"real": True, "pools": {name: 12}} for name in ("surest", "better")},
    "classifiers": TINY["classifiers"] | {"guide": {"architecture": "custom_cnn", "epochs": 3, "role": "steers"}},
    "experts": ["custom_cnn"],
    # What steers learns from the other label as well.
    "scenarios": {"small": TINY["scenarios"]["small"] | {"augment_labels": ["PNEUMONIA"]}},
    "runs": 1,
}


def install(checkout: Path) -> None:
    """Do what somebody does who adds a kind: its file, its line, its schema."""
    library, schemas = checkout / "workflow/scripts/radsynth", checkout / "workflow/schemas/pools"
    registry = library / "common/registry.py"
    line = '        "sampled": Entry("radsynth.pools.sampled:Sampled"),\n'
    text = registry.read_text()
    assert line in text
    for kind, name in LINES.items():
        shutil.copy(PLUGINS / f"{kind}.py", library / "pools")
        shutil.copy(PLUGINS / f"{kind}.schema.yaml", schemas)
        text = text.replace(line, f'{line}        "{kind}": Entry("radsynth.pools.{kind}:{name}"),\n')
    registry.write_text(text)


@pytest.mark.slow
def test_filtered_and_optimised_pools_go_through_the_whole_study(checkout, snakemake):
    install(checkout)
    write_config(checkout, STUDY)
    result = snakemake(checkout, *COMMAND)
    assert result.returncode == 0, result.stdout[-3000:]
    results, here = checkout / "results/tiny", "phantom/greedy/small"
    manifests = {name: results / f"pools/{here}/{name}" for name in STUDY["pools"]}
    assert {path.name for folder in manifests.values() for path in folder.iterdir()} == {"PNEUMONIA"}
    manifests = {name: pd.read_csv(folder / "PNEUMONIA/manifest.csv") for name, folder in manifests.items()}
    assert {name: len(manifest) for name, manifest in manifests.items()} == {"ddpm": 16, "surest": 12, "better": 12}
    sums = {name: set(manifest["sha256"]) for name, manifest in manifests.items()}
    assert sums["surest"] < sums["ddpm"] and not sums["better"] & sums["ddpm"]
    controls = {path.parent.name for path in results.glob(f"quality/{here}/**/controls_PNEUMONIA.json")}
    assert controls == {"small", "ddpm"}, "a pool of another size is held against as many images"
    trained = {path.relative_to(results / "classifiers").parts[3:5] for path in results.glob("classifiers/**/run_1")}
    arms = {"baseline", "surest", "better", "matched_better"}
    assert trained == {("baseline", "guide"), *((arm, "custom_cnn") for arm in arms)}, "what steers is trained once"
    assert not list(results.glob("classifiers/**/guide/run_1/evaluation*")), "and evaluated nowhere"
    known = json.loads((results / f"classifiers/{here}/matched_better/custom_cnn/run_1/training.json").read_text())
    assert set(known["n"]["train"]) == {"real"}
    metrics = results / "metrics"
    assert set(pd.read_csv(metrics / "quality.csv")["generator"]) == set(STUDY["pools"])
    assert set(pd.read_csv(metrics / "verdicts.csv")["mix"]) == {"surest", "better"}
    judged = pd.read_csv(metrics / "recognition.csv")
    assert set(judged["classifier"]) == {"custom_cnn"} and {"surest", "better"} <= set(judged["generator"])
    assert "Nothing to be done" in snakemake(checkout, *COMMAND).stdout

    # Another classifier makes its pools anew, not the one that it does not steer.
    write_config(
        checkout,
        STUDY | {"classifiers": STUDY["classifiers"] | {"guide": STUDY["classifiers"]["guide"] | {"epochs": 2}}},
    )
    plan = snakemake(checkout, *COMMAND, "-n").stdout
    drawn = {line.split()[-1] for line in plan.splitlines() if " of the pool " in line}
    assert drawn == {"surest", "better"}, plan[-3000:]
