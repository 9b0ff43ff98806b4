"""Models that a training keeps: after which steps, whole, the same after an interruption, without changing the rest."""

import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from radsynth.common.code import BESIDE, reached_files
from radsynth.common.errors import UserError
from radsynth.common.registry import KINDS
from radsynth.common.sets import ImageSet
from radsynth.generators.ddpm import DDPM
from radsynth.generators.options import resolve_options
from radsynth.generators.pggan import PGGAN
from radsynth.learning.candidates import candidate_steps
from radsynth.learning.checkpoints import Checkpoints
from radsynth.learning.devices import choose_plan
from radsynth.learning.loop import Training
from test_learning_loop import OPTIONS, Chain

KID = {"method": "kid", "checkpoints": 4, "first": None}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


# Which steps


def test_steps_are_evenly_spaced_in_their_logarithm():
    assert candidate_steps(KID | {"first": 1}, 1, 1000) == [1, 10, 100, 1000]
    assert candidate_steps(KID | {"first": 10}, 1, 640) == [10, 40, 160, 640]
    assert candidate_steps(KID | {"checkpoints": 2}, 1, 6656) == [665, 6656], "from a tenth of the training on"
    steps = candidate_steps(KID | {"checkpoints": 8}, 133_337, 160_000)
    assert (len(steps), steps[0], steps[-1]) == (8, 133_337, 160_000), "not before images have their full size"
    assert candidate_steps(KID | {"checkpoints": 8}, 1, 5) == [1, 2, 3, 4, 5], "no step twice"


def test_other_ways_keep_one_model_or_none():
    assert candidate_steps({"method": "last"}, 1, 1000) == []
    assert candidate_steps({"method": "iteration", "step": 300}, 1, 1000) == [300]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"method": "iteration", "step": 1001}, "selection.step: 1001, expected 20 to 1000 steps"),
        ({"method": "iteration", "step": 19}, "selection.step: 19, expected 20 to 1000 steps"),
        (KID | {"first": 1000}, "selection.first: 1000, expected at least 20 and fewer than all 1000"),
        (KID | {"first": 19}, "selection.first: 19, expected at least 20 and fewer than all 1000"),
    ],
)
def test_steps_that_do_not_exist_are_refused(selection, message):
    with pytest.raises(UserError, match=f"^{message}"):
        candidate_steps(selection, 20, 1000)


def test_the_paper_preset_of_pggan_reaches_128_px_late():
    assert PGGAN.steps(resolve_options("pggan", "paper", {}), 128, 200) == (133_334, 160_000)


# The loop, with a number in place of a model


class Died(Exception):
    """Stands for a kill: nothing after it is done."""


def run(task, folder, keep=None, **overrides):
    def write(partial: Path) -> None:
        (partial / "value").write_text(repr(task.value.item()))

    arguments = {"plan": choose_plan(), "n": 10, "seed": 5, "fingerprint": "f", "preview": lambda path: None}
    arguments |= {"candidates": [3, 10, 21, 40], "keep": keep or write}
    Training(task, steps=40, options=OPTIONS | overrides, run_dir=folder, **arguments).run()
    return task.value.item()


def kept(folder):
    return {path.parent.name: path.read_text() for path in sorted((folder / "candidates").rglob("value"))}


@pytest.fixture
def whole(tmp_path):
    run(Chain(), tmp_path / "whole")
    return kept(tmp_path / "whole")


def test_models_are_kept_after_their_steps_and_change_nothing(tmp_path, whole):
    values = {}

    class Watched(Chain):
        def step(self, step, indices):
            values[f"step_{step:09d}"] = repr(self.value.item())
            return super().step(step, indices)

    task = Watched()
    last = run(task, tmp_path, keep=lambda folder: None)
    values["step_000000040"] = repr(last)
    assert list(whole) == ["step_000000003", "step_000000010", "step_000000021", "step_000000040"]
    assert whole == {name: values[name] for name in whole}
    plain = Chain()
    Training(
        plain,
        plan=choose_plan(),
        n=10,
        steps=40,
        options=OPTIONS,
        run_dir=tmp_path / "plain",
        seed=5,
        fingerprint="f",
        preview=lambda path: None,
    ).run()
    assert plain.value.item() == last
    assert not (tmp_path / "plain/candidates").exists()


@pytest.mark.parametrize("minutes", [0, 60])
@pytest.mark.parametrize("deadly", [3, 10, 21, 40])
def test_a_death_while_a_model_is_written_loses_and_repeats_none(tmp_path, whole, deadly, minutes):
    task = Chain()

    def half_written(partial):
        if len(task.seen) == deadly:
            (partial / "value").write_text("half")
            raise Died
        (partial / "value").write_text(repr(task.value.item()))

    with pytest.raises(Died):
        run(task, tmp_path, keep=half_written, checkpoint_minutes=minutes)
    assert f"step_{deadly:09d}" not in kept(tmp_path), "whole or not there"
    run(Chain(), tmp_path, checkpoint_minutes=minutes)
    assert kept(tmp_path) == whole
    assert len(list((tmp_path / "candidates").iterdir())) == 4


def test_a_death_between_model_and_state_loses_and_repeats_none(tmp_path, whole, monkeypatch):
    save, deaths = Checkpoints.save, [10, 21, 40]

    def deadly(self, step, state, keep=2):
        if step in deaths:
            deaths.remove(step)
            raise Died
        save(self, step, state, keep)

    monkeypatch.setattr(Checkpoints, "save", deadly)
    for _ in range(3):
        with pytest.raises(Died):
            run(Chain(), tmp_path)
    run(Chain(), tmp_path)
    assert deaths == [] and kept(tmp_path) == whole


