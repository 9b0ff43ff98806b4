"""The choice among the models of a training: withheld images, KID, the copy gate, the selected directory."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common import sets
from radsynth.common.errors import UserError
from radsynth.common.files import write_json
from radsynth.common.hashing import sha256_pixels
from radsynth.common.models import model_hash
from radsynth.common.registry import KINDS, Entry
from radsynth.common.sets import ImageSet
from radsynth.common.tables import read_table
from radsynth.generators import selection
from radsynth.generators.base import Generator
from radsynth.generators.options import check_selection, resolve_selection
from radsynth.generators.selection_figure import plot_selection
from radsynth.generators.training import train_generator
from radsynth.generators.withholding import withhold
from radsynth.learning.candidates import Candidates, candidate_steps

GATES = {"patient": True, "pixels": True, "near_duplicates": True}

# What is withheld


def cohort(patients, duplicates=None):
    n = len(patients)
    columns = {"image_id": [f"i{k}" for k in range(n)], "label": ["A"] * n, "patient_id": patients}
    columns |= {"sha256": [f"h{k}" for k in range(n)], "near_duplicate_group": duplicates or [""] * n}
    return pd.DataFrame(columns)


def test_the_share_is_withheld_by_seed():
    rows = cohort([""] * 100)
    withheld = withhold(rows, 0.2, GATES, seed=1)
    assert len(withheld) == 20 and withheld["image_id"].is_unique
    assert list(withheld.index) == sorted(withheld.index)
    assert withhold(rows, 0.2, GATES, seed=1).equals(withheld)
    assert not withhold(rows, 0.2, GATES, seed=2).equals(withheld)


def test_patients_and_near_duplicates_stay_together():
    patients = [f"p{k // 3}" for k in range(60)]
    duplicates = [f"d{k}" if k in (5, 30) else "" for k in range(60)]
    duplicates[30] = duplicates[5]
    rows = cohort(patients, duplicates)
    seen_tied = False
    for seed in range(20):
        withheld = withhold(rows, 0.2, GATES, seed)
        assert len(withheld) == 12, "the share is reached where groups allow it"
        for patient in set(withheld["patient_id"]):
            assert (withheld["patient_id"] == patient).sum() == 3
        tied = withheld["image_id"].isin(["i5", "i30"]).sum()
        assert tied in (0, 2)
        seen_tied |= tied == 2
    assert seen_tied
    loose = withhold(rows, 0.2, GATES | {"patient": False}, seed=1)
    assert loose["patient_id"].value_counts().min() < 3, "a gate that is off ties nothing"


def test_too_few_images_or_groups_are_an_error():
    with pytest.raises(UserError, match=r"^selection.withhold: 0.2 of 30 images are 6, expected at least 8"):
        withhold(cohort([""] * 30), 0.2, GATES, seed=1)
    with pytest.raises(UserError, match=r"^selection.withhold: 60 images in 2 groups .* hold only 0 whole"):
        withhold(cohort(["a"] * 30 + ["b"] * 30), 0.2, GATES, seed=1)


# What is chosen


@pytest.fixture
def features():
    """Reals of one distribution, and models: the truth, near and far from it, and one that repeats what it learnt."""
    rng = np.random.default_rng(0)

    def reals(n):
        return rng.normal(size=(n, 6))

    learnt, withheld = reals(120), reals(60)
    models = {
        "truth": reals(200),
        "near": reals(200) + 0.5,
        "far": reals(200) + 2,
        "copies": learnt[rng.integers(0, 120, 200)] + rng.normal(0, 0.01, (200, 6)),
        # Copies of the images most like the withheld ones: the lowest KID of all.
        "best copies": withheld[rng.integers(0, 60, 200)],
    }
    return learnt, withheld, models


def judge(features, *names):
    learnt, withheld, models = features
    chosen = {step: models[name] for step, name in enumerate(names, start=1)}
    return selection.judge(chosen, learnt, withheld[::2], withheld[1::2])


def test_the_lowest_kid_is_taken(features):
    result = judge(features, "far", "near", "truth", "near")
    assert (result["step"], result["warning"]) == (3, "")
    kids = [row["kid"] for row in result["candidates"]]
    assert kids[0] > kids[1] > kids[2] and all(row["passed"] for row in result["candidates"])
    assert abs(result["kid_of_training_images"]) < kids[1]
    assert (result["n_trained"], result["n_withheld"], result["n_control"]) == (120, 60, 30)


def test_kid_is_that_to_the_withheld_images(features):
    learnt, withheld, models = features
    reference = withheld + 1
    images = {1: models["truth"], 2: models["truth"] + 1}
    result = selection.judge(images, learnt, reference[::2], reference[1::2])
    assert result["step"] == 2 and all(row["passed"] for row in result["candidates"])

    def kernel(x, y):
        return (x @ y.T / 6 + 1) ** 3

    for row, images in zip(result["candidates"], [models["truth"], models["truth"] + 1], strict=True):
        within = [
            (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
            for k in (kernel(images, images), kernel(reference, reference))
        ]
        assert row["kid"] == pytest.approx(sum(within) - 2 * kernel(images, reference).mean())


def test_copies_are_not_taken_however_low_their_kid(features):
    learnt, withheld, models = features
    # All that the first model repeats it has learnt, and this lies exactly where the withheld images lie.
    learnt = np.concatenate([learnt, withheld + 1e-3])
    rows = {1: models["best copies"] + 1e-3, 2: models["far"], 3: models["near"]}
    withheld = withheld + np.random.default_rng(1).normal(0, 0.6, withheld.shape)
    result = selection.judge(rows, learnt, withheld[::2], withheld[1::2])
    first, far, near = result["candidates"]
    assert first["kid"] < near["kid"] < far["kid"]
    assert first["copy_rate"] > 0.9 and first["p_value"] < 0.05 and not first["passed"]
    assert (result["step"], result["warning"]) == (3, "")


def test_where_all_copy_the_fewest_copies_are_taken_with_a_warning(features, caplog):
    learnt, withheld, models = features
    rng = np.random.default_rng(2)
    half = np.concatenate([learnt[rng.integers(0, 120, 120)], models["far"][:80]])
    result = selection.judge({10: models["copies"], 20: half}, learnt, withheld[::2], withheld[1::2])
    assert not any(row["passed"] for row in result["candidates"])
    assert result["step"] == 20 and result["reason"] == "the lowest copy rate"
    assert result["candidates"][0]["kid"] < result["candidates"][1]["kid"]
    assert result["warning"].startswith("every model copies significantly more (0.6") and "step 20" in result["warning"]
    assert result["warning"] in caplog.text


# From a training to the selected model

STEPS = [1, 2, 3, 4]


class Stepwise(Generator):
    """Step by step: noise, the truth, what it has learnt, nothing but black."""

    @classmethod
    def steps(cls, options, size, n):
        return 1, 4

    def learn(self, data, run_dir, seed):
        assert candidate_steps(self.selection, 1, 4) == STEPS
        kept = Candidates(run_dir / "candidates", STEPS, self.save)
        for self.facts["stage"] in STEPS:
            self.arrays = {"images": data.images}
            kept.keep(self.facts["stage"])

    def draw(self, rng, condition):
        assert condition == {"label": "A"}
        learnt = self.arrays["images"]
        return {
            1: lambda: rng.integers(0, 256, (32, 32, 1), dtype=np.uint8),
            2: lambda: phantom(rng)[..., None],
            3: lambda: learnt[rng.integers(len(learnt))],
            4: lambda: np.zeros((32, 32, 1), np.uint8),
        }[self.facts["stage"]]()


def phantom(rng):
    """A blob somewhere: a distribution with more images than anyone can learn by heart."""
    y, x = np.mgrid[:32, :32]
    cy, cx, width = rng.uniform(8, 24), rng.uniform(8, 24), rng.uniform(3, 8)
    blob = 200 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
    return (blob + rng.normal(0, 4, blob.shape)).clip(0, 255).astype(np.uint8)


SETTINGS = {"method": "kid", "checkpoints": 4, "first": 1, "images": 100, "extractor": "pixels"}


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A cohort of 100 images, of which 40 are withheld, and a model directory."""
    monkeypatch.setitem(KINDS["families"], "stepwise", Entry(f"{__name__}:Stepwise"))
    rng, data = np.random.default_rng(5), tmp_path / "data"
    (data / "images").mkdir(parents=True)
    rows = cohort([""] * 100).assign(mask_file="", file=[f"images/{k}.png" for k in range(100)])
    for row, file in enumerate(rows["file"]):
        pixels = phantom(rng)
        Image.fromarray(pixels).save(data / file)
        rows.loc[row, "sha256"] = sha256_pixels(pixels)
    rows.to_csv(data / "train.csv", index=False)
    rows = read_table(data / "train.csv")
    withheld = withhold(rows, 0.4, GATES, seed=7)
    images = ImageSet.from_manifest(data / "train.csv", data, ["A"], withheld["image_id"])
    model = tmp_path / "unit" / "model"
    outputs = {"training_png": tmp_path / "t.png", "preview_png": tmp_path / "p.png"}
    train_generator("stepwise", {}, images, model_dir=model, **outputs, seed=1, selection=SETTINGS, withheld=withheld)
    return model, data, withheld, images


