"""Two processes (gloo, on the CPU) train one DDPM, from the weights of another, as one process does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.common.sets import ImageSet
from radsynth.generators.ddpm import DDPM
from radsynth.generators.options import check_generator, resolve_options
from radsynth.generators.parallel import fit_together
from radsynth.generators.training import train_generator
from radsynth.learning.team import Accelerated

OPTIONS = {
    "block_out_channels": [8, 16],
    "norm_groups": 4,
    "layers_per_block": 1,
    "attention_levels": [1],
    "timesteps": 50,
    "steps": 24,
    "batch_size": 8,
    "log_every": 4,
    "previews": 2,
    "augment_rotation": 5,
}


def train(folder: Path, processes: int, start: Path | None = None, seed: int = 3, **overrides) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (11, 16, 16), dtype=np.uint8)
    masks = np.ones_like(images)
    train_generator(
        "ddpm",
        resolve_options("ddpm", "cpu", {**OPTIONS, **overrides}),
        ImageSet(images[..., None], [{"label": "A"}] * 11, masks=masks),
        model_dir=folder / "model",
        training_png=folder / "training.png",
        preview_png=folder / "preview.png",
        seed=seed,
        selection={"method": "iteration", "step": 9},
        processes=processes,
        start=start,
    )
    return folder / "model"


def rows(model: Path) -> list[dict]:
    return [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]


def weights(model: Path) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(DDPM.load(model).unet.parameters())


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return train(tmp_path_factory.mktemp("start"), 1, seed=4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, start):
    return train(tmp_path_factory.mktemp("alone"), 1, start)


@pytest.fixture(scope="module")
def together(tmp_path_factory, start):
    return train(tmp_path_factory.mktemp("together"), 2, start)


def test_the_loss_curve_is_that_of_one_process(alone, together):
    one, two = rows(alone), rows(together)
    assert [row["step"] for row in two] == [4, 8, 12, 16, 20, 24] == [row["step"] for row in one]
    for key in ("loss", "gradient_norm", "learning_rate", "skipped", "images"):
        np.testing.assert_allclose([row[key] for row in two], [row[key] for row in one], rtol=1e-4, err_msg=key)
    for mine, theirs in zip(one, two, strict=True):
        assert [value is None for value in mine["loss_per_snr"]] == [value is None for value in theirs["loss_per_snr"]]
        np.testing.assert_allclose(
            [value or 0 for value in theirs["loss_per_snr"]], [value or 0 for value in mine["loss_per_snr"]], rtol=1e-4
        )


def test_the_models_are_those_of_one_process(alone, together):
    for folder in (".", "checkpoints/step_000000009"):
        torch.testing.assert_close(weights(together / folder), weights(alone / folder), rtol=1e-3, atol=1e-4)
    described = [json.loads((model / "describe.json").read_text()) for model in (alone, together)]
    assert [description["processes"] for description in described] == [1, 2]
    assert not list(together.parent.glob("state/*")) and (together.parent / "progress/preview_0000012.png").is_file()


def test_processes_share_a_batch_and_then_draw_on_their_own():
    shares, draws = [], []
    for rank in range(2):
        team = Accelerated.__new__(Accelerated)
        team.size, team.accelerator = 2, SimpleNamespace(process_index=rank)
        torch.manual_seed(7)
        drawn = torch.rand(6)
        shares += team.share(drawn)
        draws.append(torch.rand(3))
    assert torch.equal(torch.cat(shares), drawn)
    assert not torch.equal(*draws) and not torch.equal(draws[0], drawn[:3])


def test_an_error_of_the_training_ends_all_processes_with_its_line(tmp_path):
    with pytest.raises(UserError, match="training diverged at step"):
        train(tmp_path, 2, learning_rate=1e30, gradient_clip=1e30, warmup_steps=0, max_nonfinite_steps=2, log_every=2)


LEAVING = """
import os, sys, time
from pathlib import Path
import torch
from radsynth.common.registry import KINDS, Entry
from radsynth.generators import parallel

