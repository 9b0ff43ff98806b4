"""The training loop, with a task of one number in place of a network."""

import os
import signal
import time
from contextlib import ExitStack
from itertools import cycle

import numpy as np
import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.learning.candidates import count_steps
from radsynth.learning.devices import choose_plan
from radsynth.learning.loop import MAX_ATTEMPTS, Training, batch_indices
from radsynth.learning.measured import Window, read_metrics

OPTIONS = {
    "batch_size": 4,
    "log_every": 7,
    "previews": 0,
    "checkpoint_minutes": 0,
    "max_nonfinite_steps": 3,
}


class Chain:
    """A number that each step changes by the step's images and random draw: any difference in either shows."""

    def __init__(self, bad=lambda step, attempt: False, stop_at=None, signal_=signal.SIGTERM):
        self.value = torch.zeros((), dtype=torch.float64)
        self.bad, self.stop_at, self.signal = bad, stop_at, signal_
        self.seen, self.calls = [], {}

    def step(self, step, indices):
        self.seen.append((step, indices.tolist()))
        attempt = self.calls[step] = self.calls.get(step, -1) + 1
        finite = torch.tensor(not self.bad(step, attempt))
        if finite:
            self.value = self.value * 0.9 + torch.rand((), dtype=torch.float64) * float(indices.sum())
        if step == self.stop_at:
            os.kill(os.getpid(), self.signal)
        return {"loss": (torch.tensor(float(step)), torch.tensor(1.0))}, finite

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


def run(task, folder, **overrides):
    arguments = {"plan": choose_plan(), "n": 10, "seed": 5, "fingerprint": "f", "preview": lambda path: None}
    Training(task, steps=40, options=OPTIONS | overrides, run_dir=folder, **arguments).run()
    return task.value.item()


def without_speed(folder):
    rows = read_metrics(folder / "progress" / "metrics.jsonl")
    return [{key: row[key] for key in ("step", "images", "loss")} for row in rows]


