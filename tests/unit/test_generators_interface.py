"""The interface of generator families: registry, options, training sets, and two families of a few lines."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_pixels
from radsynth.common.registry import KINDS, Entry, find
from radsynth.common.sets import Conditions, ImageSet
from radsynth.generators import options as options_module
from radsynth.generators.base import Generator
from radsynth.generators.options import resolve_options, resolve_sampler
from radsynth.generators.training import train_generator


class ClassMean(Generator):
    """Joint and conditional: the mean image of the asked label, and noise."""

    accepts = frozenset({"label"})

    def learn(self, data, run_dir, seed):
        self.arrays = {label: data.images[data.labels == label].mean(axis=0) for label in data.label_counts}

    def draw(self, rng, condition):
        mean = self.arrays[condition["label"]]
        return (mean + rng.normal(0, 8, mean.shape)).clip(0, 255).astype(np.uint8)


class Pairs(Generator):
    """Writes masks: a random training image, brightened, with its mask."""

    emits = frozenset({"image", "mask"})

    def learn(self, data, run_dir, seed):
        self.arrays = {"images": data.images, "masks": data.masks}

    def draw(self, rng, condition):
        chosen = rng.integers(len(self.arrays["images"]))
        return self.arrays["images"][chosen] // 2 + 100, self.arrays["masks"][chosen]


class Joint(ClassMean):
    """Heeds label and boxes, makes masks and two channels."""

    accepts = frozenset({"label", "boxes"})
    emits = frozenset({"image", "mask"})
    channels = ("soft", "bone")

    def draw(self, rng, condition):
        mean = self.arrays[condition["label"]]
        mask = np.zeros(mean.shape[:2], np.uint8)
        for box in condition.get("boxes", ()):
            x0, y0, x1, y1 = (round(edge * len(mask)) for edge in box)
            mask[y0:y1, x0:x1] = 2
        return (mean + rng.normal(0, 8, (*mask.shape, 2))).clip(0, 255).astype(np.uint8), mask


def training_set(counts, size=16):
    rng = np.random.default_rng(0)
    labels = [label for label, n in counts.items() for _ in range(n)]
    levels = {label: 40 + 150 * position for position, label in enumerate(counts)}
    images = np.stack([rng.integers(0, 20, (size, size)) + levels[label] for label in labels]).astype(np.uint8)
    return ImageSet(images[..., None], [{"label": label} for label in labels], masks=(images > 50).astype(np.uint8))


def test_joint_conditional_family_draws_the_label_it_is_asked_for(tmp_path):
    generator = ClassMean({})
    generator.fit(training_set({"NORMAL": 5, "PNEUMONIA": 5}), tmp_path, seed=1)
    generator.save(tmp_path / "model")
    loaded = ClassMean.load(tmp_path / "model")
    for label, low, high in [("NORMAL", 30, 70), ("PNEUMONIA", 180, 220)]:
        batches = list(loaded.sample(range(3), 7, Conditions.of_label(label, 3)))
        images = np.concatenate([batch.images for batch in batches])
        assert images.shape == (3, 16, 16, 1)
        assert images.dtype == np.uint8
        assert low < images.mean() < high
        assert [index for batch in batches for index in batch.indices] == [0, 1, 2]


def test_a_joint_family_heeds_label_and_box_and_makes_masks_and_channels(tmp_path):
    generator = Joint({})
    generator.fit(training_set({"NORMAL": 5, "PNEUMONIA": 5}), tmp_path, seed=1)
    generator.save(tmp_path / "model")
    asked = Conditions([{"label": "PNEUMONIA", "boxes": [(0.25, 0.5, 0.75, 1)]}, {"label": "NORMAL"}])
    boxed, plain = Joint.load(tmp_path / "model").sample([3, 5], 7, asked)
    assert boxed.channels == ("soft", "bone") and boxed.images.shape == (1, 16, 16, 2)
    assert boxed.images.mean() > 180 > 70 > plain.images.mean()
    assert (boxed.masks[0, 8:, 4:12] == 2).all() and boxed.masks.sum() == 2 * 8 * 8 and not plain.masks.any()
    assert not np.array_equal(boxed.images[..., 0], boxed.images[..., 1])


def test_a_family_that_tells_no_losses_says_so(tmp_path):
    with pytest.raises(UserError, match="ClassMean: tells no losses"):
        ClassMean({}).losses(training_set({"NORMAL": 2}), seed=1)


def test_a_model_that_is_cut_off_is_named(tmp_path):
    generator = ClassMean({})
    generator.fit(training_set({"NORMAL": 5}), tmp_path, seed=1)
    generator.save(tmp_path / "model")
    file = tmp_path / "model/model.safetensors"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(UserError, match="/model: the model cannot be read ") as caught:
        ClassMean.load(tmp_path / "model")
    assert "\n" not in str(caught.value)


class Large(ClassMean):
    def learn(self, data, run_dir, seed):
        super().learn(data, run_dir, seed)
        self.arrays["large"] = np.zeros(100_000)


class Deadly(ClassMean):
    """Is killed while it saves its model."""

    def write(self, model_dir):
        super().write(model_dir)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def train(monkeypatch):
    """Train one of the families of this file as the rule does."""

    def run(family, folder):
        monkeypatch.setitem(KINDS["families"], "here", Entry(f"{__name__}:{family}"))
        outputs = {"model_dir": folder / "model", "training_png": folder / "t.png", "preview_png": folder / "p.png"}
        train_generator("here", {}, training_set({"NORMAL": 5}), **outputs, seed=1)

    return run


def test_a_model_that_does_not_fit_on_the_disk_is_named(disk, train):
    with disk.full(left=50_000), pytest.raises(UserError, match="/model: could not be written .*os error"):
        train("Large", disk.folder)
    assert not list(disk.folder.iterdir())


def test_a_model_is_whole_or_not_there_when_its_training_is_killed(tmp_path, train):
    child = os.fork()
    if child == 0:
        train("Deadly", tmp_path)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert (tmp_path / ".model.partial/model.safetensors").is_file() and not (tmp_path / "model").exists()
    train("ClassMean", tmp_path)
    ClassMean.load(tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"model", "t.png", "p.png"}


def test_images_depend_on_seed_and_index_alone(tmp_path):
    generator = ClassMean({})
    generator.fit(training_set({"NORMAL": 5}), tmp_path, seed=1)
    asked = Conditions.of_label("NORMAL", 6)
    whole = np.concatenate([b.images for b in generator.sample(range(6), 7, asked)])
    shard = np.concatenate([b.images for b in generator.sample([4, 2], 7, asked.at([4, 2]))])
    other = np.concatenate([b.images for b in generator.sample(range(6), 8, asked)])
    assert np.array_equal(shard, whole[[4, 2]])
    assert not np.array_equal(other, whole)


def test_family_with_masks_returns_the_mask_of_each_image(tmp_path):
    generator = Pairs({})
    data = training_set({"NORMAL": 5})
    generator.fit(data, tmp_path, seed=1)
    for batch in generator.sample(range(4), 3):
        match = (data.images // 2 + 100 == batch.images).all(axis=(1, 2, 3)).argmax()
        assert np.array_equal(batch.masks[0], data.masks[match])


def test_unconditional_family_refuses_several_labels(tmp_path):
    with pytest.raises(UserError, match="per: all asks one Pairs for NORMAL, PNEUMONIA"):
        Pairs({}).fit(training_set({"NORMAL": 2, "PNEUMONIA": 2}), tmp_path, seed=1)


def test_train_generator_writes_all_files_for_a_family_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS["families"], "class_mean", Entry(f"{__name__}:ClassMean"))
    outputs = {"model_dir": tmp_path / "model", "training_png": tmp_path / "t.png", "preview_png": tmp_path / "p.png"}
    data = training_set({"NORMAL": 12, "PNEUMONIA": 12})
    train_generator("class_mean", {}, data, **outputs, seed=1)
    description = json.loads((tmp_path / "model" / "describe.json").read_text())
    assert description["parameters"] == 2 * 16 * 16
    assert description["data"]["sha256"] == data.sha256
    assert description["data"]["labels"] == {"NORMAL": 12, "PNEUMONIA": 12}
    for picture in ("t.png", "p.png"):
        assert Image.open(tmp_path / picture).size[0] > 300


def test_training_set_reads_the_unit_of_a_cohort(tmp_path):
    rng = np.random.default_rng(0)
    rows, sums = [], {}
    for index, label in enumerate(["A", "B", "A"]):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            pixels = rng.integers(0, 3, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{index}.png")
            sums[folder] = sha256_pixels(pixels)
        files = {"file": f"images/{index}.png", "mask_file": f"masks/{index}.png"}
        about = {"image_id": str(index), "label": label, "patient_id": "p", "view": "PA"}
        rows.append(about | files | {"sha256": sums["images"], "mask_sha256": sums["masks"]})
    pd.DataFrame(rows).to_csv(tmp_path / "train.csv", index=False)
    data = ImageSet.from_manifest(tmp_path / "train.csv", tmp_path, ["A"])
    assert len(data) == 2
    assert data.rows == [{"label": "A", "view": "PA"}] * 2
    assert np.array_equal(data.masks[1], np.asarray(Image.open(tmp_path / "masks/2.png")))
    assert ImageSet.from_manifest(tmp_path / "train.csv", tmp_path, ["A", "B"]).label_counts == {"A": 2, "B": 1}
    with pytest.raises(UserError, match="no training image of C"):
        ImageSet.from_manifest(tmp_path / "train.csv", tmp_path, ["A", "C"])
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "masks/2.png")
    with pytest.raises(UserError, match="masks/2.png: not the image that its manifest names"):
        ImageSet.from_manifest(tmp_path / "train.csv", tmp_path, ["A"])


def test_data_hash_changes_with_pixels_masks_attributes_and_order():
    data = training_set({"A": 3})
    changed = data.images.copy()
    changed[0, 0, 0, 0] += 1
    masks = data.masks.copy()
    masks[0, 0, 0] += 1
    others = [
        ImageSet(changed, data.rows, masks=data.masks),
        ImageSet(data.images, data.rows, masks=masks),
        ImageSet(data.images, data.rows),
        ImageSet(data.images, [{"label": "B"}] * 3, masks=data.masks),
        ImageSet(data.images[::-1], data.rows, masks=data.masks),
        ImageSet(data.images, data.rows, ("other",), data.masks),
        ImageSet(data.images, data.rows, masks=data.masks, has_mask=np.array([True, True, False])),
    ]
    hashes = {data.sha256, *(other.sha256 for other in others)}
    assert len(hashes) == len(others) + 1
    assert training_set({"A": 3}).sha256 == data.sha256


def test_options_are_defaults_then_preset_then_overrides():
    assert resolve_options("ddpm", "default", {})["timesteps"] == 1000
    assert resolve_options("ddpm", "paper", {})["timesteps"] == 8000
    assert resolve_options("ddpm", "paper", {"timesteps": 50})["timesteps"] == 50
    assert resolve_sampler("ddpm", "paper", {})["name"] == "ancestral"
    assert resolve_sampler("ddpm", "default", {"steps": 7})["steps"] == 7


def test_paper_preset_is_the_published_recipe():
    found = resolve_options("ddpm", "paper", {})
    expected = {
        "block_out_channels": [128, 128, 256, 256, 512, 512],
        "layers_per_block": 2,
        "attention_levels": [4],
        "timesteps": 8000,
        "beta_schedule": "linear",
        "prediction": "epsilon",
        "snr_gamma": None,
        "epochs": 512,
        "batch_size": 16,
        "learning_rate": 1e-4,
        "warmup_steps": 500,
        "learning_rate_schedule": "cosine",
        "gradient_clip": 1.0,
        "precision": "fp16",
        "ema_decay": 0,
        "augment_rotation": 0,
        "augment_shift": 0,
        "augment_scale": 0,
        "augment_intensity": 0,
    }
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ddpm", "default", {"timestep": 5}), r"^generators\.x\.options\.timestep: unknown key"),
        (("ddpm", "default", {"batch_size": "16"}), r"^generators\.x\.options\.batch_size: '16'"),
        (("ddpm", "default", {"batch_size": 0}), r"^generators\.x\.options\.batch_size: 0"),
        (("ddpm", "best", {}), r"^generators\.x\.preset: unknown preset 'best', expected one of default, .*, cpu"),
        (("gan", "default", {}), r"^generators\.x\.family: unknown family 'gan'"),
    ],
)
def test_wrong_options_name_their_key(arguments, message):
    with pytest.raises(UserError, match=message) as error:
        resolve_options(*arguments, "generators.x")
    assert "\n" not in str(error.value)


def test_wrong_sampler_names_its_key():
    with pytest.raises(UserError, match=r"^generators\.x\.sampler\.name: 'euler'"):
        resolve_sampler("ddpm", "default", {"name": "euler"}, "generators.x")


def test_every_hyperparameter_is_described():
    for part in options_module.read_schema("generators/ddpm")["properties"].values():
        for key, entry in part["properties"].items():
            assert entry["description"].endswith("."), key
            assert "default" in entry, key
            assert "type" in entry or "enum" in entry, key


def test_configuration_side_imports_no_torch():
    code = (
        "import sys, radsynth.generators.options, radsynth.generators.training; "
        "from radsynth.common.registry import KINDS; "
        "families = [entry.load() for entry in KINDS['families'].values()]; "
        "assert families[0].data_parallel and not families[1].data_parallel; "
        "sys.exit(int(bool({'torch', 'diffusers'} & set(sys.modules))))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_unknown_family_is_refused():
    with pytest.raises(UserError, match="unknown family 'gan', expected one of ddpm"):
        find("families", "gan", "family").load()