def test_a_stopped_training_keeps_its_models(tmp_path, whole):
    with pytest.raises(SystemExit):
        run(Chain(stop_at=9, signal_=signal.SIGTERM), tmp_path, checkpoint_minutes=60)
    first = kept(tmp_path)
    assert list(first) == ["step_000000003", "step_000000010"]
    run(Chain(), tmp_path, checkpoint_minutes=60)
    assert kept(tmp_path) == whole == whole | first


def test_models_of_a_course_that_was_given_up_are_replaced(tmp_path, whole):
    """After non-finite steps the training goes back, here to its start, and on with other noise."""
    task = Chain(bad=lambda step, attempt: 25 <= step < 28 and attempt == 0)
    run(task, tmp_path, checkpoint_minutes=60)
    again = kept(tmp_path)
    assert list(again) == list(whole)
    assert not set(again.values()) & set(whole.values())


def test_models_of_another_training_are_dropped(tmp_path, whole):
    run(Chain(), tmp_path)
    arguments = {"plan": choose_plan(), "n": 10, "seed": 5, "preview": lambda path: None}
    Training(Chain(), steps=5, options=OPTIONS, run_dir=tmp_path, fingerprint="other", **arguments).run()
    assert kept(tmp_path) == {}


# The families

TINY = {
    "ddpm": {
        "block_out_channels": [8],
        "norm_groups": 4,
        "layers_per_block": 1,
        "attention_levels": [],
        "timesteps": 50,
        "steps": 12,
        "batch_size": 4,
        "previews": 1,
        "dropout": 0.1,
        "learning_rate_schedule": "constant",
    },
    # 4 px in steps 0 and 1; then 8 and 16 px, each faded in over 4 steps and kept for 2: 16 px from step 8 to 13.
    "pggan": {
        "widths": [8, 8, 4],
        "latent_size": 6,
        "start_size": 4,
        "batch_size": 4,
        "start_images": 8,
        "fade_images": 16,
        "stabilize_images": 8,
        "previews": 1,
    },
}


def fit(family, folder, selection=None, **overrides):
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 16), dtype=np.uint8)
    generator = {"ddpm": DDPM, "pggan": PGGAN}[family](resolve_options(family, "cpu", TINY[family] | overrides))
    generator.fit(ImageSet(images[..., None], [{"label": "A"}] * 9), folder, 3, selection)
    generator.save(folder / "model")
    return generator


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("family", "selection", "steps"),
    [("ddpm", KID | {"first": 2}, [2, 4, 7, 12]), ("pggan", KID, [9, 10, 12, 14])],
)
def test_kept_models_are_those_of_shorter_trainings(tmp_path, family, selection, steps):
    generator = fit(family, tmp_path / "kept", selection)
    fit(family, tmp_path / "plain")
    final = contents(tmp_path / "kept/model")
    assert final == contents(tmp_path / "plain/model"), "keeping models changed the training"
    assert not (tmp_path / "plain/candidates").exists()
    folders = sorted((tmp_path / "kept/candidates").iterdir())
    assert [folder.name for folder in folders] == [f"step_{step:09d}" for step in steps]
    assert contents(folders[-1]) == final
    for step, folder in zip(steps, folders, strict=True):
        model = type(generator).load(folder)
        images = np.concatenate([batch.images for batch in model.sample(range(2), 1)])
        assert images.shape == (2, 16, 16, 1)
        # With a constant learning rate a shorter training is the beginning of a longer one.
        shorter = fit(family, tmp_path / f"shorter_{step}", steps=step, previews=0)
        expected = np.concatenate([batch.images for batch in shorter.sample(range(2), 1)])
        assert np.array_equal(images, expected)
        if family == "pggan":
            assert model.facts["resolution"] == 16 and model.facts["alpha"] == shorter.facts["alpha"]


def test_a_kept_model_holds_averaged_weights(tmp_path):
    fit("ddpm", tmp_path, {"method": "iteration", "step": 7})
    (folder,) = (tmp_path / "candidates").iterdir()
    averaged = next(DDPM.load(folder).unet.parameters())
    fit("ddpm", tmp_path / "raw", {"method": "iteration", "step": 7}, ema_decay=0)
    raw = next(DDPM.load(tmp_path / "raw/candidates/step_000000007").unet.parameters())
    assert not torch.equal(averaged, raw)


def test_how_a_model_is_chosen_is_no_part_of_its_training(root):
    for entry in KINDS["families"].values():
        files = reached_files(root / "workflow/scripts/train_generator.py", entry.module, without=BESIDE)
        names = {file.relative_to(root / "workflow/scripts").as_posix() for file in files}
        assert {"radsynth/learning/candidates.py", "radsynth/learning/loop.py"} <= names
        trained = {"ddpm": "denoising", "latent_diffusion": "latents", "pggan": "adversarial"}
        own = trained[entry.module.split(".")[-1]]
        assert f"radsynth/generators/{own}.py" in names, "what the family imports when it trains"
        assert "radsynth/generators/selection.py" not in names
        # LPIPS may be part of a loss.
        names -= {f"radsynth/features/{file}.py" for file in ("__init__", "similarities")}
        assert not [name for name in names if name.startswith(("radsynth/quality", "radsynth/features"))]


@pytest.mark.parametrize("script", ["train_generator", "select_model", "write_pool"])
def test_no_drawing_is_in_the_code_hash_of_long_jobs(root, script):
    for entry in KINDS["families"].values():
        path = root / f"workflow/scripts/{script}.py"
        files = reached_files(path, entry.module, without=BESIDE)
        drawing = [file.name for file in files if re.search(r"matplotlib|write_sheets|ImageDraw", file.read_text())]
        assert drawing == []
        assert BESIDE & set(reached_files(path)), "it does draw"
