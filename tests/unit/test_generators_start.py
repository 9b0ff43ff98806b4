"""Trainings that begin from the weights of another model: taken over whole, resumed bit for bit, told in the files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from radsynth.common.errors import UserError
from radsynth.common.models import model_hash
from radsynth.common.sets import ImageSet
from radsynth.generators.adversarial import AdversarialTask
from radsynth.generators.base import Generator
from radsynth.generators.ddpm import DDPM
from radsynth.generators.denoising import DenoisingTask
from radsynth.generators.options import resolve_options
from radsynth.generators.pggan import CRITIC, PGGAN
from radsynth.generators.training import train_generator
from radsynth.learning.loop import Training
from radsynth.learning.measured import read_metrics
from safetensors.torch import load_file

OFTEN = {"log_every": 1, "previews": 0, "checkpoint_minutes": 0}
SMALL = {
    "ddpm": {
        **{"block_out_channels": [8], "norm_groups": 4, "layers_per_block": 1, "attention_levels": [], "steps": 6},
        **{"batch_size": 4, "warmup_steps": 0, "learning_rate": 0.01},
    },
    # 8 and 16 px are faded in over one step and kept for two.
    "pggan": {
        **{"widths": [8, 8, 4], "latent_size": 6, "start_size": 4, "batch_size": 4, "steps": 6, "ema_decay": 0.5},
        **{"start_images": 4, "fade_images": 4, "stabilize_images": 4, "learning_rate": 0.01},
    },
}
FAMILIES = {"ddpm": DDPM, "pggan": PGGAN}
TASKS = {"ddpm": DenoisingTask, "pggan": AdversarialTask}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


def images(seed, n=9):
    return ImageSet(
        np.random.default_rng(seed).integers(0, 256, (n, 16, 16, 1), dtype=np.uint8), [{"label": "NORMAL"}] * n
    )


def small(family, **overrides):
    return resolve_options(family, "cpu", {**SMALL[family], **OFTEN, **overrides})


def pretrained(family, folder, seed=1):
    """Train a model that others begin from, as its rule does, and return its folder."""
    outputs = {"model_dir": folder / "model", "training_png": folder / "t.png", "preview_png": folder / "p.png"}
    train_generator(family, small(family), images(seed, 11), **outputs, seed=seed, pretraining_on="others")
    return folder / "model"


def weights(model):
    return {str(file.relative_to(model)): load_file(file) for file in sorted(model.rglob("*.safetensors"))}


def same(one, other):
    return one.keys() == other.keys() and all(
        one[file].keys() == other[file].keys()
        and all(torch.equal(one[file][key], other[file][key]) for key in one[file])
        for file in one
    )


@pytest.fixture(scope="module", params=FAMILIES)
def begun(request, tmp_path_factory):
    """A family's name and two models to begin from."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, *(pretrained(request.param, folder / str(seed), seed) for seed in (1, 2))


def fitted(family, folder, start, **overrides):
    generator = FAMILIES[family]({**small(family), **overrides})
    generator.fit(images(5), folder, seed=3, start=start)
    generator.save(folder / "model")
    generator.write_rest(folder / "model")
    return folder / "model"


def test_all_weights_are_those_of_the_start_where_nothing_is_learnt(begun, tmp_path):
    family, start, other = begun
    stayed = fitted(family, tmp_path, start, learning_rate=0.0, weight_decay=0.0)
    assert same(weights(stayed), weights(start)) and not same(weights(stayed), weights(other))


def test_a_training_moves_on_from_the_start(begun, tmp_path):
    family, start, other = begun
    found = [
        weights(fitted(family, tmp_path / name, begin)) for name, begin in [("a", start), ("b", other), ("c", None)]
    ]
    for one in range(3):
        assert not same(found[one], found[one - 1])
    assert not same(found[0], weights(start))


class Interrupted(BaseException):
    """Ends a training between two steps, as a kill does."""


def interrupted(monkeypatch, family, folder, start, after):
    step = TASKS[family].step

    def until(self, number, indices):
        if number == after:
            raise Interrupted
        return step(self, number, indices)

    with monkeypatch.context() as patch:
        patch.setattr(TASKS[family], "step", until)
        with pytest.raises(Interrupted):
            fitted(family, folder, start)


def steps_taken(monkeypatch):
    taken = []
    take = Training._take
    monkeypatch.setattr(Training, "_take", lambda self: taken.append(self._step) or take(self))
    return taken