def test_every_epoch_holds_each_image_once():
    stream = np.concatenate([batch_indices(step, 10, 4, seed=3) for step in range(10)])
    for epoch in range(4):
        assert sorted(stream[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert not np.array_equal(stream[:10], stream[10:20])
    assert not np.array_equal(stream, np.concatenate([batch_indices(step, 10, 4, seed=4) for step in range(10)]))


def test_batches_are_full_even_with_fewer_images():
    assert len(batch_indices(0, 3, 8, seed=1)) == 8


def test_paper_run_has_6656_steps():
    assert count_steps(200, 16, 512, None) == 6656
    assert count_steps(200, 16, 512, 100) == 100


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("stop_at", [0, 12, 38])
def test_a_stopped_training_goes_on_exactly(tmp_path, stop_at, number, name):
    reference = run(Chain(), tmp_path / "whole")
    # A shell that starts a job in the background lets it ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stopped = Chain(stop_at=stop_at, signal_=number)
    with pytest.raises(SystemExit) as end:
        run(stopped, tmp_path / "parts", checkpoint_minutes=60)
    assert end.value.code == name
    rest = Chain()
    assert run(rest, tmp_path / "parts", checkpoint_minutes=60) == reference
    assert [step for step, _ in stopped.seen + rest.seen] == list(range(40))
    assert without_speed(tmp_path / "parts") == without_speed(tmp_path / "whole")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Heavy(Chain):
    """A chain with a state of 400 kB, that is told when it takes a step."""

    def __init__(self, at=lambda step: None):
        super().__init__()
        self.at = at

    def step(self, step, indices):
        self.at(step)
        return super().step(step, indices)

    def state_dict(self):
        return super().state_dict() | {"ballast": torch.zeros(100_000)}


def test_a_training_that_ran_out_of_disk_goes_on_exactly(tmp_path, disk):
    reference = run(Heavy(), tmp_path / "whole")
    with ExitStack() as stack:
        stopped = Heavy(lambda step: step == 20 and stack.enter_context(disk.full(left=100_000)))
        with pytest.raises(UserError, match="step_000000021/state.pt: could not be written"):
            run(stopped, disk.folder)
    rest = Heavy()
    assert run(rest, disk.folder) == reference
    assert [step for step, _ in rest.seen] == list(range(20, 40)), "from the state before"
    assert without_speed(disk.folder) == without_speed(tmp_path / "whole")


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    reference = run(Heavy(), tmp_path / "whole", checkpoint_minutes=60)
    now, clock = time.time(), cycle([0, 5 * 3600, -9 * 3600, 30 * 3600, -2 * 3600])
    monkeypatch.setattr(time, "time", lambda: now + next(clock))
    stopped = Chain(stop_at=12)
    with pytest.raises(SystemExit):
        run(stopped, tmp_path / "parts", checkpoint_minutes=60)
    states = sorted((tmp_path / "parts/state").glob("step_*"))
    assert [state.name for state in states] == ["step_000000000", "step_000000013"], "no state was due"
    # The newest state is the one with the most steps, whatever its time says.
    for state, age in zip(states, (-9 * 3600, 9 * 3600), strict=True):
        for path in (state, *state.iterdir()):
            os.utime(path, (now - age, now - age))
    rest = Chain()
    assert run(rest, tmp_path / "parts", checkpoint_minutes=60) == reference
    assert rest.seen[0][0] == 13
    assert without_speed(tmp_path / "parts") == without_speed(tmp_path / "whole")


def test_a_finished_training_takes_no_further_step(tmp_path):
    value = run(Chain(), tmp_path)
    again = Chain()
    assert run(again, tmp_path) == value
    assert again.seen == []
    assert len(list((tmp_path / "state").iterdir())) == 1


def test_metrics_written_after_the_last_state_are_not_repeated(tmp_path):
    dying = Chain(bad=lambda step, attempt: 1 / (step - 20) > 2)
    with pytest.raises(ZeroDivisionError):
        run(dying, tmp_path, checkpoint_minutes=60)
    assert [row["step"] for row in without_speed(tmp_path)] == [7, 14]
    run(Chain(), tmp_path, checkpoint_minutes=60)
    assert [row["step"] for row in without_speed(tmp_path)] == [7, 14, 21, 28, 35, 40]


def test_metrics_average_the_steps_between_lines(tmp_path):
    run(Chain(), tmp_path)
    rows = without_speed(tmp_path)
    assert [row["step"] for row in rows] == [7, 14, 21, 28, 35, 40]
    assert rows[1] == {"step": 14, "images": 56, "loss": np.mean(range(7, 14))}


def test_goes_back_to_the_last_good_state_and_on_with_other_noise(tmp_path, caplog):
    task = Chain(bad=lambda step, attempt: 18 <= step < 21 and attempt == 0)
    value = run(task, tmp_path)
    assert np.isfinite(value)
    assert value != run(Chain(), tmp_path / "undisturbed")
    assert "non-finite steps in a row at step 21: going back" in caplog.text
    # Steps 0 to 17 were good and are not repeated: the state after them was the last good one.
    assert [step for step, _ in task.seen] == [*range(21), *range(18, 40)]
    assert [row["step"] for row in without_speed(tmp_path)] == [7, 14, 21, 28, 35, 40]


def test_a_few_non_finite_steps_are_borne(tmp_path):
    task = Chain(bad=lambda step, attempt: step in (5, 6, 20))
    run(task, tmp_path)
    assert len(task.seen) == 40


def test_persistent_divergence_is_an_error_that_says_what_to_do(tmp_path):
    task = Chain(bad=lambda step, attempt: step >= 10)
    with pytest.raises(UserError, match=f"diverged at step 14 in {MAX_ATTEMPTS} attempts.*learning_rate"):
        run(task, tmp_path)


def test_previews_are_spread_over_the_training(tmp_path):
    drawn = []
    arguments = {"plan": choose_plan(), "n": 10, "seed": 5, "fingerprint": "f", "preview": drawn.append}
    Training(Chain(), steps=40, options=OPTIONS | {"previews": 4}, run_dir=tmp_path, **arguments).run()
    assert [path.name for path in drawn] == [f"preview_{step:07d}.png" for step in (10, 20, 30)]
    assert (tmp_path / "progress" / "training.png").is_file()


def test_window_leaves_empty_bins_undefined():
    window = Window()
    window.add({"bins": (torch.tensor([3.0, 0.0]), torch.tensor([2.0, 0.0]))})
    window.add({"bins": (torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]))})
    assert window.flush() == {"bins": [1.0, None]}
    assert window.flush() == {}