def select(trained, **overrides):
    model, data, *_ = trained
    arguments = {"settings": SETTINGS, "sampler": {}, "seed": 9} | overrides
    return selection.select_by_kid("stepwise", model, data / "train.csv", data, "A", **arguments)


def test_withheld_images_are_not_trained_on_and_recorded(trained):
    model, data, withheld, images = trained
    recorded = read_table(model / "withheld.csv")
    assert list(recorded.columns) == ["image_id", "label"]
    assert list(recorded["image_id"]) == list(withheld["image_id"]) and len(recorded) == 40
    learnt = json.loads((model / "generator.json").read_text())["facts"]["data"]
    assert learnt["n"] == len(images) == 60
    seen = {image.tobytes() for image in images.images}
    for file in read_table(data / "train.csv").loc[lambda rows: rows["image_id"].isin(withheld["image_id"]), "file"]:
        assert np.asarray(Image.open(data / file)).tobytes() not in seen
    assert not (model.parent / "candidates").exists() and not (model.parent / "state").exists()


def test_the_true_model_is_selected_among_noise_copies_and_collapse(trained, tmp_path):
    model, *_ = trained
    result = select(trained)
    rows = {row["step"]: row for row in result["candidates"]}
    assert list(rows) == STEPS and result["step"] == 2
    assert not rows[3]["passed"] and rows[3]["copy_rate"] == 1
    assert rows[2]["passed"] and rows[2]["kid"] < min(rows[1]["kid"], rows[4]["kid"])
    assert result["extractor"]["name"] == "pixels" and result["images"] == 100
    assert select(trained) == result != select(trained, seed=10)

    selected = tmp_path / "selected"
    selection.write_selected("stepwise", model, selected, result)
    chosen = Stepwise.load(selected)
    assert chosen.facts["stage"] == 2
    description = json.loads((selected / "describe.json").read_text())
    assert description["step"] == 2 and description["stage"] == 2
    kept = json.loads((model / "describe.json").read_text())
    assert {key: description[key] for key in ("family", "device", "parameters", "versions")} == {
        key: kept[key] for key in ("family", "device", "parameters", "versions")
    }
    assert (selected / "withheld.csv").read_bytes() == (model / "withheld.csv").read_bytes()
    assert json.loads((selected / "selection.json").read_text()) == result
    assert not (selected / "checkpoints").exists()
    # The hash is that of the model, not of the numbers by which it was chosen.
    before = model_hash(selected)
    write_json(selected / "selection.json", result | {"reason": "another"})
    assert model_hash(selected) == before
    plot_selection(result, tmp_path / "selection.png", "stepwise: A")
    assert Image.open(tmp_path / "selection.png").size[0] > 900


