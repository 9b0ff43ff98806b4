"""Networks and their training: parameter counts, determinism, and floors on phantoms."""

import os
import subprocess
import sys

import numpy as np
import pytest
from radsynth.cohorts.testsets import stacked
from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_pixels
from radsynth.data.phantom import render
from radsynth.tasks.classification import evaluate, predictions_table
from radsynth.tasks.keras_learner import CustomCNN

CLASSIFIER = {
    "architecture": "custom_cnn",
    "weights": "none",
    "input_size": 32,
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "dropout": 0.5,
}


@pytest.fixture(scope="module", autouse=True)
def backend():
    from radsynth.tasks.keras_backend import prepare

    return prepare(threads=2)


def phantoms(count: int, first_patient: int) -> tuple[np.ndarray, np.ndarray]:
    """Return phantoms of 32 px, one per patient, every other one with a lesion."""
    patients = range(first_patient, first_patient + count)
    images = np.stack([render(patient, patient + 10**6, 32, bool(patient % 2))[0] for patient in patients])
    return images, np.arange(first_patient, first_patient + count) % 2


def easy(count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return noise of which the second label's is darker."""
    targets = np.arange(count) % 2
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32), dtype=np.uint8)
    return images // (1 + targets[:, None, None].astype(np.uint8)), targets


def fit(classifier, images, targets, seed=1, **options):
    from radsynth.tasks.keras_training import train

    return train(classifier, images, targets, (images[:4], targets[:4]), 2, seed, **options)


def auc(model, images, targets):
    import pandas as pd
    from radsynth.tasks.keras_training import predict

    labels = ["NORMAL", "PNEUMONIA"]
    test = pd.DataFrame({"image_id": range(len(targets)), "label": np.array(labels)[targets], "patient_id": ""})
    return evaluate(predictions_table(test, predict(model, images), labels), labels, "PNEUMONIA")["metrics"]["roc_auc"]


def test_custom_cnn_has_the_parameters_of_the_paper():
    from radsynth.tasks.keras_networks import build_model, count_parameters

    counts = count_parameters(build_model("custom_cnn", 128, 128, 2, 0.5))
    assert counts == {"parameters": 17_183_234, "trainable_parameters": 17_183_234 - 896}


def test_the_model_reads_prepared_images_and_resizes_them_to_its_input(tmp_path):
    import keras
    from radsynth.tasks.keras_networks import build_model, count_parameters

    small, resized = build_model("custom_cnn", 32, 32, 3, 0.5), build_model("custom_cnn", 48, 32, 3, 0.5)
    assert resized.input_shape == (None, 48, 48, 1)
    assert count_parameters(small) == count_parameters(resized)
    resized.set_weights(small.get_weights())
    images = np.full((2, 48, 48, 1), 200, np.uint8)
    probabilities = np.asarray(resized(images))
    np.testing.assert_allclose(probabilities, np.asarray(small(images[:, :32, :32])), atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    resized.save(tmp_path / "model.keras")
    assert np.array_equal(keras.saving.load_model(tmp_path / "model.keras")(images), probabilities)


def test_an_unknown_architecture_is_refused():
    from radsynth.tasks.learner import learner_class

    with pytest.raises(UserError, match="classifiers.architecture: unknown name 'lenet', expected one of custom_cnn"):
        learner_class("lenet")


def test_each_epoch_visits_every_image_once_in_a_new_order():
    from radsynth.tasks.keras_training import batches

    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1)
    stream = batches(images, np.arange(10), 4, seed=0)
    epochs = [[next(stream) for _ in range(3)] for _ in range(2)]
    orders = [np.concatenate([targets for _, targets in epoch]).tolist() for epoch in epochs]
    assert [len(targets) for _, targets in epochs[0]] == [4, 4, 2]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] != orders[1]
    assert all((batch[:, 0, 0] == targets).all() for epoch in epochs for batch, targets in epoch)


