"""The whole line on 32 px phantoms: images in, tables, figures and words out; and what interrupts it."""

import filecmp
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

# The smallest that trains: most of the time goes into starting jobs.
SMALL_UNET = {"block_out_channels": [8, 8], "norm_groups": 4}
TINY = {
    "study": "tiny",
    "seed": 3,
    "image_size": 32,
    "labels": ["NORMAL", "PNEUMONIA"],
    "datasets": {"phantom": {"source": "phantom", "images": {"NORMAL": 60, "PNEUMONIA": 60}}},
    "samplings": {"greedy": {"method": "k_center_greedy", "extractor": "pixels"}},
    "scenarios": {"small": {"train": {"NORMAL": 24, "PNEUMONIA": 24}}},
    "generators": {
        "ddpm": {
            "family": "ddpm",
            "preset": "cpu",
            "options": {**SMALL_UNET, "steps": 12, "previews": 1},
            "sampler": {"steps": 4},
        }
    },
    "pool_size": 12,
    "quality": {"extractors": ["pixels"], "baseline_draws": 3},
    "mixes": {"baseline": {"real": True}, "ddpm": {"real": True, "pools": {"ddpm": 12}}},
    "classifiers": {"custom_cnn": {"architecture": "custom_cnn", "epochs": 2, "batch_size": 16}},
    "validation": "patients",
    "runs": 2,
}


