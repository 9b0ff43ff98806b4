"""What interrupts or damages a study from outside: killed processes, two Snakemakes, locked folders, wrong clocks."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import clone, mount
from PIL import Image

LABELS = ["NORMAL", "PNEUMONIA"]
OPTIONS = {
    "steps": 40,
    "previews": 0,
    "checkpoint_minutes": 0,
    "block_out_channels": [16, 16],
    "layers_per_block": 1,
}
STUDY = {
    "study": "own",
    "image_size": 32,
    "labels": LABELS,
    "datasets": {"own": {"source": "folder", "path": "raw/Bilder für mich"}},
    "samplings": {"random": {"method": "random"}},
    "scenarios": {"small": {"train": {"NORMAL": 6, "PNEUMONIA": 6}}},
    "generators": {"ddpm": {"family": "ddpm", "preset": "cpu", "options": OPTIONS}},
    "pool_size": 12,
    "quality": {"extractors": ["pixels"], "baseline_draws": 3},
    "mixes": {"baseline": {"real": True}},
    "classifiers": {"custom_cnn": {"architecture": "custom_cnn", "epochs": 1, "batch_size": 8}},
    "runs": 1,
}
COMMAND = ["--configfile", "study.yaml", "--cores", "1"]
RUN = Path("results/own/generators/own/random/small/ddpm/NORMAL")
TRAIN = [*COMMAND, "--", str(RUN / "model")]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, snakemake):
    """A study of images in a folder that has come as far as its cohorts."""
    folder = clone(tmp_path_factory.mktemp("prepared") / "radsynth copy ü")
    raw, rng = folder / "raw/Bilder für mich", np.random.default_rng(1)
    for label in LABELS:
        (raw / label).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(0, 255, (40, 48), dtype=np.uint8)).save(raw / label / f"bild {i}.png")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    result = snakemake(folder, *COMMAND, "--", "cohorts")
    assert result.returncode == 0, result.stdout[-3000:]
    return folder


@pytest.fixture
def study(prepared, tmp_path) -> Path:
    """A copy of the prepared study, with its times."""
    return Path(shutil.copytree(prepared, tmp_path / "radsynth copy ü", symlinks=True))


class Running:
    """Snakemake that trains a generator in the background."""

    def __init__(self, folder: Path):
        self.folder, self.log = folder, folder / "output.txt"
        with open(self.log, "w") as output:
            command = [sys.executable, "-m", "snakemake", *TRAIN]
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def job(self) -> int:
        """Return the process that trains, stopped once it has learnt and saved something."""
        while self.process.poll() is None:
            states = (self.folder / RUN).glob("state/step_*")
            if any(int(state.name.removeprefix("step_")) for state in states):
                (pid,) = trainers(self.folder)
                os.kill(pid, signal.SIGSTOP)
                return pid
            time.sleep(0.1)
        raise AssertionError(self.log.read_text()[-3000:])

    def end(self) -> str:
        """Return what Snakemake printed, after its end."""
        self.process.wait(timeout=120)
        return self.log.read_text()


def trainers(folder: Path) -> list[int]:
    """Return the processes of a folder that run the training script."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            program, *arguments = (process / "cmdline").read_bytes().split(b"\0")
            if b"python" in program and any(a.endswith(b"train_generator.py") for a in arguments):
                found += [int(process.name)] * (process / "cwd").samefile(folder)
        except OSError:
            continue
    return found


@pytest.fixture
def running(study):
    """Start Snakemake in the study; at the end of the test nothing is left of it."""
    started = []

    def start():
        started.append(Running(study))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
    for pid in trainers(study):
        os.kill(pid, signal.SIGKILL)


def single_error(output: str, rule: str) -> str:
    """Return the one line that a failed rule's job printed."""
    lines = [line for line in output.splitlines() if line.startswith(f"{rule}: ")]
    assert len(lines) == 1 and "Traceback" not in output, output[-3000:]
    return lines[0]