def test_an_interrupted_training_ends_with_the_same_weights(begun, tmp_path, monkeypatch):
    family, start, _ = begun
    whole = weights(fitted(family, tmp_path / "whole", start))
    interrupted(monkeypatch, family, tmp_path / "resumed", start, after=4)
    taken = steps_taken(monkeypatch)
    assert same(weights(fitted(family, tmp_path / "resumed", start)), whole)
    assert taken == [4, 5]


@pytest.mark.parametrize("now", ["other", "none"])
def test_the_state_of_another_start_is_discarded(begun, tmp_path, monkeypatch, now):
    family, start, other = begun
    begin = {"other": other, "none": None}[now]
    interrupted(monkeypatch, family, tmp_path / "resumed", start, after=4)
    taken = steps_taken(monkeypatch)
    found = weights(fitted(family, tmp_path / "resumed", begin))
    assert taken == list(range(6))
    assert same(found, weights(fitted(family, tmp_path / "fresh", begin)))


def test_files_tell_what_a_model_began_from(begun, tmp_path):
    family, start, _ = begun
    outputs = {"training_png": tmp_path / "t.png", "preview_png": tmp_path / "p.png"}
    train_generator(family, small(family), images(5), model_dir=tmp_path / "m/model", **outputs, seed=3, start=start)
    for file in ("generator.json", "describe.json"):
        told = json.loads((tmp_path / "m/model" / file).read_text())
        began = (told["facts"] if file == "generator.json" else told)["start"]
        assert (
            began["pretrained_on"] == "others" and began["data"]["n"] == 11 and began["data"]["labels"]["NORMAL"] == 11
        )
        assert began["sha256"] == model_hash(start) and began["data"]["sha256"] == images(1, 11).sha256
    assert json.loads((start / "describe.json").read_text())["pretrained_on"] == "others"
    assert "start" not in json.loads((start / "generator.json").read_text())["facts"]


def test_a_model_without_start_is_what_it_was(tmp_path):
    model = PGGAN(small("pggan"))
    model.fit(images(5), tmp_path, seed=3)
    model.save(tmp_path / "model")
    assert {file.name for file in (tmp_path / "model").iterdir()} == {"model.safetensors", "generator.json"}
    assert set(model.facts) == {"seed", "data", "critic_parameters", "resolution", "alpha"}
    with pytest.raises(UserError, match=rf"/model: no {CRITIC}, expected a model that was trained for others"):
        fitted("pggan", tmp_path / "next", tmp_path / "model")


def test_a_grown_pggan_trains_at_its_last_resolution_alone(tmp_path):
    def resolutions(run):
        return [(row["resolution"], row["alpha"]) for row in read_metrics(run / "progress/metrics.jsonl")]

    start = pretrained("pggan", tmp_path / "start")
    fitted("pggan", tmp_path / "next", start)
    assert resolutions(tmp_path / "next") == [(16, 1)] * 6
    assert resolutions(tmp_path / "start")[0] == (4, 1)


@pytest.mark.parametrize(
    ("family", "overrides", "message"),
    [
        ("ddpm", {"block_out_channels": [16]}, r"conv_in.weight \[8, 1, 3, 3\], expected \[16, 1, 3, 3\]"),
        ("ddpm", {"channels": 3}, r"conv_in.weight \[8, 1, 3, 3\], expected \[8, 3, 3, 3\]"),
        ("ddpm", {"layers_per_block": 2}, "missing, expected"),
        ("pggan", {"latent_size": 7}, r"blocks.0.0.weight \[8, 6, 4, 4\], expected \[8, 7, 4, 4\]"),
    ],
)
def test_other_networks_are_refused_in_one_line(tmp_path, family, overrides, message):
    start = pretrained(family, tmp_path / "start")
    with pytest.raises(
        UserError, match=f"pretrain_on: the model to begin from has other networks: .*{message}"
    ) as caught:
        fitted(family, tmp_path / "next", start, **overrides)
    assert "\n" not in str(caught.value)


def test_a_family_that_begins_from_no_other_model_says_so(tmp_path):
    class Plain(Generator):
        def learn(self, data: ImageSet, run_dir: Path, seed: int) -> None:
            self.arrays = {"mean": data.images.mean(axis=0)}

    plain = Plain({})
    plain.fit(images(5), tmp_path, seed=3)
    plain.save(tmp_path / "model")
    with pytest.raises(UserError, match="pretrain_on: Plain begins from no other model, expected a family that does"):
        Plain({}).fit(images(5), tmp_path, seed=3, start=tmp_path / "model")
