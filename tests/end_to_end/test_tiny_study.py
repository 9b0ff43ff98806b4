"""The whole line on 32 px phantoms: images in, tables, figures and words out."""

import filecmp
import json
import os
import re
import shutil
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


COMMAND = ["--configfile", "study.yaml", "--cores", "2"]


def write_config(folder: Path, config: dict) -> None:
    (folder / "study.yaml").write_text(yaml.safe_dump(config))


def files_below(folder: Path) -> list[str]:
    """Return the results below a folder, without the records of what made them."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(str(path) for path in files if ".made" not in path.parts)


@pytest.fixture(scope="module")
def tiny(module_checkout, snakemake) -> Path:
    """A checkout with the finished study."""
    write_config(module_checkout, TINY)
    result = snakemake(module_checkout, *COMMAND)
    assert result.returncode == 0, result.stdout[-3000:]
    return module_checkout


def test_the_tiny_study_from_images_to_words(tiny):
    results = tiny / "results/tiny"
    pool = results / "pools/phantom/greedy/small/ddpm/NORMAL"
    manifest = pd.read_csv(pool / "manifest.csv")
    assert list(manifest["index"]) == list(range(12)) and manifest["model_hash"].nunique() == 1
    assert len({(pool / file).read_bytes() for file in manifest["file"]}) == 12
    with Image.open(pool / manifest["file"][0]) as image:
        assert image.mode == "L" and image.size == (32, 32)

    accuracy = pd.read_csv(results / "metrics/classification.csv").query("metric == 'accuracy'")
    trained = {"baseline", "ddpm", "matched_ddpm"}
    assert set(accuracy["mix"]) == trained | {"baseline_corrected"} and set(accuracy["run"]) == {1, 2}
    assert accuracy["value"].between(0, 1).all()
    apart = set(pd.read_csv(results / "cohorts/phantom/greedy/small/validation.csv")["image_id"])
    splits = {path.parts[-4]: pd.read_csv(path) for path in results.glob("classifiers/**/run_*/split.csv")}
    assert set(splits) == trained
    for split in splits.values():
        assert set(split.loc[split["subset"] == "validation", "image_id"]) == apart, "every arm shares its validation"
    control = results / "classifiers/phantom/greedy/small/matched_ddpm/custom_cnn/run_1/training.json"
    control, learned = json.loads(control.read_text()), 24 - len(apart) // 2
    assert control["n"]["train"] == {"real": dict.fromkeys(TINY["labels"], learned)}
    assert control["images_per_epoch"] == dict.fromkeys(TINY["labels"], learned + 12), "as many as the mix has"
    verdicts = pd.read_csv(results / "metrics/verdicts.csv").query("headline").set_index("mix")
    assert verdicts["control"].to_dict() == {"ddpm": "matched_ddpm"}
    assert set(verdicts["metric"]) == {"roc_auc"}
    quality = json.loads((results / "quality/phantom/greedy/small/ddpm/NORMAL.json").read_text())
    assert {"fid", "kid", "coverage", "ssim", "view_copy_rate"} <= {row["metric"] for row in quality["metrics"]}
    assert (results / "summary.md").read_text().strip()
    assert len((results / "headline.txt").read_text().splitlines()) == 3
    assert not list(results.glob("classifiers/**/model")), "trained classifiers are temporary"


def test_a_finished_study_is_finished_and_its_archive_draws_the_same(tiny, snakemake, tmp_path):
    assert "Nothing to be done" in snakemake(tiny, *COMMAND).stdout
    assert snakemake(tiny, *COMMAND, "archive").returncode == 0
    again = tmp_path / "archive only"
    shutil.copytree(tiny, again, ignore=shutil.ignore_patterns("results", ".snakemake"))
    write_config(again, TINY | {"paper": {"source": "archive", "version": "tiny"}})
    redrawn = snakemake(again, *COMMAND)
    assert redrawn.returncode == 0, redrawn.stdout[-3000:]
    first, second = tiny / "results/tiny", again / "results/tiny/archive/tiny"
    assert files_below(second / "tables") == files_below(first / "tables")
    for folder in ("tables", "figures"):
        names = files_below(first / folder)
        assert names and filecmp.cmpfiles(first / folder, second / folder, names, shallow=False)[0] == names
    assert {path.name for path in (again / "results/tiny").iterdir()} == {"archive"}


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


@pytest.mark.slow
def test_the_same_seed_gives_the_same_results_from_scratch(tiny, checkout, snakemake):
    """In another folder, and with fewer runs."""
    write_config(checkout, TINY | {"runs": 1, "matched_controls": False})
    result = snakemake(checkout, *COMMAND, "--", "quality", "classifiers")
    assert result.returncode == 0, result.stdout[-3000:]
    first, second = tiny / "results/tiny", checkout / "results/tiny"
    compared = [file for file in files_below(second) if not file.startswith(("logs/", "benchmarks/"))]
    # Written with times and rates, which are the only things that may differ.
    timed = [file for file in compared if file.endswith(("history.csv", "training.json", "metrics.jsonl"))]
    assert len(timed) == 2 + 2 + 4
    for file in timed:
        rows = without_times(second / file)
        assert rows and rows == without_times(first / file), file
    drawn = ("training.png", ".snakemake_timestamp")
    compared = [file for file in compared if not file.endswith(drawn) and file not in timed]
    assert len(compared) > 150
    same, different, missing = filecmp.cmpfiles(first, second, compared, shallow=False)
    assert (different, missing) == ([], [])


def test_the_same_results_give_the_same_metrics(tiny, snakemake, tmp_path):
    again = Path(shutil.copytree(tiny, tmp_path / "again"))
    metrics = again / "results/tiny/metrics"
    shutil.rmtree(metrics)
    result = snakemake(again, *COMMAND, "--", str(metrics.relative_to(again) / "classification.csv"))
    assert result.returncode == 0 and "2 of 2 steps (100%) done" in result.stdout, result.stdout[-3000:]
    names = files_below(metrics)
    assert len(names) > 10
    assert filecmp.cmpfiles(tiny / "results/tiny/metrics", metrics, names, shallow=False)[0] == names


def exchange(images: Path) -> None:
    """Give every image of a folder the content of the next, as readable as before; times stay."""
    files = sorted(images.glob("*.png"))
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, contents[1:] + contents[:1], strict=True):
        before = file.stat()
        file.write_bytes(content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


# A result of every rule that reads prepared images, and of every one that reads a pool's.
HERE, POOL = "phantom/greedy/small", "pools/phantom/greedy/small/ddpm/NORMAL"
OF_REAL = {
    "describe_data": "data/phantom/samples.png",
    "features_real": "features/pixels/real/phantom.npz",
    "pairs_real": f"features/pairs/real/{HERE}/NORMAL.npz",
    "train_generator": f"generators/{HERE}/ddpm/NORMAL/model",
    "train_classifier": f"classifiers/{HERE}/baseline/custom_cnn/run_1/training.json",
    "comparison": f"pools/{HERE}/comparison_NORMAL.png",
    "neighbours": f"{POOL}/neighbours.png",
}
OF_POOL = {
    "features_pool": f"features/pixels/{POOL}.npz",
    "pairs_pool": f"features/pairs/{POOL}.npz",
    "train_classifier": f"classifiers/{HERE}/ddpm/custom_cnn/run_1/training.json",
    "comparison": f"pools/{HERE}/comparison_NORMAL.png",
    "neighbours": f"{POOL}/neighbours.png",
}


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "targets"), [("data/phantom/images", OF_REAL), (f"{POOL}/images", OF_POOL)])
def test_exchanged_images_are_seen_by_every_rule_that_reads_them(tiny, snakemake, tmp_path, folder, targets):
    study = Path(shutil.copytree(tiny, tmp_path / "exchanged"))
    exchange(study / "results/tiny" / folder)
    options = ["--keep-going", "--retries", "0", "--allowed-rules", *targets, "--force"]
    result = snakemake(study, *COMMAND, *options, "--", *(f"results/tiny/{target}" for target in targets.values()))
    said = re.findall(r"^(\w+): results/tiny/(\S+)/\S+.png: not the image that its manifest names", result.stdout, re.M)
    assert result.returncode and sorted(said) == sorted((rule, folder) for rule in targets), result.stdout[-3000:]
    assert "Traceback" not in result.stdout


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (f"classifiers/{HERE}/ddpm/custom_cnn/run_1/evaluation.json", "{"),
        (f"cohorts/{HERE}/summary.json", ""),
    ],
)
def test_cut_results_stop_the_collection_and_the_old_metrics_stay(tiny, snakemake, tmp_path, file, content):
    study = Path(shutil.copytree(tiny, tmp_path / "cut"))
    path, metrics = study / "results/tiny" / file, study / "results/tiny/metrics/classification.csv"
    before = path.stat(), metrics.read_bytes()
    path.write_text(content)
    os.utime(path, ns=(before[0].st_atime_ns, before[0].st_mtime_ns))
    result = snakemake(study, *COMMAND, "--retries", "0", "--forcerun", "collect", "--", "all")
    said = [line for line in result.stdout.splitlines() if line.startswith("collect: ")]
    assert result.returncode and len(said) == 1, result.stdout[-3000:]
    assert said[0].startswith(f"collect: results/tiny/{file}: not what the job ") and "delete" in said[0]
    assert metrics.read_bytes() == before[1]