def finished(study: Path, snakemake) -> None:
    """Let Snakemake finish the training that was begun."""
    result = snakemake(study, *TRAIN)
    assert result.returncode == 0, result.stdout[-3000:]
    log = (study / "results/own/logs/train_generator/own/random/small/ddpm/NORMAL.log").read_text()
    assert re.search(r"going on from step [1-9]\d* of 40", log), log
    assert (study / RUN / "model/generator.json").is_file()
    assert {path.name for path in (study / RUN).iterdir()} == {
        ".made",
        "model",
        "preview.png",
        "progress",
        "training.png",
    }


def test_a_killed_job_is_named_and_a_second_snakemake_refused(study, running, snakemake):
    first = running()
    job = first.job()
    second = snakemake(study, *TRAIN)
    assert second.returncode != 0 and "Directory cannot be locked" in second.stdout and "--unlock" in second.stdout
    assert "Traceback" not in second.stdout
    assert first.process.poll() is None and trainers(study) == [job], "the first goes on undisturbed"
    os.kill(job, signal.SIGKILL)
    output = first.end()
    assert first.process.returncode != 0
    assert len(re.findall(r"^(?:Error|RuleException) in rule train_generator", output, re.M)) == 1, output
    assert "SIGKILL" in output and "Traceback" not in output, output
    assert not (study / RUN / "model").exists()
    finished(study, snakemake)


@pytest.mark.slow
def test_after_the_death_of_snakemake_the_message_says_how_to_go_on(study, running, snakemake):
    first = running()
    job = first.job()
    first.process.kill()
    first.process.wait()
    locked = snakemake(study, *TRAIN)
    assert locked.returncode != 0 and "can be removed with the --unlock argument" in locked.stdout
    assert snakemake(study, *COMMAND, "--unlock").returncode == 0
    # The job has outlived Snakemake.
    line = single_error(snakemake(study, *TRAIN).stdout, "train_generator")
    assert f".training.lock: process {job} on " in line and "still writes here" in line
    os.kill(job, signal.SIGKILL)
    finished(study, snakemake)


def test_ctrl_c_removes_partial_outputs_and_the_next_run_resumes(study, running, snakemake):
    first = running()
    job = first.job()
    # Ctrl-C in a terminal reaches the whole process group.
    os.killpg(first.process.pid, signal.SIGINT)
    os.kill(job, signal.SIGCONT)
    output = first.end()
    assert first.process.returncode != 0, output[-2000:]
    assert not (study / RUN / "model").exists()
    finished(study, snakemake)


def test_an_image_that_was_cut_off_or_vanished_between_stages_is_named(study, snakemake):
    victim = sorted((study / "results/own/data/own/images").glob("*.png"))[3]
    features = study / "results/own/features/pixels/real/own.npz"
    features.unlink()

    def line():
        result = snakemake(study, *COMMAND, "--", str(features.relative_to(study)))
        assert result.returncode != 0 and not features.exists()
        return single_error(result.stdout, "features_real")

    victim.write_bytes(victim.read_bytes()[:300])
    assert f"images/{victim.name}: not a readable image" in line()
    victim.unlink()
    said = line()
    assert victim.name in said and "vanished" in said


def test_too_few_images_name_the_key(study, snakemake):
    few = {"scenarios": {"small": {"train": {"NORMAL": 5, "PNEUMONIA": 20}}}}
    (study / "study.yaml").write_text(yaml.safe_dump(STUDY | few))
    line = single_error(snakemake(study, *COMMAND, "--", "cohorts").stdout, "cohort")
    assert "scenarios.small.train.PNEUMONIA" in line and "20" in line and "12" in line


def test_broken_images_and_empty_folders_stop_with_one_line(study, snakemake):
    raw, command = study / "raw/Bilder für mich", [*COMMAND, "--", "data"]
    shutil.rmtree(study / "results")
    broken = raw / "NORMAL/bild 3.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    result = snakemake(study, *command)
    assert result.returncode != 0 and "bild 3.png" in single_error(result.stdout, "prepare_data")
    assert not (study / "results/own/data/own/images").exists(), "no half-written output"

    broken.write_bytes(whole)
    for image in (raw / "PNEUMONIA").iterdir():
        image.unlink()
    result = snakemake(study, *command)
    assert result.returncode != 0 and "PNEUMONIA" in single_error(result.stdout, "prepare_data")


