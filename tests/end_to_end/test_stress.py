"""A study that is killed forty times and whose disk is full five times, and still ends with the same numbers.

Not a fixed list of situations, as in test_faults.py: the moments are drawn, with a seed. They are counted in finished
jobs, steps of trainings and written files, so that a slow machine is disturbed in the same places as a fast one.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest
import yaml
from conftest import Disk, clone, mount
from test_tiny_study import SMALL_UNET, TINY

pytestmark = pytest.mark.slow

SEED = 1
KILLS, FULL = 40, 5
# Every stage, with as few jobs as possible. Both trainings save a state after every step, so that long ones, in which
# many of the moments lie, cost little: they go on where they were killed. (Those that outlive Snakemake begin anew.)
OPTIONS = {"steps": 60, "previews": 1, "checkpoint_minutes": 0}
STUDY = TINY | {
    "study": "stress",
    "datasets": {"phantom": {"source": "phantom", "images": {"NORMAL": 64, "PNEUMONIA": 64}}},
    "scenarios": {"small": {"train": {"NORMAL": 40, "PNEUMONIA": 40}, "augment_labels": ["PNEUMONIA"]}},
    "generators": {
        "ddpm": {
            "family": "ddpm",
            "preset": "cpu",
            "options": {**SMALL_UNET, **OPTIONS},
            "sampler": {"steps": 4},
            "selection": {"method": "kid", "checkpoints": 2, "first": 10, "withhold": 0.3, "images": 16},
        },
        "pggan": {
            "family": "pggan",
            "preset": "cpu",
            # Through all its sizes in so few steps.
            "options": {**OPTIONS, "start_images": 48, "fade_images": 32, "stabilize_images": 48},
        },
    },
    "quality": {"extractors": ["pixels"], "baseline_draws": 3, "diversity": []},
    "mixes": {"baseline": {"real": True}, "both": {"real": True, "pools": {"ddpm": 12, "pggan": 12}}},
    "matched_controls": False,
    "runs": 1,
}
COMMAND = ["--configfile", "study.yaml", "--profile", "profiles/cpu", "--cores", "2"]
RESULTS = Path("results/stress")
# Tables of seconds, and columns that measure time or memory.
COSTS, MEASURED = "costs.csv", {"training.csv": ["images_per_s", "peak_memory_mb"]}


def everything(run: "Running") -> None:
    """What a power cut does, or the end of a batch job."""
    run.send(signal.SIGKILL)


def interrupted(run: "Running") -> None:
    """What Ctrl-C in a terminal does."""
    run.send(signal.SIGINT)


def terminated(run: "Running") -> None:
    """What the shutdown of a machine does, or a batch system: ask everything to end, then kill what has not.

    Snakemake itself may not: what it does at SIGTERM waits for a lock that it may hold just then.
    """
    run.send(signal.SIGTERM)
    deadline = time.monotonic() + 20
    while run.members() and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send(signal.SIGKILL)


def snakemake_alone(run: "Running") -> None:
    """Its jobs live on, and write their outputs."""
    run.process.kill()


def snakemake_then_its_jobs(run: "Running") -> None:
    run.process.kill()
    run.process.wait()
    time.sleep(0.3)
    run.send(signal.SIGKILL)


def one_job(run: "Running") -> None:
    """What a lack of memory does; Snakemake waits for the others and ends.

    A training rather than another: it would come to its end meanwhile, and is to go on where it was killed.
    """
    while run.process.poll() is None:
        jobs = run.jobs()
        with suppress(ValueError, ProcessLookupError):  # none runs, or it has ended just now
            os.kill(min(jobs, key=lambda pid: jobs[pid] != "train_generator"), signal.SIGKILL)
            return
        time.sleep(0.02)


KINDS = [everything, interrupted, terminated, snakemake_alone, snakemake_then_its_jobs, one_job]


@dataclass
class Moment:
    """So many ``seconds`` after Snakemake has ``written`` so many files, once the study has gone far enough.

    Far enough is a ``share`` of what each moment that is left would get if all got as much, for some go further than
    asked: jobs that outlive a kill come to their end. Nothing of it is for those that come while Snakemake starts.
    """

    share: float
    written: int
    seconds: float

    def due(self, begun: int, end: int, left: int) -> int:
        """Return the progress at which it comes, of a run that has ``begun`` with so much."""
        # The last jobs, which draw, are left for moments that come a little late.
        last = max(end - 5, begun)
        return min(begun + round(self.share * (last - begun) / left), last)


def draw(rng: random.Random) -> Moment:
    """Draw a moment."""
    if rng.random() < 0.1:
        return Moment(0, 0, 3 * rng.random())
    # The first file of a job is its log. At once, so in the middle of writing; or later, while it computes.
    return Moment(2 * rng.random(), round(30 ** rng.random()), rng.choice([0, rng.random()]))


def paths(folder: Path) -> list[Path]:
    """Return all files and folders below the results; os.walk bears that they vanish meanwhile, Path.glob does not."""
    return [Path(above, name) for above, folders, files in os.walk(folder / "results") for name in folders + files]


def progress(found: list[Path]) -> int:
    """Return how many jobs have finished; every twenty steps of a training count like a job."""
    # The last that Snakemake writes of a job is its benchmark.
    finished = [path for path in found if path.suffix == ".tsv" and "benchmarks" in path.parts]
    steps = {path: OPTIONS["steps"] for path in finished if path.parent.name == "train_generator"}
    for path in found:
        if path.parent.name == "state" and path.name.startswith("step_"):
            steps[path.parent] = max(steps.get(path.parent, 0), int(path.name.removeprefix("step_")))
    return len(finished) + sum(steps.values()) // 20


class Running:
    """Snakemake in the background, with its jobs in a process group of their own."""

    def __init__(self, folder: Path):
        self.folder = folder
        # Beside the folder, whose disk is full for a while.
        self.log = folder.with_name("output.txt")
        with open(self.log, "w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *COMMAND],
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def members(self) -> list[tuple[int, str]]:
        """Return the living processes of the group and their command lines."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                state, _, group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(group) == self.process.pid and state != "Z":
                    found.append((int(process.name), (process / "cmdline").read_bytes().decode(errors="replace")))
            except OSError:
                continue
        return found

    def jobs(self) -> dict[int, str]:
        """Return the rules' scripts that run, by process."""
        scripts = {pid: re.search(r"python\S*\0\S*scripts/tmp\w*\.(\w+)\.py", line) for pid, line in self.members()}
        return {pid: script[1] for pid, script in scripts.items() if script}

    def send(self, number: int) -> None:
        """Send a signal to all that live."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def wait_for(self, due: int, moment: Moment) -> int:
        """Return at the moment, with the progress; AssertionError if Snakemake ends before."""
        written, known, deadline = 0, None, time.monotonic() + 600
        while True:
            assert self.process.poll() is None, f"ended by itself:\n{self.said()}"
            assert time.monotonic() < deadline, f"does not go on:\n{self.said()}"
            before, known = known, {}
            for path in paths(self.folder):
                with suppress(OSError):  # has vanished
                    known[path] = path.stat().st_mtime_ns
            come = progress(list(known))
            if come >= due:
                if before is not None:
                    written += sum(before.get(path) != changed for path, changed in known.items())
                if written >= moment.written:
                    time.sleep(moment.seconds)
                    return come
            time.sleep(0.05)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self) -> str:
        """Return what was printed, when Snakemake and its jobs have ended."""
        deadline = time.monotonic() + 600
        while self.members():
            self.process.poll()
            assert time.monotonic() < deadline, f"does not end:\n{self.members()}\n{self.said()}"
            time.sleep(0.05)
        self.process.wait()
        return self.said()

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.wait()


def contents(folder: Path) -> dict[str, bytes]:
    """Return all numbers and synthetic images of a study by their paths, without what measures time or memory."""
    files = {}
    patterns = [
        "metrics/*.csv",
        "metrics/config.yaml",
        "tables/*.csv",
        "pools/**/manifest.csv",
        "pools/**/images/*.png",
    ]
    for path in [path for pattern in patterns for path in (folder / RESULTS).glob(pattern)]:
        if path.name == COSTS:
            continue
        content = path.read_bytes()
        if path.name in MEASURED:
            header, *rows = [line.split(",") for line in content.decode().splitlines()]
            kept = [i for i, name in enumerate(header) if name not in MEASURED[path.name]]
            assert len(kept) == len(header) - len(MEASURED[path.name])
            content = "\n".join(",".join(row[i] for i in kept) for row in [header, *rows]).encode()
        files[str(path.relative_to(folder / RESULTS))] = content
    return files


def difference(first: bytes, second: bytes) -> str:
    """Return the first line in which two files differ."""
    lines = [content.decode(errors="replace").splitlines() for content in (first, second)]
    for number, (a, b) in enumerate(zip_longest(*lines), 1):
        if a != b:
            return f"line {number}: {a!r:.300} became {b!r:.300}"
    return "in their bytes"


@pytest.fixture
def disk(tmp_path):
    """A small disk."""
    folder, size = tmp_path / "disk", 64 * 2**20
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    yield Disk(folder, size)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def unlock(folder: Path, snakemake) -> None:
    """Do what Snakemake says where it was killed."""
    if any((folder / ".snakemake/locks").glob("*")):
        result = snakemake(folder, *COMMAND, "--unlock")
        assert result.returncode == 0, result.stdout[-3000:]


def check_full(said: str) -> None:
    """Check that the reason is named, without a traceback, and that a job that failed has said one line.

    No line of its own has a job that failed before its script began, for want of room for the script.
    """
    assert "No space left on device" in said and "Traceback" not in said, said
    failed = Counter(re.findall(r"^Error in rule (\w+):", said, re.M))
    for rule, count in failed.items():
        lines = re.findall(rf"^{rule}: .*", said, re.M)
        assert len(lines) <= count and all("No space left on device" in line for line in lines), said


def test_a_study_that_was_killed_and_filled_ends_with_the_numbers_of_an_undisturbed_one(
    tmp_path, disk, snakemake, monkeypatch
):
    for name in [name for name in os.environ if name.startswith("SNAKEMAKE")]:
        monkeypatch.delenv(name)
    calm, disturbed = clone(tmp_path / "calm"), clone(disk.folder)
    for folder in (calm, disturbed):
        (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    # Snakemake's own log lies elsewhere: what Snakemake does where that cannot be written is not tested here.
    (tmp_path / "log").mkdir()
    (disturbed / ".snakemake").mkdir()
    (disturbed / ".snakemake/log").symlink_to(tmp_path / "log")
    result = snakemake(calm, *COMMAND)
    assert result.returncode == 0, result.stdout[-3000:]

    rng = random.Random(SEED)
    kinds = [KINDS[i % len(KINDS)] for i in range(KILLS)] + [None] * FULL
    rng.shuffle(kinds)
    story: list[tuple[float, str]] = []  # when, and what happened
    hit: Counter[str] = Counter()  # jobs that ran then
    resumed: set[tuple[Path, int]] = set()  # logs of trainings that went on, and when they ended
    moments, end = [draw(rng) for _ in kinds], progress(paths(calm))
    for left, moment, kind in zip(range(len(kinds), 0, -1), moments, kinds, strict=True):
        unlock(disturbed, snakemake)
        due = moment.due(progress(paths(disturbed)), end, left)
        run = Running(disturbed)
        try:
            if kind is None:
                moment.written = max(moment.written, 1)  # Snakemake itself needs room to start
            come = run.wait_for(due, moment)
            jobs = sorted(run.jobs().values())
            what = f"{kind.__name__ if kind else 'disk full'} at {come}"
            story.append((time.time(), f"{what} in {', '.join(jobs) or 'no job'}"))
            print(f"{len(story)}: {story[-1][1]}", flush=True)
            hit.update(set(jobs))
            if kind:
                kind(run)
                run.end()
            else:
                with disk.full(left=0):
                    said = run.end()
                assert run.process.returncode != 0, said
                check_full(said)
        except AssertionError as error:
            raise AssertionError(f"{error}\nafter {[line for _, line in story]}") from None
        finally:
            run.kill()
        for log in (disturbed / RESULTS / "logs/train_generator").rglob("*.log"):
            if re.search("going on from step [1-9]", log.read_text()):
                resumed.add((log, log.stat().st_mtime_ns))

    unlock(disturbed, snakemake)
    result = snakemake(disturbed, *COMMAND)
    assert result.returncode == 0, result.stdout[-3000:]
    print(f"{hit}, {len(resumed)} times a training has gone on")
    assert len(hit) >= 10 and resumed, f"the moments have missed too many stages: {hit}"
    expected, found = contents(calm), contents(disturbed)
    assert len(expected) > 50 and found.keys() == expected.keys(), found.keys() ^ expected.keys()
    for file in sorted(expected):
        if found[file] != expected[file]:
            made = (disturbed / RESULTS / file).stat().st_mtime
            before = [line for when, line in story if when < made]
            raise AssertionError(f"{file}, {difference(expected[file], found[file])}; made after {before[-3:]}")
    assert "Nothing to be done" in snakemake(disturbed, *COMMAND).stdout
    assert not [path for path in paths(disturbed) if ".partial" in path.name], "nothing half-written is left"
    # The records beside the results are whole, too.
    shutil.rmtree(disturbed / ".snakemake")
    said = snakemake(disturbed, "--dry-run", *COMMAND).stdout
    assert "Nothing to be done" in said, said
