"""Fixtures shared by all tests."""

import logging
import os
import resource
import runpy
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

# Tests run side by side: more threads than cores make each of them several times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where SLURM is configured but does not run, Snakemake waits nine seconds for it at every start.
os.environ["SLURM_CONF"] = os.devnull

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real development images, which are not part of the project."""
    path = Path(os.environ.get("RADSYNTH_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("needs the shared development images (RADSYNTH_DATA)")
    return path


def clone(copy: Path) -> Path:
    """Copy the project as a clone would hold it: no results, no raw data, every file younger than what was there."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for file in filter(None, listing.stdout.split("\0")):
        if (ROOT / file).is_file():
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, copy / file)
    return copy


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project as a clone would hold it: no results, no raw data."""
    return clone(tmp_path / "radsynth copy ü")


@pytest.fixture(scope="module")
def module_checkout(tmp_path_factory) -> Path:
    """The same for all tests of a file."""
    return clone(tmp_path_factory.mktemp("module") / "radsynth")


def mount(*arguments: str | Path) -> None:
    """Mount; skip the test where that is not allowed."""
    if subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode:
        pytest.skip("needs the right to mount")


class Disk:
    """A folder whose disk can be made full for a while."""

    def __init__(self, folder: Path, size: int | None):
        self.folder, self.size = folder, size

    @contextmanager
    def full(self, left: int = 8192):
        """Leave room for ``left`` bytes only: on the whole disk, or in each file if it is not a disk of its own."""
        if self.size:
            filler = self.folder / ".filler"
            with suppress(OSError):  # another process has taken the last of it
                filler.write_bytes(bytes(shutil.disk_usage(self.folder).free - left))
            try:
                yield
            finally:
                filler.unlink()
        else:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=["limit", "disk"])
def disk(request, tmp_path):
    """A small disk, or a limit to the size of files, which needs no right to mount."""
    folder, size = tmp_path / "disk", 4 * 2**20 if request.param == "disk" else None
    folder.mkdir()
    if size:
        mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    yield Disk(folder, size)
    if size:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def snakemake():
    """Run Snakemake in a folder; return the finished process with its output as text.

    ``pretend``: the jobs write files of their outputs' names and do nothing else. ``without``: packages that cannot be
    imported (tests/stand_in).
    """

    def run(
        folder: Path, *arguments: str, python: str = sys.executable, pretend=False, without=(), **options
    ) -> subprocess.CompletedProcess:
        # A run of the tests inside a Snakemake job must not inherit its settings.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
        if pretend or without:
            environment |= {"PYTHONPATH": str(ROOT / "tests/stand_in"), "RADSYNTH_WITHOUT": ",".join(without)}
            environment |= {"RADSYNTH_PRETEND": "yes"} if pretend else {}
        command = [python, "-m", "snakemake", *arguments]
        return subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )

    return run


class Named(dict):
    """Named files or values as Snakemake hands them to a script."""

    __getattr__ = dict.__getitem__

    def __iter__(self):
        for path in self.values():
            yield from path if isinstance(path, list) else [path]


def stand_in(rule, log, inputs=(), outputs=(), params=(), **more) -> SimpleNamespace:
    """A stand-in for the object that Snakemake gives to a script."""
    about = {"resources": {}, "config": {}, "threads": 1} | more
    return SimpleNamespace(
        rule=rule, log=[log], input=Named(inputs), output=Named(outputs), params=Named(params), **about
    )


@pytest.fixture
def own_logging():
    """Take back what a job does to the loggers of the process."""
    before = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = before


@pytest.fixture
def run_script(root, tmp_path, own_logging):
    """Run a rule's script with a stand-in for Snakemake's object."""

    def run(rule, inputs, outputs, **params):
        job = stand_in(rule, tmp_path / f"{rule}.log", inputs, outputs, params)
        for paths in outputs.values():
            for path in paths if isinstance(paths, list) else [paths]:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
        runpy.run_path(str(root / f"workflow/scripts/{rule}.py"), init_globals={"snakemake": job})

    return run


# Reasons for which a test may be skipped; any other skip fails the run, so that no test disappears unnoticed.
ALLOWED_SKIPS = (
    "needs the shared development images",
    "needs the published weights",
    "needs a GPU",
    "needs a SLURM",
    "needs a package index",
    "needs the right to mount",
)
unexpected_skips: list[str] = []


def pytest_runtest_logreport(report):
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(ALLOWED_SKIPS):
            unexpected_skips.append(f"{report.nodeid}: {reason}")


def pytest_terminal_summary(terminalreporter):
    for line in unexpected_skips:
        terminalreporter.write_line(f"skipped without an allowed reason: {line}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if unexpected_skips:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