def test_raw_images_replaced_under_their_names_or_behind_a_link_are_prepared_again(study, snakemake):
    raw, store = study / "raw/Bilder für mich", study / "store"
    preparing = "Preparing the images of own"

    def planned() -> bool:
        result = snakemake(study, "--dry-run", *COMMAND, "--", "cohorts")
        assert result.returncode == 0 and (preparing in result.stdout) != ("Nothing to be done" in result.stdout)
        return preparing in result.stdout

    assert not planned(), "a copy with its times is the same"
    image = raw / "NORMAL/bild 3.png"
    kept = image.read_bytes(), image.stat()
    with Image.open(image) as opened:
        opened.transpose(Image.Transpose.ROTATE_180).save(image)
    assert planned()
    image.write_bytes(kept[0])
    os.utime(image, ns=(kept[1].st_atime_ns, kept[1].st_mtime_ns))
    assert not planned()

    (raw / "NORMAL").rename(store)
    (raw / "NORMAL").symlink_to(store)
    assert not planned(), "the same files, behind a link"
    # A clock that goes wrong says nothing about the images.
    os.utime(raw, (time.time() + 5 * 3600, time.time() + 5 * 3600))
    assert not planned()
    shutil.copy(image, store / "added.png")
    assert planned()
    assert snakemake(study, *COMMAND, "--", "cohorts").returncode == 0
    assert "NORMAL/added.png" in (study / "results/own/data/own/manifest.csv").read_text()
    assert not planned()


def test_what_a_download_has_brought_is_what_was_prepared(checkout, snakemake):
    """The raw files are not there yet when the first run is planned."""
    standin = {"studies": 6, "seed": 1, "height": 128}
    dataset = {
        "source": "vindr_mammo",
        "standin": standin,
        "classes": {"by": "birads", "groups": {"NORMAL": [1, 2, 3], "PNEUMONIA": [4, 5]}},
    }
    study = STUDY | {"datasets": {"mammo": dataset}}
    (checkout / "study.yaml").write_text(yaml.safe_dump(study))
    result = snakemake(checkout, *COMMAND, "--", "data")
    assert result.returncode == 0, result.stdout[-3000:]
    assert "Nothing to be done" in snakemake(checkout, "--dry-run", *COMMAND, "--", "data").stdout
    next((checkout / "resources/raw/mammo/images").rglob("*.dicom")).unlink()
    assert "Preparing the images of mammo" in snakemake(checkout, "--dry-run", *COMMAND, "--", "data").stdout


@contextmanager
def read_only(*folders: Path):
    """Let nobody write below the folders; root is stopped by a mount only."""
    for folder in folders:
        if os.geteuid() == 0:
            mount("--bind", folder, folder)
            mount("-o", "remount,ro,bind", folder)
        else:
            subprocess.run(["chmod", "-R", "a-w", str(folder)], check=True)
    try:
        yield
    finally:
        for folder in folders:
            undo = ["umount", "--lazy"] if os.geteuid() == 0 else ["chmod", "-R", "u+w"]
            subprocess.run([*undo, str(folder)], check=True)


def test_weights_that_cannot_be_written_are_one_line(study, snakemake):
    with read_only(study / "resources"):
        result = snakemake(study, *COMMAND, "--", "resources/weights/resnet18-f37072fd.pth")
    assert result.returncode != 0 and "Traceback" not in result.stdout
    assert "resources/weights" in result.stdout and "Read-only file system" in result.stdout, result.stdout


@pytest.mark.slow
def test_a_study_runs_to_its_end_with_read_only_resources_and_images(study, snakemake):
    (study / "study.yaml").write_text(yaml.safe_dump(STUDY | {"generators": {}}))
    shutil.rmtree(study / "results")
    with read_only(study / "resources", study / "raw"):
        result = snakemake(study, *COMMAND)
    assert result.returncode == 0, result.stdout[-3000:]
    assert (study / "results/own/summary.md").is_file()
