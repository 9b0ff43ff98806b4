"""Every part of benchmarks/gpu_run.sh, dry: tiny networks on the CPU."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.files import read_json, write_json
from radsynth.common.sets import Batch

pytestmark = pytest.mark.slow

LABELS = {"train": "NORMAL", "pool": "NORMAL"}


@pytest.fixture(scope="module")
def gpu_parts(root):
    """The module, imported as its script imports its own neighbours."""
    sys.path.insert(0, str(root / "benchmarks"))
    import gpu_parts

    return gpu_parts


@pytest.fixture(scope="module")
def raw(tmp_path_factory, root) -> Path:
    """A folder laid out like Kermany's set: 280 images of 140 patients, in colour and not square."""
    folder, rng = tmp_path_factory.mktemp("raw") / "kaggle_pneumonia", np.random.default_rng(0)
    for split, patients in (("train", range(100)), ("test", range(100, 140))):
        (folder / split / "NORMAL").mkdir(parents=True)
        for patient in patients:
            for image in (1, 2):
                pixels = np.kron(rng.integers(0, 256, (5, 6), dtype=np.uint8), np.ones((4, 4), np.uint8))
                file = folder / split / "NORMAL" / f"IM-{patient:04d}-{image:04d}.png"
                Image.fromarray(np.repeat(pixels[..., None], 3, axis=2)).save(file)
    return folder


def run(root, part, folder, *options, python=sys.executable, **environment):
    """Call a part as a user does and return the process and its JSON."""
    label = LABELS.get(part)
    command = [root / "benchmarks/gpu_run.sh", part, *([label] if label else []), "--dry-run", "--out", folder / "out"]
    command += ["--state", folder / "state", *options] if label else options
    environment = os.environ | {"PYTHON": str(python), "WHEELS": str(folder / "wheels")} | environment
    # Elsewhere than in the checkout, and without the library that pytest has put into reach.
    result = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    path = folder / "out" / f"{part}{f'_{label}' if label else ''}.json"
    return result, read_json(path) if path.is_file() else None


def check_facts(content, part):
    assert (content["part"], content["label"]) == (part, LABELS.get(part))
    assert content["dry_run"] is True and content["device"] == "cpu"
    assert content["command"].startswith(f"benchmarks/gpu_run.sh {part}")
    assert content["python"] == ".".join(map(str, sys.version_info[:3]))
    assert content["packages"]["diffusers"]


def check_checks(results):
    assert {"cuda_graphs", "data_parallel", "losses"} == results.keys()
    graphs, parallel, losses = results["cuda_graphs"], results["data_parallel"], results["losses"]
    assert graphs["passed"] is None and "needs a GPU" in graphs["reason"]
    assert graphs["difference_share"] == 0 and graphs["change"] > 0
    assert parallel["passed"] and parallel["difference_share"] < 1e-3 and parallel["change"] > 0
    assert parallel["distributed"] == "DistributedType.MULTI_CPU"
    assert losses["passed"] and 0 < losses["bf16_difference"] < 0.05
    assert losses["fp16_difference"] is None and "needs a GPU" in losses["fp16_reason"]


def test_check(root, tmp_path):
    result, content = run(root, "check", tmp_path)
    assert result.returncode == 0, result.stderr
    check_facts(content, "check")
    check_checks(content["results"])

    # Kept when called again, also where it has not passed: the exit status tells.
    content["results"]["losses"]["passed"] = False
    write_json(tmp_path / "out/check.json", content)
    result, again = run(root, "check", tmp_path)
    assert result.returncode == 1 and again["results"] == content["results"]