def write_config(folder: Path, config: dict) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_tiny_study_from_images_to_words(checkout, snakemake, tmp_path):
    config = write_config(checkout, TINY)
    command = ["--configfile", str(config), "--cores", "2"]
    first = snakemake(checkout, *command)
    assert first.returncode == 0, first.stdout[-3000:]
    results = checkout / "results" / "tiny"

    pool = results / "pools/phantom/greedy/small/ddpm/NORMAL"
    manifest = pd.read_csv(pool / "manifest.csv")
    assert list(manifest["index"]) == list(range(12)) and manifest["model_hash"].nunique() == 1
    assert len({(pool / file).read_bytes() for file in manifest["file"]}) == 12
    with Image.open(pool / manifest["file"][0]) as image:
        assert image.mode == "L" and image.size == (32, 32)

    accuracy = pd.read_csv(results / "metrics/classification.csv").query("metric == 'accuracy'")
    arms = {"baseline", "baseline_corrected", "ddpm", "matched_ddpm"}
    assert set(accuracy["mix"]) == arms and set(accuracy["run"]) == {1, 2}
    assert accuracy["value"].between(0, 1).all()
    cohort = results / "cohorts/phantom/greedy/small"
    apart = set(pd.read_csv(cohort / "validation.csv")["image_id"])
    splits = {path.parts[-4]: pd.read_csv(path) for path in results.glob("classifiers/**/run_*/split.csv")}
    assert set(splits) == arms - {"baseline_corrected"}
    for split in splits.values():
        assert set(split.loc[split["subset"] == "validation", "image_id"]) == apart
    trained = json.loads(
        (results / "classifiers/phantom/greedy/small/matched_ddpm/custom_cnn/run_1/training.json").read_text()
    )
    assert trained["n"]["train"] == {"real": {label: 24 - len(apart) // 2 for label in TINY["labels"]}}
    assert trained["images_per_epoch"] == {label: 24 - len(apart) // 2 + 12 for label in TINY["labels"]}
    verdicts = pd.read_csv(results / "metrics/verdicts.csv")
    assert set(verdicts["control"]) == {"matched_ddpm"} and verdicts.query("headline")["metric"].tolist() == ["roc_auc"]
    quality = json.loads((results / "quality/phantom/greedy/small/ddpm/NORMAL.json").read_text())
    assert {"fid", "kid", "coverage", "ssim", "view_copy_rate"} <= {row["metric"] for row in quality["metrics"]}
    assert (results / "summary.md").read_text().strip() and len(
        (results / "headline.txt").read_text().splitlines()
    ) == 3
    assert not list(results.glob("classifiers/**/model.keras")), "trained classifiers are temporary"

    second = snakemake(checkout, *command)
    assert second.returncode == 0 and "Nothing to be done" in second.stdout

    assert snakemake(checkout, *command, "archive").returncode == 0
    again = tmp_path / "archive only"
    shutil.copytree(checkout, again, ignore=shutil.ignore_patterns("results", ".snakemake"))
    from_archive = write_config(again, TINY | {"paper": {"source": "archive", "version": "tiny"}})
    redrawn = snakemake(again, "--configfile", str(from_archive), "--cores", "2")
    assert redrawn.returncode == 0, redrawn.stdout[-3000:]
    assert files_below(again / "results/tiny/tables") == files_below(results / "tables")
    for folder in ("tables", "figures"):
        names = files_below(results / folder)
        assert (
            names
            and filecmp.cmpfiles(results / folder, again / "results/tiny" / folder, names, shallow=False)[0] == names
        )
    assert not (again / "results/tiny/data").exists() and not (again / "results/tiny/generators").exists()


# What measures time or memory, in tables, JSON files and lines of JSON.
MEASURED = ["seconds", "images_per_s", "peak_memory_mb"]


def without_times(path: Path) -> list[dict]:
    """Return the rows of a file without what may differ from run to run."""
    if path.suffix == ".csv":
        rows = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        rows = [json.loads(path.read_text())]
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in rows]


def test_the_same_seed_gives_the_same_results_from_scratch(checkout, snakemake):
    config = TINY | {"runs": 1, "samplings": {"random": {"method": "random"}}}
    command = ["--configfile", str(write_config(checkout, config)), "--cores", "2", "--"]
    command += ["results/tiny/metrics/classification.csv"]
    results, kept = checkout / "results" / "tiny", checkout / "kept"
    assert snakemake(checkout, *command).returncode == 0
    results.rename(kept)
    assert snakemake(checkout, *command).returncode == 0
    compared = [file for file in files_below(kept) if not file.startswith(("logs/", "benchmarks/", "metrics/costs"))]
    # Written with times and rates, which are the only things that may differ.
    names = ("history.csv", "training.json", "metrics.jsonl", "metrics/training.csv")
    timed = [file for file in compared if file.endswith(names)]
    assert len(timed) == 2 + 2 + 4 + 1
    for file in timed:
        rows = without_times(kept / file)
        assert rows and rows == without_times(results / file), file
    drawn = ("training.png", ".snakemake_timestamp")
    compared = [file for file in compared if not file.endswith(drawn) and file not in timed]
    assert len(compared) > 150
    same, different, missing = filecmp.cmpfiles(kept, results, compared, shallow=False)
    assert (different, missing) == ([], [])


JOINT = '''
"""One conditional model for all labels: class mean and noise."""

import numpy as np
from radsynth.generators.base import Generator


class Joint(Generator):
    conditional = True

    def learn(self, data, run_dir, seed):
        for label in data.label_counts:
            self.arrays[label] = data.images[data.labels == label].mean(axis=0)

    def draw(self, rng, condition):
        mean = self.arrays[condition["label"]]
        return np.clip(mean + rng.normal(0, self.options["noise"], mean.shape), 0, 255).astype(np.uint8)
'''
MASKED = '''
"""A training image with noise, and its mask."""

import numpy as np
from radsynth.generators.base import Generator


class Masked(Generator):
    def learn(self, data, run_dir, seed):
        self.arrays = {"images": data.images, "masks": data.masks}

    def draw(self, rng, condition):
        index = rng.integers(len(self.arrays["images"]))
        image = self.arrays["images"][index] + rng.normal(0, self.options["noise"], (32, 32))
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


def test_new_families_are_a_file_a_line_and_a_schema(checkout, snakemake):
    """A joint conditional family and one that also writes masks pass through the whole study."""
    generators = checkout / "workflow/scripts/radsynth/generators"
    for name, code in {"joint": JOINT, "masked": MASKED}.items():
        (generators / f"{name}.py").write_text(code)
        (checkout / f"workflow/schemas/generators/{name}.schema.yaml").write_text(SCHEMA)
        registry = generators / "registry.py"
        line = f'    "{name}": "radsynth.generators.{name}:{name.title()}",\n'
        registry.write_text(registry.read_text().replace("FAMILIES = {\n", "FAMILIES = {\n" + line))
    config = TINY | {
        "samplings": {"random": {"method": "random"}},
        "generators": {
            "joint": {"family": "joint", "per": "all"},
            "masked": {"family": "masked", "options": {"noise": 5}},
        },
        "quality": {"extractors": ["pixels"], "baseline_draws": 3, "diversity": []},
        "mixes": {"baseline": {"real": True}, "both": {"real": True, "pools": {"joint": 12, "masked": 6}}},
        "runs": 1,
    }
    result = snakemake(checkout, "--configfile", str(write_config(checkout, config)), "--cores", "2")
    assert result.returncode == 0, result.stdout[-3000:]
    results = checkout / "results/tiny"
    assert files_below(results / "generators/phantom/random/small/joint/joint/model")
    masked = pd.read_csv(results / "pools/phantom/random/small/masked/PNEUMONIA/manifest.csv")
    assert len(masked) == 12
    for file in masked["mask_file"]:
        with Image.open(results / "pools/phantom/random/small/masked/PNEUMONIA" / file) as mask:
            assert set(mask.tobytes()) <= {0, 1, 2}
    split = pd.read_csv(results / "classifiers/phantom/random/small/both/custom_cnn/run_1/split.csv")
    assert (split["origin"] == "synthetic").sum() == 2 * (12 + 6)


def folder_study(checkout: Path) -> dict:
    """A study of a folder with spaces and umlauts in its name, made of phantoms."""
    return TINY | {"study": "own", "datasets": {"own": {"source": "folder", "path": "raw/Bilder für mich"}}}


@pytest.fixture
def raw_folder(checkout) -> Path:
    """Twelve images of each class in a folder."""
    import numpy as np

    folder = checkout / "raw/Bilder für mich"
    rng = np.random.default_rng(1)
    for label in TINY["labels"]:
        (folder / label).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(0, 255, (40, 48), dtype=np.uint8)).save(folder / label / f"bild {i}.PNG")
    return folder


def single_error(output: str, rule: str) -> str:
    """Return the one line that a failed rule's job printed."""
    lines = [line for line in output.splitlines() if line.startswith(f"{rule}: ")]
    assert len(lines) == 1, output[-3000:]
    assert "Traceback" not in output
    return lines[0]


def test_broken_images_and_empty_folders_stop_with_one_line(checkout, raw_folder, snakemake):
    command = ["--configfile", str(write_config(checkout, folder_study(checkout))), "--cores", "2", "--", "data"]
    broken = raw_folder / "NORMAL" / "bild 3.PNG"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    result = snakemake(checkout, *command)
    assert result.returncode != 0 and "bild 3.PNG" in single_error(result.stdout, "prepare_data")
    assert not (checkout / "results/own/data/own/images").exists(), "no half-written output"

    broken.write_bytes(whole)
    for image in (raw_folder / "PNEUMONIA").iterdir():
        image.unlink()
    result = snakemake(checkout, *command)
    assert result.returncode != 0 and "PNEUMONIA" in single_error(result.stdout, "prepare_data")


def test_an_image_that_vanishes_between_stages_is_named(checkout, raw_folder, snakemake):
    config = folder_study(checkout) | {"scenarios": {"small": {"train": {"NORMAL": 5, "PNEUMONIA": 5}}}}
    command = ["--configfile", str(write_config(checkout, config)), "--cores", "2", "--"]
    assert snakemake(checkout, *command, "data").returncode == 0
    victim = sorted((checkout / "results/own/data/own/images").glob("*.png"))[0]
    victim.unlink()
    result = snakemake(checkout, *command, "results/own/features/pixels/real/own.npz")
    assert result.returncode != 0
    line = single_error(result.stdout, "features_real")
    assert victim.name in line and "vanished" in line


def test_too_few_images_name_the_key(checkout, raw_folder, snakemake):
    config = folder_study(checkout) | {"scenarios": {"small": {"train": {"NORMAL": 5, "PNEUMONIA": 20}}}}
    command = ["--configfile", str(write_config(checkout, config)), "--cores", "2", "--", "cohorts"]
    line = single_error(snakemake(checkout, *command).stdout, "cohort_small")
    assert "scenarios.small.train.PNEUMONIA" in line and "20" in line and "12" in line


def test_ctrl_c_removes_partial_outputs_and_the_next_run_resumes(checkout, snakemake):
    config = TINY | {"samplings": {"random": {"method": "random"}}}
    options = {**SMALL_UNET, "steps": 150, "previews": 0, "checkpoint_minutes": 0.01}
    config["generators"] = {"ddpm": {"family": "ddpm", "preset": "cpu", "options": options}}
    model = "results/tiny/generators/phantom/random/small/ddpm/NORMAL/model"
    command = ["--configfile", str(write_config(checkout, config)), "--cores", "2", "--", model]
    with subprocess.Popen(
        [sys.executable, "-m", "snakemake", *command],
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 120
        kept = 0  # The state of step 0 is saved before anything has been learnt.
        while not kept and time.monotonic() < deadline:
            time.sleep(0.2)
            states = (checkout / model).parent.glob("state/step_*")
            kept = max((int(state.name.removeprefix("step_")) for state in states), default=0)
        # Ctrl-C in a terminal reaches the whole process group.
        os.killpg(process.pid, signal.SIGINT)
        try:
            output = process.communicate(timeout=60)[0]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert kept and process.returncode != 0, output[-2000:]
    assert not (checkout / model).exists()
    result = snakemake(checkout, *command)
    assert result.returncode == 0, result.stdout[-3000:]
    log = (checkout / "results/tiny/logs/train_generator/phantom_random_small_ddpm_NORMAL.log").read_text()
    found = re.search(r"going on from step (\d+) of 150", log)
    assert found and kept <= int(found[1]) < 150, log
    assert (checkout / model / "generator.json").is_file()