class Quick:
    def __init__(self, options):
        self.options = options

    def fit(self, *_):
        network = self.team.wrap(torch.nn.Linear(4, 1))
        for _ in range(3):
            network(torch.ones(2, 4)).sum().backward()
            self.team.total({"x": (torch.ones(2), torch.ones(2))})
        time.sleep(self.options["seconds"][int(os.environ["RANK"])])

KINDS["families"]["quick"] = Entry("quick:Quick")
Entry.load = lambda self: Quick
parallel.main(Path(sys.argv[1]))
Path(sys.argv[2], os.environ["RANK"]).write_text(str(time.time()))
"""


@pytest.mark.slow
def test_processes_leave_together_whoever_is_late(tmp_path, root, monkeypatch):
    """On busy cores, the leader late, early and at about the same time: all end well, none before the last has come."""
    popen = subprocess.Popen
    monkeypatch.setattr(
        "radsynth.generators.parallel.subprocess.Popen",
        lambda command, **settings: popen([sys.executable, "-c", LEAVING, command[-1], str(tmp_path)], **settings),
    )
    busy = [popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    data = ImageSet(np.zeros((2, 4, 4, 1), np.uint8), [{"label": "A"}] * 2)
    try:
        for seconds in [[0, 3], [3, 0], [0, 0]]:
            fit_together("quick", {"seconds": seconds}, data, tmp_path, 3, None, 2)
            left = [float((tmp_path / str(rank)).read_text()) for rank in range(2)]
            assert abs(left[0] - left[1]) < 1.5, f"{seconds}: one was gone before the other"
    finally:
        for process in busy:
            process.kill()


JOB = """
import logging, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_generators_parallel import train

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
train(Path(sys.argv[1]), 2, steps=400, previews=0, checkpoint_minutes=0.005)
"""


@pytest.fixture
def job(tmp_path, root):
    """What starts a training by two processes in a process of its own."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(tmp_path), str(Path(__file__).parent)],
            env={**os.environ, "PYTHONPATH": str(root / "workflow/scripts"), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def saved_step(folder: Path) -> int:
    return max((int(state.name.removeprefix("step_")) for state in folder.glob("state/step_*")), default=0)


def wait_until_it_learns(folder: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not saved_step(folder) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert saved_step(folder), process.communicate()[0]


def workers_of(folder: Path) -> list[int]:
    """Return the processes that take part in a training, by what their call names as its folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().split(b"\0")
            if b"radsynth.generators.parallel" in command:
                call = json.loads((Path(command[-2].decode()) / "call.json").read_text())
                found += [int(entry.parent.name)] * (call["run_dir"] == str(folder))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_stopped_training_saves_its_state_and_a_killed_one_leaves_no_process(tmp_path, job):
    first = job()
    wait_until_it_learns(tmp_path, first)
    assert len(workers_of(tmp_path)) == 2
    first.send_signal(signal.SIGTERM)
    output = first.communicate(timeout=60)[0]
    assert first.returncode == 143 and "the state is saved" in output and "Traceback" not in output, output
    assert not workers_of(tmp_path)
    stopped = saved_step(tmp_path)

    second = job()
    deadline = time.monotonic() + 120
    while saved_step(tmp_path) <= stopped and second.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert saved_step(tmp_path) > stopped
    second.kill()
    second.communicate()
    deadline = time.monotonic() + 30
    while workers_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not workers_of(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "pggan"}, "generators.g.gpus: 2, but pggan trains on one, expected 1"),
        ({"options": {"batch_size": 9}}, "generators.g.gpus: 2 do not share options.batch_size 9 evenly"),
    ],
)
def test_what_cannot_be_shared_is_refused(change, message):
    family = change.get("family", "ddpm")
    generator = {"family": family, "gpus": 2, "options": resolve_options(family, "cpu", change.get("options", {}))}
    with pytest.raises(UserError, match=message):
        check_generator(generator | {"sampler": {"steps": None}}, 32, "generators.g")