def test_a_given_step_is_taken_as_it_is(trained, tmp_path):
    model, *_ = trained
    result = {"method": "iteration", "step": 3, "reason": "as configured", "device": "cpu"}
    selection.write_selected("stepwise", model, tmp_path / "selected", result)
    assert Stepwise.load(tmp_path / "selected").facts["stage"] == 3
    plot_selection(result, tmp_path / "selection.png", "stepwise: A")
    assert Image.open(tmp_path / "selection.png").size[0] > 900
    with pytest.raises(UserError, match="no model of step 5"):
        selection.write_selected("stepwise", model, tmp_path / "other", result | {"step": 5})
    with pytest.raises(TypeError):  # as a death while its last file is written
        selection.write_selected("stepwise", model, tmp_path / "half", result | {"device": object()})
    assert not list(tmp_path.glob("*half*"))


def test_only_training_images_are_read(trained, monkeypatch):
    """The cohort's own images are all that lies in the folder, and each is read from there."""
    read = []
    for module, name in ((selection, "read_gray_stack"), (sets, "read_image_stack")):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda root, files, f=original: (read.extend(files["file"]), f(root, files))[1]
        )
    select(trained)
    assert sorted(read) == sorted(read_table(trained[1] / "train.csv")["file"])


def test_a_model_that_learnt_from_other_images_is_refused(trained):
    model, data, withheld, _ = trained
    read_table(model / "withheld.csv").iloc[1:].to_csv(model / "withheld.csv", index=False)
    with pytest.raises(UserError, match="has learnt from other images than"):
        select(trained)


def test_threshold_and_control_have_no_patient_in_common(trained):
    """Images of one patient are alike: on both sides they would make the control as close as the threshold allows."""
    model, data, withheld, images = trained
    rows = read_table(data / "train.csv")
    taken = rows["image_id"].isin(withheld["image_id"])
    rows.loc[taken, "patient_id"] = [f"p{k // 4}" for k in range(40)]
    rows.to_csv(data / "train.csv", index=False)
    (_, *parts), (_, groups) = selection.read_images(model, data / "train.csv", data, "A")
    known = {np.asarray(Image.open(data / row["file"])).tobytes(): row["patient_id"] for _, row in rows.iterrows()}
    first, second = ({known[image.tobytes()] for image in part} for part in parts)
    assert [len(part) for part in parts] == [20, 20] and not first & second
    assert np.bincount(groups).tolist() == [4] * 10
    rows.loc[taken, "patient_id"] = "the only one"
    rows.to_csv(data / "train.csv", index=False)
    with pytest.raises(
        UserError, match=r"40 images were withheld, which fall into 40 and 0 .* raise selection.withhold"
    ):
        selection.read_images(model, data / "train.csv", data, "A")