def test_ratios(root, tmp_path):
    result, content = run(root, "ratios", tmp_path)
    assert result.returncode == 0, result.stderr
    check_facts(content, "ratios")
    results = content["results"]
    assert {"ddpm_step", "pggan_step_16px", "pggan_step_8px", "ddpm_sampling", "inception_features"} == results.keys()
    for found in results.values():
        assert found["complete"] and found["repeats"] == 2
        ours = next(iter(found["seconds"]))
        for side, seconds in found["seconds"].items():
            assert len(seconds) == 2 and min(seconds) > 0
            assert found["medians"][side] == statistics.median(seconds)
            if side != ours:
                assert found["ratios"][side] == found["medians"][side] / found["medians"][ours]
    assert "diffusers" in results["ddpm_step"]["ratios"]
    if content["packages"]["denoising-diffusion-pytorch"] is None:
        assert "lucidrains" not in results["ddpm_step"]["ratios"]
        assert "not installed" in results["ddpm_step"]["reasons"]["lucidrains"]
    else:
        assert "lucidrains" in results["ddpm_step"]["ratios"]
    assert results["pggan_step_8px"]["ratios"].keys() == {"without_graphs", "plain_loop"}
    assert results["ddpm_sampling"]["ratios"].keys() == {"ancestral"}
    assert "counted as" in results["ddpm_sampling"]["note"]
    assert results["inception_features"]["differences"]["pytorch-fid"] < 1e-4

    # What is done is kept, and what is missing is not made up when the time is up.
    del content["results"]["ddpm_sampling"]
    write_json(tmp_path / "out/ratios.json", content)
    result, again = run(root, "ratios", tmp_path, "--seconds", 0)
    assert result.returncode == 0, result.stderr
    missing = again["results"].pop("ddpm_sampling")
    assert again["results"] == content["results"]
    assert not missing["complete"] and "time was up" in missing["reason"] and "medians" not in missing


def test_latent(root, tmp_path):
    result, content = run(root, "latent", tmp_path)
    assert result.returncode == 0, result.stderr
    check_facts(content, "latent")
    costs, step = content["results"]["latent_costs"], content["results"]["latent_step"]
    assert min(costs["seconds_per_1000_steps"].values()) > 0 and costs["images_per_s"] > 0
    assert costs["seconds_per_1000_steps"].keys() == {"autoencoder", "diffusion"}
    assert costs["peak_memory_mb"] > 0 and costs["parameters"] > 0
    assert step["complete"] and step["ratios"].keys() == {"encoding", "pixel_ddpm"}


def test_train_goes_on_and_its_model_fills_a_pool(root, tmp_path, raw):
    options = ("--raw", raw)
    result, content = run(root, "pool", tmp_path, *options)
    assert result.returncode == 1 and content is None
    assert "no finished model; run the part train NORMAL" in result.stderr and "Traceback" not in result.stderr

    result, content = run(root, "train", tmp_path, *options, "--seconds", 0)
    assert result.returncode == 0, result.stderr
    check_facts(content, "train")
    first = content["results"]["training"]
    assert not first["complete"] and "call the part again" in first["reason"]
    assert (first["source"], first["images"], first["steps_before"]) == ("kaggle_pneumonia", 100, 0)
    assert 1 <= first["steps"] < first["steps_of_all"]

    result, content = run(root, "train", tmp_path, *options)
    assert result.returncode == 0, result.stderr
    last = content["results"]["training"]
    assert last["complete"] and last["steps_before"] == first["steps"] and last["steps"] == first["steps_of_all"]
    assert last["images_per_s"] > 0 and last["peak_memory_mb"] > 0
    assert [row["step"] for row in last["metrics"]] == list(range(2, last["steps"] + 1, 2))
    assert last["metrics"][-1]["loss"] < last["metrics"][0]["loss"]

    result, content = run(root, "pool", tmp_path, *options)
    assert result.returncode == 0, result.stderr
    check_facts(content, "pool")
    results = content["results"]
    assert all(found["complete"] for found in results.values())
    assert results["held_out_reals"]["images"] > 0
    for name, images in (("dpm_solver++", 24), ("ancestral", 20)):
        found = results[name]
        assert found["images"] == found["images_wanted"] == images and found["seconds_per_image"] > 0
        for reference in ("train", "held_out"):
            kid = found[f"kid_to_{reference}"]
            assert kid["low"] < kid["value"] < kid["high"]
        assert found["copies"].keys() == results["held_out_reals"]["copies"].keys()
        assert found["copies"]["exact_copy_rate"]["value"] == 0
        assert 0 <= found["copies"]["copy_rate"]["value"] <= 1
    assert results["difference"]["kid"]["low"] < results["difference"]["kid"]["high"]
    assert results["difference"]["ratio"] > 1
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json"}


