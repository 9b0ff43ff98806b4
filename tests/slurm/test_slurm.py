"""The tiny study through profiles/slurm on a real SLURM of one node with two pretended GPUs."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.slow

STEPS = 40
STUDY = {
    "study": "tiny",
    "image_size": 32,
    "labels": ["NORMAL", "PNEUMONIA"],
    "datasets": {"phantom": {"source": "phantom", "images": {"NORMAL": 40, "PNEUMONIA": 40}}},
    "samplings": {"random": {"method": "random"}},
    "diversity_extractor": "pixels",
    "scenarios": {"small": {"train": {"NORMAL": 16, "PNEUMONIA": 16}}},
    "generators": {
        "ddpm": {
            "family": "ddpm",
            "preset": "cpu",
            "options": {
                "block_out_channels": [8, 8],
                "norm_groups": 4,
                "batch_size": 4,
                "steps": STEPS,
                "previews": 0,
                "checkpoint_minutes": 60,
            },
        }
    },
    "pool_size": 8,
    "quality": {"extractors": ["pixels"], "baseline_draws": 3},
    "mixes": {"baseline": {"real": True}, "ddpm": {"real": True, "pools": {"ddpm": 8}}},
    "classifiers": {"custom_cnn": {"architecture": "custom_cnn", "epochs": 1, "batch_size": 16}},
    "matched_controls": False,
    "runs": 1,
}
MODELS = "results/tiny/generators/phantom/random/small/ddpm"
# The profile, asked more often how the jobs are than is polite on a cluster that others use.
QUICK = [
    "--slurm-init-seconds-before-status-checks",
    "2",
    "--seconds-between-status-checks",
    "2",
    "--latency-wait",
    "5",
]
PROFILE = ["--profile", "profiles/slurm", *QUICK]
# With two cores, threads only stand in each other's way; other thread counts would also sum in another order.
THREADS = ["--set-threads", "train_generator=1", "write_pool=1", "train_classifier=1", "evaluate=1"]


@pytest.fixture(scope="module")
def slurm(root):
    """A running SLURM, which stops with the tests."""
    script = root / "tests/slurm/one_node.sh"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("needs a SLURM, which only root can set up, on Debian or Ubuntu")
    os.environ.pop("SLURM_CONF", None)
    started = subprocess.run([script, "start"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if started.returncode != 0:
        pytest.skip(f"needs a SLURM, which could not be set up: {started.stdout.strip()[-300:]}")
    yield
    subprocess.run(["scancel", "--user", "root"], check=False)
    subprocess.run([script, "stop"], check=True)


def write_config(folder: Path, config: dict) -> list[str]:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(config))
    return ["--configfile", str(path)]


def hold_first_attempts(checkout: Path) -> None:
    """Let every training that begins anew wait in the middle until it is told to stop."""
    loop = checkout / "workflow/scripts/radsynth/learning/loop.py"
    begin, take = "        self._begin()\n", "                self._take()\n"
    code = loop.read_text()
    assert code.count(begin) == code.count(take) == 1
    wait = f"                while new and self._step == {STEPS // 2} and not received:\n"
    wait += "                    time.sleep(0.1)\n"
    code = code.replace(begin, f"        new = self._load() is None\n{begin}")
    loop.write_text(code.replace(take, wait + take))


def running_gpu_jobs() -> dict[str, str]:
    """Return the comments (rule and wildcards) of the jobs that hold a GPU, by their SLURM number."""
    command = ["squeue", "-h", "-t", "RUNNING", "-O", "JobID:20,tres-per-job:40,Comment:200"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = (line.split(maxsplit=2) for line in listing.splitlines())
    return {row[0]: row[2].strip() for row in rows if "gpu" in row[1]}


def test_interrupted_trainings_go_on_and_the_study_finishes(slurm, checkout, snakemake, tmp_path):
    """One training meets its walltime, another one is cancelled; neither leaves a trace in the models."""
    again = tmp_path / "uninterrupted"
    shutil.copytree(checkout, again)
    hold_first_attempts(checkout)
    command = [sys.executable, "-m", "snakemake", *write_config(checkout, STUDY), *PROFILE, *THREADS]
    # In minutes: enough to get to the middle, on a busy machine too.
    walltime = "2 if wildcards.unit == 'NORMAL' and attempt == 1 else 30"
    command += ["--set-resources", f"train_generator:runtime={walltime}"]
    output, most, cancelled = tmp_path / "output.txt", 0, None
    with (
        output.open("w") as stream,
        subprocess.Popen(command, cwd=checkout, stdout=stream, stderr=subprocess.STDOUT) as process,
    ):
        try:
            deadline = time.monotonic() + 1500
            metrics = checkout / MODELS / "PNEUMONIA/progress/metrics.jsonl"
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.5)
                jobs = running_gpu_jobs()
                most = max(most, len(jobs))
                training = [number for number, comment in jobs.items() if comment.endswith("ddpm_PNEUMONIA")]
                in_the_middle = metrics.is_file() and f'"step": {STEPS // 2},' in metrics.read_text()
                if cancelled is None and training and in_the_middle:
                    (cancelled,) = training
                    subprocess.run(["scancel", cancelled], check=True)
        finally:
            if process.poll() is None:
                process.terminate()
    said = output.read_text()
    assert process.returncode == 0, said[-5000:]
    assert (checkout / "results/tiny/summary.md").is_file()
    assert most == 2, "two jobs at a time hold the two GPUs"
    assert f"SLURM-job '{cancelled}' failed, SLURM status is: 'CANCELLED'" in said
    assert "SLURM status is: 'TIMEOUT'" in said
    for unit in ("NORMAL", "PNEUMONIA"):
        log = checkout / f"results/tiny/logs/train_generator/phantom/random/small/ddpm/{unit}.log"
        assert re.search(rf"going on from step {STEPS // 2 + 1} of {STEPS}", log.read_text()), log.read_text()

    models = [f"{MODELS}/{unit}/model" for unit in ("NORMAL", "PNEUMONIA")]
    local = snakemake(again, *write_config(again, STUDY), "--cores", "2", *THREADS, "--", *models)
    assert local.returncode == 0, local.stdout[-3000:]
    for model in models:
        weights = [path.relative_to(again / model) for path in (again / model).glob("unet/*.safetensors")]
        assert weights
        for name in weights:
            assert (again / model / name).read_bytes() == (checkout / model / name).read_bytes(), f"{model}/{name}"


def test_a_failing_job_surfaces_with_its_line(slurm, checkout, snakemake):
    for label in STUDY["labels"]:
        folder = checkout / "raw" / label
        folder.mkdir(parents=True)
        for i in range(3):
            Image.new("L", (40, 40), 60 * i).save(folder / f"{i}.png")
    broken = checkout / "raw/NORMAL/1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    config = STUDY | {"datasets": {"own": {"source": "folder", "path": "raw"}}}
    result = snakemake(checkout, *write_config(checkout, config), *PROFILE, "--retries", "0", "--", "data")
    assert result.returncode != 0
    assert "Error in group data" in result.stdout
    assert re.search(r"prepare_data: .*NORMAL/1\.png", result.stdout), result.stdout[-3000:]
    assert "Traceback" not in result.stdout
