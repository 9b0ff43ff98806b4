"""Results kept without images, and drawn again from there alone."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image
from radsynth.common import made
from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_file
from radsynth.report import archive
from radsynth.report.chapter import tidy_tables

SHIPPED = "kaggle_imbalanced_2026-11-29"
PLACE = f"results/kaggle_imbalanced/archive/{SHIPPED}"
STUDY = {
    "study": "kept",
    "image_size": 32,
    "labels": ["NORMAL", "PNEUMONIA"],
    "datasets": {"mine": {"source": "folder", "path": "raw/mine"}},
    "samplings": {"random": {"method": "random"}},
    "diversity_extractor": "pixels",
    "scenarios": {"small": {"train": {"NORMAL": 8, "PNEUMONIA": 8}}},
    "generators": {"ddpm": {"family": "ddpm", "preset": "cpu"}},
    "quality": {"extractors": ["pixels"], "diversity": []},
    "classifiers": {"custom_cnn": {"architecture": "custom_cnn"}},
    "runs": 1,
}
# What only other environments hold, by the names of their imports.
IMPORTS = {"pytorch": "torch", "scikit-learn": "sklearn"}


def packages(root: Path, environment: str) -> set[str]:
    """Return the packages that an environment of workflow/envs names, as they are called on conda-forge."""
    listed = yaml.safe_load((root / f"workflow/envs/{environment}.yaml").read_text())["dependencies"]
    return {pin.split("=")[0] for pin in listed}


def from_archive(checkout: Path, version: str, study: str = "") -> list[str]:
    """Return the arguments that draw from an archive, by the configuration that it holds if no other is given."""
    configured = study or f"resources/paper_cache/{version}/config.yaml"
    return ["--configfile", configured, "--cores", "1", "--config", f"paper={{source: archive, version: {version}}}"]


def drawn(results: Path) -> dict[str, bytes]:
    """Return what the analysis has drawn, by its path."""
    files = [*results.glob("tables/*"), *results.glob("figures/*"), results / "summary.md"]
    files = [path for path in files if path.is_file()]
    return {str(path.relative_to(results)): path.read_bytes() for path in files}


def single_error(output: str, about: str) -> str:
    """Return the one line that says what is wrong."""
    assert "Traceback" not in output
    lines = [line for line in output.splitlines() if line.startswith(about)]
    assert len(lines) == 1, output[-3000:]
    return lines[0]


@pytest.mark.slow
def test_an_archive_is_drawn_without_what_only_other_environments_hold(root, checkout, snakemake):
    others = {path.stem for path in (root / "workflow/envs").glob("*.yaml")} - {"analysis"}
    without = set().union(*(packages(root, name) for name in others)) - packages(root, "analysis")
    without = {IMPORTS.get(name, name) for name in without}
    assert {"torch", "torchvision", "tensorflow", "keras", "diffusers", "sklearn", "pydicom"} <= without
    built = checkout / "results/kaggle_imbalanced/summary.md"
    built.parent.mkdir(parents=True)
    built.write_text("of a study of that name that was built here")
    result = snakemake(checkout, *from_archive(checkout, SHIPPED), without=sorted(without))
    assert result.returncode == 0, result.stdout[-3000:]
    assert built.read_text() == "of a study of that name that was built here"
    assert {path.name for path in built.parent.iterdir()} == {"summary.md", "archive"}
    results = checkout / PLACE
    assert {path.name for path in results.iterdir()} == {
        *(".made", "tables", "figures", "summary.md", "headline.txt", "logs", "benchmarks"),
    }
    names = {Path(name).suffix for name in drawn(results)}
    assert names == {".csv", ".md", ".tex", ".png", ".pdf"} and len(drawn(results)) > 50


@pytest.mark.slow
def test_an_environment_of_the_analysis_alone_draws_every_archive(root, checkout, snakemake, tmp_path):
    """Installed as workflow/envs/analysis.yaml says, with the versions of the lock and Snakemake."""
    pypi = {"matplotlib-base": "matplotlib"}
    wanted = [pypi.get(name, name) for name in packages(root, "analysis") - {"python"}]
    python = tmp_path / "environment/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "environment"], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
    installed = subprocess.run(
        [*pip, "--constraint", root / "requirements.lock", *wanted, "snakemake"], capture_output=True, text=True
    )
    if installed.returncode and re.search("from versions: none|Max retries exceeded|timed out", installed.stderr):
        pytest.skip("needs a package index, which pip does not reach")
    assert installed.returncode == 0, installed.stderr[-2000:]
    listed = json.loads(
        subprocess.check_output([python, "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"])
    )
    locked = dict(line.split("==") for line in (root / "requirements.lock").read_text().splitlines())
    versions = {re.sub("[-_.]+", "-", package["name"]).lower(): package["version"] for package in listed}
    assert all(versions[name] == locked[name] for name in [*wanted, "snakemake"])
    heavy = ["torch", "torchvision", "tensorflow", "keras", "diffusers", "accelerate", "sklearn", "pydicom"]
    find = f"import importlib.util as u; print([name for name in {heavy} if u.find_spec(name)])"
    assert subprocess.check_output([python, "-c", find], text=True).strip() == "[]"
    shipped = sorted(path.parent.name for path in (root / "resources/paper_cache").glob("*/manifest.json"))
    assert SHIPPED in shipped
    for version in shipped:
        result = snakemake(checkout, *from_archive(checkout, version), python=str(python))
        assert result.returncode == 0, result.stdout[-3000:]
    results = checkout / PLACE
    first = drawn(results)
    shutil.rmtree(results)
    assert snakemake(checkout, *from_archive(checkout, SHIPPED)).returncode == 0
    assert drawn(results) == first, "the same bytes as in the environment of the lock file"


BUILD = ["--configfile", "study.yaml", "--cores", "2"]


@pytest.fixture(scope="module")
def finished(module_checkout, snakemake) -> Path:
    """A checkout with a study of raw images whose jobs have pretended to work (tests/stand_in)."""
    for label in STUDY["labels"]:
        folder = module_checkout / "raw/mine" / label
        folder.mkdir(parents=True)
        for number in range(20):
            Image.new("L", (40, 40), number).save(folder / f"{number}.png")
    (module_checkout / "study.yaml").write_text(yaml.safe_dump(STUDY))
    result = snakemake(module_checkout, *BUILD, pretend=True)
    assert result.returncode == 0, result.stdout[-3000:]
    return module_checkout


@pytest.fixture
def study(finished, tmp_path) -> Path:
    """A copy of it, with its times."""
    return Path(shutil.copytree(finished, tmp_path / "radsynth copy ü"))


def test_nothing_is_trained_for_an_archive_whatever_else_is_there(study, snakemake):
    def planned():
        result = snakemake(study, "--dry-run", "--quiet", "rules", *from_archive(study, SHIPPED, "study.yaml"))
        assert result.returncode == 0, result.stdout[-3000:]
        return dict(re.findall(r"^(\S+)\s+(\d+)$", result.stdout, re.MULTILINE))

    alone = {"tables": "1", "charts": "1", "summary": "1", "all": "1", "total": "4"}
    results = study / "results/kept"
    assert (results / "summary.md").is_file() and planned() == alone, "a finished study"
    for stage in ("quality", "classifiers", "metrics", "tables", "figures", "generators/mine/random/small/ddpm/NORMAL"):
        shutil.rmtree(results / stage)
    assert (results / "pools/mine/random/small/ddpm/PNEUMONIA/manifest.csv").is_file()
    assert planned() == alone, "half a study"
    shutil.rmtree(study / "results")
    shutil.rmtree(study / ".snakemake")
    assert planned() == alone, "raw images"


def test_what_studies_share_is_not_deleted_with_the_results_of_one(study, snakemake):
    (study / "study.yaml").write_text(yaml.safe_dump(STUDY | {"diversity_extractor": "resnet18_imagenet"}))
    weights = study / "resources/weights/resnet18-f37072fd.pth"
    weights.parent.mkdir()
    weights.touch()

    result = snakemake(study, "--delete-all-output", "--dry-run", *BUILD)
    files = re.findall("^Would delete (.*)$", result.stdout, re.MULTILINE)
    assert result.returncode == 0 and {"results/kept/summary.md", "results/kept/data/mine/images"} <= set(files)
    assert all(file.startswith("results/kept/") for file in files), files


def change_a_table(folder):
    (folder / "costs.csv").write_text((folder / "costs.csv").read_text().replace("1", "2"))
    return r"costs\.csv: SHA-256 is \w+, the archive's manifest says \w+"


def remove_a_table(folder):
    (folder / "quality.csv").unlink()
    return r"quality\.csv: missing from the archive, expected SHA-256 \w+"


def add_a_file(folder):
    (folder / "patient 7.png").write_bytes(b"")
    return r"patient 7\.png: does not belong to the archive, whose manifest does not name it"


def change_a_sum(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["roc_auc.csv"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return r"roc_auc\.csv: SHA-256 is \w+, the archive's manifest says 0{64}"


def remove_a_sum(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["roc_auc.csv"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return r"manifest\.json: names no SHA-256 of roc_auc\.csv"


def break_the_manifest(folder):
    (folder / "manifest.json").write_text("{")
    return r"manifest\.json: not the manifest of an archive"


def remove_the_manifest(folder):
    (folder / "manifest.json").unlink()
    return r"manifest\.json: not found; paper\.version names no archive"


@pytest.mark.parametrize(
    "damage",
    [
        *(change_a_table, remove_a_table, add_a_file, change_a_sum, remove_a_sum),
        *(break_the_manifest, remove_the_manifest),
    ],
)
def test_a_damaged_archive_is_refused(root, tmp_path, damage):
    kept = Path(shutil.copytree(root / "resources/paper_cache" / SHIPPED, tmp_path / "kept"))
    archive.verify_archive(kept)
    with pytest.raises(UserError, match=f"^{kept}/{damage(kept)}$"):
        archive.verify_archive(kept)


def test_a_damaged_archive_is_one_line_before_anything_is_drawn(checkout, snakemake):
    cache = checkout / "resources/paper_cache"
    expected = change_a_table(Path(shutil.copytree(cache / SHIPPED, cache / "kept")))
    (checkout / "study.yaml").write_text(yaml.safe_dump(STUDY))
    result = snakemake(checkout, *from_archive(checkout, "kept", "study.yaml"))
    assert result.returncode != 0 and not (checkout / "results").exists()
    line = single_error(result.stdout, "paper: ")
    assert re.fullmatch(f"paper: resources/paper_cache/kept/{expected}", line)


def record_again(folder):
    """Let the record of the tables say what lies there now."""
    record = folder / made.FOLDER / f"{next(iter(tidy_tables()))}.csv.json"  # named after the first table
    known = json.loads(record.read_text())
    known["outputs"] = {name: sha256_file(folder / name) for name in known["outputs"]}
    record.write_text(json.dumps(known))


def test_a_finished_study_is_kept_once_under_a_name_and_without_images(study, snakemake):
    metrics = study / "resources/paper_cache" / SHIPPED
    own = study / "results/kept/metrics"
    for name in (archive.CONFIG, *(f"{name}.csv" for name in archive.archived_tables(metrics))):
        shutil.copyfile(metrics / name, own / name)
    for name in set(tidy_tables()) - set(archive.archived_tables(metrics)):  # of chapters that came later
        (own / f"{name}.csv").write_text(",".join(tidy_tables()[name].kinds) + "\n")
    keep = [*BUILD, "--config", "paper={version: v1}", "--", "archive"]

    result = snakemake(study, *keep)
    assert "not what the job metrics has written" in single_error(result.stdout, "archive: ")
    (own / "costs.csv").write_bytes((study / "raw/mine/NORMAL/3.png").read_bytes())
    record_again(own)
    result = snakemake(study, *keep)
    assert result.returncode != 0
    assert "costs.csv: not the metrics table `costs`" in single_error(result.stdout, "archive: ")
    assert not list((study / "resources/paper_cache").glob("*v1*"))

    shutil.copyfile(metrics / "costs.csv", own / "costs.csv")
    record_again(own)
    assert snakemake(study, *keep).returncode == 0
    folder = study / "resources/paper_cache/v1"
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json",
        "config.yaml",
        *(f"{name}.csv" for name in tidy_tables()),
    }
    manifest = archive.verify_archive(folder)
    assert {"study", "date", "git_commit", "python", "packages", "machine", "files"} == set(manifest)
    assert "seconds" in (folder / "costs.csv").read_text().splitlines()[0]
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert snakemake(study, *keep).returncode == 0, "the same results once more"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    with open(own / "costs.csv", "a") as stream:
        stream.write("evaluate,mine,random,small,custom_cnn,again,1,1,1,cpu,0,\n")
    record_again(own)
    for _ in range(2):  # a second attempt does not pass for a success
        result = snakemake(study, *keep)
        assert result.returncode != 0
        line = single_error(result.stdout, "archive: ")
        assert "v1: holds an archive of other results" in line and "--config 'paper={version: NAME}'" in line
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert snakemake(study, *BUILD, "--config", "paper={version: v2}", "--", "archive").returncode == 0
    archive.verify_archive(study / "resources/paper_cache/v2")

    # The same results once more, without Snakemake's records: the archive stays, with its date, commit and machine.
    shutil.copyfile(metrics / "costs.csv", own / "costs.csv")
    record_again(own)
    shutil.rmtree(study / ".snakemake")
    result = snakemake(study, *keep)
    assert result.returncode == 0 and "Finished jobid: 0 (Rule: archive)" in result.stdout, result.stdout[-3000:]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