def test_images_are_of_the_raw_folder_or_phantoms(gpu_parts, raw, tmp_path):
    images = gpu_parts.read_images(raw, "NORMAL", gpu_parts.TINY)
    assert images.source == "kaggle_pneumonia" and images.train.images.shape == (100, 16, 16, 1)
    assert images.train.label_counts == {"NORMAL": 100}
    assert images.held_out.shape == (40, 16, 16) and len(images.rows) == 40
    # Of patients from whom nothing is learnt, so that both images of each are there.
    everything = gpu_parts.read_images(raw, "NORMAL", replace(gpu_parts.TINY, held_out=1000))
    assert (everything.rows["patient_id"].value_counts() == 2).all()
    again = gpu_parts.read_images(raw, "NORMAL", gpu_parts.TINY)
    assert again.train.sha256 == images.train.sha256
    with pytest.raises(UserError, match="280 images of NORMAL, expected at least 300"):
        gpu_parts.read_images(raw, "NORMAL", replace(gpu_parts.TINY, images=300))

    phantoms = gpu_parts.read_images(tmp_path / "none", "PNEUMONIA", gpu_parts.TINY)
    assert phantoms.source == "phantoms" and phantoms.train.label_counts == {"PNEUMONIA": 100}
    assert phantoms.held_out.shape == (40, 16, 16)


def test_a_pool_that_has_no_time_begins_no_batch(gpu_parts):
    class Model:
        device = "cpu"

        def sample(self, indices, *_):
            for index in indices:
                time.sleep(0.2)
                yield Batch([index], np.zeros((1, 4, 4, 1), np.uint8))

    timed, drawn = gpu_parts.Timed(Model(), time.monotonic() + 0.7), []
    with pytest.raises(gpu_parts.OutOfTimeError):
        drawn.extend(timed.sample(range(100)))
    assert 1 <= len(drawn) <= 3 and timed.seconds_per_image() >= 0.2


def test_a_measurement_that_fails_leaves_its_reason(gpu_parts, tmp_path):
    report = gpu_parts.Report(tmp_path / "part.json", {"part": "x"}, time.monotonic() + 60)
    report.measure("broken", lambda: {"value": 1 / 0})
    report.measure("whole", lambda: {"value": 2})
    assert report.failed()
    results = read_json(tmp_path / "part.json")["results"]
    assert results["broken"]["reason"] == "ZeroDivisionError: division by zero" and "value" not in results["broken"]
    assert results["whole"]["value"] == 2
    # Another key, such as another device: nothing of it counts.
    other = gpu_parts.Report(tmp_path / "part.json", {"part": "y"}, time.monotonic() + 60)
    assert other.content["results"] == {}


def python312() -> str | None:
    """Return a Python 3.12 that runs, on the PATH or of pyenv."""
    found = [shutil.which("python3.12"), *sorted(Path.home().glob(".pyenv/versions/3.12*/bin/python3.12"))]
    runs = (path for path in found if path and not subprocess.run([path, "-c", ""], capture_output=True).returncode)
    return next((str(path) for path in runs), None)


def test_python_3_12_runs_or_at_least_compiles_it(root, tmp_path):
    python = python312()
    if python is None:
        pytest.skip("needs Python 3.12")
    if subprocess.run([python, "-c", "import torch, diffusers"], capture_output=True).returncode == 0:
        result, content = run(root, "check", tmp_path, python=python)
        assert result.returncode == 0, result.stderr
        assert content["python"].startswith("3.12.")
        check_checks(content["results"])
        return
    folders = [root / "workflow/scripts/radsynth", root / "benchmarks"]
    command = [python, "-X", f"pycache_prefix={tmp_path}", "-W", "error", "-m", "compileall", "-q", *folders]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert len(list(tmp_path.rglob("*.pyc"))) > 100