def test_without_selection_nothing_more_is_written(tmp_path, monkeypatch):
    class Plain(Generator):
        def learn(self, data, run_dir, seed):
            self.arrays = {"images": data.images}

        def draw(self, rng, condition):
            return self.arrays["images"][0]

    monkeypatch.setattr(Entry, "load", lambda self: Plain)
    monkeypatch.setitem(KINDS["families"], "plain", Entry(""))
    images = ImageSet(np.random.default_rng(0).integers(0, 255, (4, 16, 16, 1), dtype=np.uint8), [{"label": "A"}] * 4)
    outputs = {"training_png": tmp_path / "t.png", "preview_png": tmp_path / "p.png"}
    train_generator("plain", {}, images, model_dir=tmp_path / "model", **outputs, seed=1)
    assert {file.name for file in (tmp_path / "model").iterdir()} == {
        "model.safetensors",
        "generator.json",
        "describe.json",
    }


def test_a_training_that_was_stopped_after_its_end_finds_its_models_again(trained, tmp_path, monkeypatch):
    """They are removed together with the state, after the model directory is whole."""
    model, _, withheld, images = trained
    removed = []
    monkeypatch.setattr(
        shutil, "rmtree", lambda path, **_: removed.append((path.name, (again / "checkpoints").is_dir()))
    )
    again = tmp_path / "again" / "model"
    outputs = {"training_png": tmp_path / "t.png", "preview_png": tmp_path / "p.png"}
    train_generator("stepwise", {}, images, model_dir=again, **outputs, seed=1, selection=SETTINGS, withheld=withheld)
    assert removed[-2:] == [("state", True), ("candidates", True)]


# The configuration


def generator(family="ddpm", per="label", options=None, **settings):
    chosen = resolve_selection({"method": "kid"} | settings, "generators.x")
    options = options or {"steps": 500, "batch_size": 16, "epochs": 1}
    return {"family": family, "per": per, "options": options, "selection": chosen}


def test_defaults_are_those_of_the_method():
    chosen = resolve_selection({"method": "kid"})
    expected = {"checkpoints": 8, "first": None, "withhold": 0.2, "images": 256, "extractor": "pixels"}
    assert chosen == {"method": "kid"} | expected
    assert resolve_selection({"method": "last"}) == {"method": "last"}
    check_selection(generator(), 32, [100, 60], "generators.x")
    check_selection(generator(method="iteration", step=500), 32, [5], "generators.x")
    assert chosen["extractor"] in KINDS["extractors"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "last", "step": 5}, "step: unknown key"),
        ({"method": "iteration"}, "step: missing"),
        ({"method": "iteration", "step": 5, "images": 3}, "images: unknown key"),
        ({"method": "kid", "withhold": 0.9}, "withhold: 0.9"),
        ({"method": "kid", "checkpoints": 1}, "checkpoints: 1"),
        ({"method": "kid", "seed": 1}, "seed: unknown key"),
    ],
)
def test_keys_of_another_method_are_refused(settings, message):
    with pytest.raises(UserError, match=rf"^generators\.x\.selection\.{message}"):
        resolve_selection(settings, "generators.x")


@pytest.mark.parametrize(
    ("entry", "images", "message"),
    [
        (generator("joint", "all"), [100], "selection.method: kid, but joint is not trained step by step"),
        (generator(per="all"), [100], "selection.method: kid compares images of one label, expected per: label"),
        (generator(), [100, 30], "selection.withhold: 0.2 of 30 images are 6"),
        (generator(first=500), [100], "selection.first: 500, expected at least 1 and fewer than all 500 steps"),
        (generator(method="iteration", step=501), [100], "selection.step: 501, expected 1 to 500 steps"),
        # 80 images are left to learn from: 5 batches of 16.
        (
            generator(first=6, options={"steps": None, "batch_size": 16, "epochs": 1}),
            [100],
            "selection.first: 6, expected at least 1 and fewer than all 5 steps",
        ),
    ],
)
def test_choices_that_are_impossible_name_the_key(entry, images, message, monkeypatch):
    monkeypatch.setitem(KINDS["families"], "joint", Entry("radsynth.generators.base:Generator"))
    with pytest.raises(UserError, match=rf"^generators\.x\.{message}"):
        check_selection(entry, 32, images, "generators.x")