def test_batches_change_every_image_anew_in_the_order_they_have_anyway():
    from radsynth.tasks.keras_training import batches

    images, targets = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 1), dtype=np.uint8), np.arange(6)

    def two_epochs(seed: int, augment: str | None) -> list[tuple[np.ndarray, np.ndarray]]:
        stream = batches(images, targets, 4, seed, augment)
        return [next(stream) for _ in range(4)]

    changed, again, other, plain = two_epochs(3, "cxr"), two_epochs(3, "cxr"), two_epochs(4, "cxr"), two_epochs(3, None)
    for one, same, untouched in zip(changed, again, plain, strict=True):
        assert np.array_equal(one[0], same[0]) and np.array_equal(one[1], untouched[1])
        assert not np.array_equal(one[0], untouched[0])
    epochs = [
        np.concatenate([images for images, _ in part])[np.argsort(np.concatenate([targets for _, targets in part]))]
        for part in (changed[:2], changed[2:], other[:2])
    ]
    for i, j in ((0, 1), (0, 2)):
        assert not any(np.array_equal(a, b) for a, b in zip(epochs[i], epochs[j], strict=True))
    # One image alone has one order: only the change itself can depend on the seed.
    alone = [next(batches(images[:1], targets[:1], 1, seed, "cxr"))[0] for seed in (3, 4)]
    assert not np.array_equal(*alone)


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(tmp_path):
    import keras
    from radsynth.tasks.keras_training import predict

    images, targets = easy()
    first, history = fit(CLASSIFIER, images, targets, seed=2**62)
    second, again = fit(CLASSIFIER, images, targets, seed=2**62)
    third, _ = fit(CLASSIFIER, images, targets, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
    assert history.drop(columns="seconds").equals(again.drop(columns="seconds"))
    assert list(history) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    assert not np.array_equal(first.get_weights()[0], third.get_weights()[0])
    first.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(predict(loaded, images), predict(first, images))


def test_an_epoch_of_more_steps_goes_on_with_the_next_passes():
    images, targets = easy()  # two steps of 16 and 8 images
    short, _ = fit({**CLASSIFIER, "epochs": 3}, images, targets)
    longer, history = fit({**CLASSIFIER, "epochs": 2}, images, targets, steps_per_epoch=3)
    assert len(history) == 2
    assert all(np.array_equal(a, b) for a, b in zip(short.get_weights(), longer.get_weights(), strict=True))


def test_an_epoch_of_a_control_has_the_asked_counts_and_uses_all_images_of_a_label_before_one_comes_again():
    from radsynth.tasks.keras_training import batches

    targets = np.repeat([0, 1], [5, 4])
    counts = [7, 2]  # more images than there are of the first label, fewer than of the second
    drawn = batches(np.arange(9)[:, None], targets, 4, seed=1, epoch_counts=counts)
    epochs = []
    for _ in range(10):
        parts = [next(drawn) for _ in range(3)]  # ceil(9 / 4) steps
        assert [len(labels) for _, labels in parts] == [4, 4, 1]
        assert np.bincount(np.concatenate([labels for _, labels in parts])).tolist() == counts
        epochs.append(np.concatenate([images[:, 0] for images, _ in parts]))
        assert all(targets[images[:, 0]].tolist() == labels.tolist() for images, labels in parts)
    shown = np.bincount(np.concatenate(epochs), minlength=9)
    assert shown.tolist() == [14] * 5 + [5] * 4, "every image of a label equally often"
    assert not np.array_equal(epochs[0], epochs[2])


def test_a_control_and_its_mix_take_the_same_number_of_steps_and_need_no_validation_images():
    images, targets = easy()
    few, none = slice(8), np.empty((0, 32, 32), np.uint8)
    from radsynth.tasks.keras_training import train

    still = {**CLASSIFIER, "epochs": 1}
    for known, counts in ((images, None), (images[few], [12, 12])):
        labels = targets[: len(known)]
        model, history = train(still, known, labels, (none, targets[:0]), 2, 1, epoch_counts=counts)
        assert history["val_loss"].isna().all() and history["loss"].notna().all()
        trained = model.get_weights()
    begun = train(still, images[few], targets[few], (none, targets[:0]), 2, 1, epoch_counts=[4, 4])[0]
    assert not np.array_equal(begun.get_weights()[0], trained[0])


def test_evaluation_of_test_sets_with_all_labels_with_one_and_without_images(tmp_path, run_script):
    """The network's one output is the mean brightness: images of 60 and 180 have probabilities .24 and .71."""
    import json

    import keras
    import pandas as pd
    from PIL import Image

    rows = []
    for name, label, gray in (("dark", "NORMAL", 60), ("bright", "PNEUMONIA", 180)):
        pixels = np.full((8, 8), gray, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        files = {"file": f"{name}.png", "sha256": sha256_pixels(pixels)}
        rows.append({"image_id": name, "label": label, "patient_id": ""} | files)
    tests = [pd.DataFrame(rows), pd.DataFrame(rows[:1]), pd.DataFrame(rows[:0], columns=list(rows[0]))]
    names = ["test_1", "common", "external_other"]
    for name, test in zip(names, tests, strict=True):
        stacked({name: test}).to_csv(tmp_path / f"{name}.csv", index=False)
    seen = keras.Input((8, 8, 1))
    mean = keras.layers.Rescaling(1 / 255)(keras.layers.GlobalAveragePooling2D()(seen))
    learner = CustomCNN({"architecture": "custom_cnn"}, "cross_entropy", 2)
    learner.model = keras.Model(seen, keras.layers.Concatenate()([keras.layers.Rescaling(-1, 1)(mean), mean]))
    (tmp_path / "model").mkdir()
    learner.save(tmp_path / "model")

    def evaluated(training):
        made = {"architecture": "custom_cnn", "weights": "none", "images_per_epoch": {"NORMAL": 3, "PNEUMONIA": 1}}
        made |= {"task": "classification", "labels": ["NORMAL", "PNEUMONIA"]}
        (tmp_path / "training.json").write_text(json.dumps(made | training))
        inputs = {"model": tmp_path / "model", "training": tmp_path / "training.json"}
        inputs |= {"tests": [tmp_path / f"{name}.csv" for name in names], "images": [tmp_path / "images"] * 3}
        outputs = {name: tmp_path / f"out/{name}" for name in ("predictions", "metrics")}
        about = {"pool": None, "backend": "tensorflow", "positive_label": "PNEUMONIA"}
        run_script("evaluate", inputs, outputs, testsets=names, **about)
        assert pd.read_csv(outputs["predictions"])["testset"].tolist() == ["test_1", "test_1", "common"]
        reports = json.loads(outputs["metrics"].read_text())
        assert list(reports) == names
        return reports.values()

    both, single, none = evaluated({"threshold": {"value": 0.75, "reason": ""}})
    assert (both["metrics"]["accuracy"], both["metrics"]["sensitivity_at_95_specificity"]) == (1, 0)
    assert single["metrics"]["specificity_at_that_threshold"] == 1
    assert none["n"] == {"NORMAL": 0, "PNEUMONIA": 0} and set(none["metrics"].values()) == {None}
    both, *_ = evaluated({"threshold": {"value": None, "reason": "validation: none"}})
    assert both["reasons"]["sensitivity_at_95_specificity"] == "validation: none"
    assert both["trained_on"] == {"NORMAL": 3, "PNEUMONIA": 1}


def test_numbers_are_learned_as_well_as_labels():
    """How bright an image is; the counts of a control go by label all the same."""
    images, labels = easy()
    means = images.mean(axis=(1, 2), dtype=np.float32)[:, None] / 64
    from radsynth.tasks.keras_training import predict, train

    more = {**CLASSIFIER, "epochs": 12, "dropout": 0.0}
    model, history = train(
        more, images, means, (images, means), 1, 1, loss="squared_error", strata=labels, epoch_counts=[12, 8]
    )
    assert list(history) == ["epoch", "loss", "val_loss", "seconds"] and model.output_shape == (None, 1)
    assert history["loss"].iloc[-1] < 0.25 * history["loss"].iloc[0] and predict(model, images).std() > 0


def test_a_mix_starts_from_the_weights_of_the_baseline():
    images, targets = easy()
    still = {**CLASSIFIER, "epochs": 1, "learning_rate": 1e-12}
    baseline, mix = fit(still, images[:12], targets[:12])[0], fit(still, images, targets)[0]
    for a, b in zip(baseline.trainable_weights, mix.trainable_weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-9)


def test_a_loss_that_is_no_number_stops_the_job():
    with pytest.raises(UserError, match="learning_rate"):
        fit({**CLASSIFIER, "learning_rate": 1e30}, *easy())


@pytest.mark.slow
def test_shuffled_labels_teach_nothing_that_labels_of_phantoms_do():
    images, targets = phantoms(200, 0)
    test_images, test_targets = phantoms(300, 10_000)
    shuffled = np.random.default_rng(0).permutation(targets)
    learned = auc(fit({**CLASSIFIER, "epochs": 13, "dropout": 0.2}, images, targets)[0], test_images, test_targets)
    nothing = auc(fit({**CLASSIFIER, "epochs": 3}, images, shuffled)[0], test_images, test_targets)
    # A ranking that knows nothing: standard deviation sqrt((n + 1) / (3 n^2)) with n = 300, half of them positive.
    assert nothing == pytest.approx(0.5, abs=4 * (301 / (3 * 300**2)) ** 0.5)
    assert learned > 0.7


@pytest.mark.slow
def test_baseline_of_real_chest_radiographs(shared_data):
    from PIL import Image

    def load(part: slice) -> tuple[np.ndarray, np.ndarray]:
        folder = shared_data / "kermany_cxr_224" / "train"
        files = [
            file for label in ("NORMAL", "PNEUMONIA") for file in sorted((folder / label).glob("*.jpeg"))[:1000][part]
        ]
        images = [Image.open(file).convert("L").resize((64, 64), Image.Resampling.BICUBIC) for file in files]
        return np.stack([np.asarray(image) for image in images]), np.repeat([0, 1], len(files) // 2)

    model, _ = fit({**CLASSIFIER, "input_size": 64, "epochs": 10, "dropout": 0.2}, *load(slice(0, 500, 5)))
    assert auc(model, *load(slice(505, None, 5))) > 0.9  # names sort by patient: the halves share none


TORCH = """
import sys
sys.modules["tensorflow"] = None  # as where it is not installed
import numpy as np
from radsynth.tasks.keras_backend import prepare
assert prepare(1, "torch")["backend"] == "torch"
from radsynth.tasks.keras_training import predict, train
rng = np.random.default_rng(0)
images, targets = rng.integers(0, 256, (20, 16, 16), dtype=np.uint8), np.arange(20) % 2
options = dict(batch_size=8, learning_rate=1e-3, dropout=0.5)
cnn = dict(options, architecture="custom_cnn", weights="none", input_size=24, epochs=2)
vgg = dict(options, architecture="vgg16_pretrained", weights="random", input_size=32, epochs=1)
for classifier, augment in ((cnn, None), (vgg, None), (vgg, "cxr")):
    fits = [train(classifier, images, targets, (images, targets), 2, 5, augment=augment)[0] for _ in range(2)]
    results = [predict(model, images) for model in fits]
    assert np.array_equal(*results) and np.allclose(results[0].sum(axis=1), 1)
"""


def test_the_torch_backend_trains_deterministically_and_without_tensorflow(root):
    environment = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": str(root / "workflow" / "scripts")}
    subprocess.run([sys.executable, "-c", TORCH], env=environment, check=True)
