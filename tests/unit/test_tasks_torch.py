"""Learners in torch: what they learn, that they go on where they were stopped, and that they are read as written."""

import os
import signal

import numpy as np
import pytest
from radsynth.common.errors import UserError
from radsynth.tasks import torch_learner
from radsynth.tasks.learner import Course, Examples
from radsynth.tasks.torch_learner import Order
from throw_away import SmallNet

OPTIONS = {"architecture": "small_net", "weights": "none", "input_size": 16, "epochs": 4, "batch_size": 8}
OPTIONS |= {"learning_rate": 3e-3, "dropout": 0.5}


@pytest.fixture(autouse=True)
def prepared():
    """One thread, so that sums are added in one order."""
    assert SmallNet.prepare(1, "tensorflow")["backend"] == "torch"


def easy(count: int = 44, channels: int = 1, seed: int = 0) -> Examples:
    """Return noise of which the second label's is darker."""
    strata = np.arange(count) % 2
    images = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, channels), dtype=np.uint8)
    images = images // (1 + strata[:, None, None, None].astype(np.uint8))
    return Examples(images, strata, strata)


def none_of(examples: Examples) -> Examples:
    return Examples(examples.images[:0], examples.targets[:0], examples.strata[:0])


def fitted(run_dir, train, validation=None, loss="cross_entropy", outputs=2, options=OPTIONS, **course):
    learner = SmallNet(options, loss, outputs)
    course = {"seed": 5} | course
    history = learner.fit(train, none_of(train) if validation is None else validation, run_dir, Course(**course))
    return learner, history


def bits(learner) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in learner.module.state_dict().values())


@pytest.mark.parametrize("channels", [1, 3])
def test_labels_that_images_tell_apart_are_learned(tmp_path, channels):
    train, test = easy(channels=channels), easy(30, channels, seed=1)
    learner, history = fitted(tmp_path, train, test)
    assert list(history) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    assert history["epoch"].tolist() == [1, 2, 3, 4] and history["loss"].is_monotonic_decreasing
    found = learner.predict(test.images)
    assert found.dtype == np.float32 and np.allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == test.targets).all() and history["val_accuracy"].iloc[-1] == 1
    nothing = Examples(train.images, train.targets[::-1] * 0 + np.arange(44) // 2 % 2, train.strata)
    chance, _ = fitted(tmp_path / "chance", nothing)
    assert (chance.predict(test.images).argmax(axis=1) == test.targets).mean() < 0.9


def test_numbers_are_learned_as_well(tmp_path):
    train = easy()
    means = train.images.mean(axis=(1, 2, 3), dtype=np.float32)[:, None] / 64
    options = OPTIONS | {"epochs": 30}
    learner, history = fitted(
        tmp_path, Examples(train.images, means, train.strata), loss="squared_error", outputs=1, options=options
    )
    assert list(history) == ["epoch", "loss", "val_loss", "seconds"] and history["val_loss"].isna().all()
    assert np.abs(learner.predict(train.images) - means).mean() < 0.5 * np.abs(means - means.mean()).mean()


def test_a_network_that_has_learnt_from_gray_images_sees_others_as_gray(tmp_path):
    train = easy()
    learner, _ = fitted(tmp_path, train)
    two = np.concatenate([train.images // 2, train.images // 2 + 2 * (train.images % 2)], axis=3)
    one = np.rint(two.mean(axis=3, keepdims=True)).astype(np.uint8)
    assert np.array_equal(learner.predict(two), learner.predict(one))
    assert np.array_equal(learner.features(two), learner.features(one))


def test_what_is_read_is_what_was_written(tmp_path):
    train = easy(channels=3)
    options = OPTIONS | {"input_size": 24}
    learner, _ = fitted(tmp_path, train, options=options)
    (tmp_path / "model").mkdir()
    learner.save(tmp_path / "model")
    learner.forget(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    again = SmallNet.load(tmp_path / "model")
    assert np.array_equal(again.predict(train.images), learner.predict(train.images))
    features = again.features(train.images)
    assert features.shape == (44, 32) and np.array_equal(features, learner.features(train.images))
    last = list(again.module)[-1]
    logits = features @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    odds = np.exp(logits)
    assert np.allclose(odds / odds.sum(axis=1, keepdims=True), again.predict(train.images), atol=1e-5)
    assert again.describe() == {"parameters": 224 + 1168 + 8224 + 66, "trainable_parameters": 224 + 1168 + 8224 + 66}
    assert again.preprocessing(16)["resize"] == "bilinear"


@pytest.mark.parametrize("course", [{}, {"augment": "cxr"}, {"epoch_counts": [20, 5], "steps": 7}])
def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(tmp_path, monkeypatch, course):
    train, validation = easy(), easy(6, seed=1)
    whole, history = fitted(tmp_path / "whole", train, validation, **course)
    other, _ = fitted(tmp_path / "other", train, validation, **course | {"seed": 6})
    assert bits(whole) != bits(other)
    step = torch_learner._Steps.step

    def stopping(self, number, indices):
        if number == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, number, indices)

    with monkeypatch.context() as patch:
        patch.setattr(torch_learner._Steps, "step", stopping)
        with pytest.raises(SystemExit):
            fitted(tmp_path / "parts", train, validation, **course)
    taken = []
    monkeypatch.setattr(torch_learner._Steps, "step", lambda self, n, i: taken.append(n) or step(self, n, i))
    rest, again = fitted(tmp_path / "parts", train, validation, **course)
    assert taken[0] == 10 and bits(rest) == bits(whole)
    assert again.drop(columns="seconds").equals(history.drop(columns="seconds"))
    taken.clear()
    fitted(tmp_path / "parts", easy(seed=3), validation, **course)
    assert taken[0] == 0, "the state of other images is of no use"


def test_every_epoch_takes_all_examples_once_and_ends_with_what_is_left():
    order = Order(np.arange(10) % 2, 4, 1, None)
    epochs = [[order.rows(3 * epoch + place) for place in range(3)] for epoch in range(3)]
    assert [[len(rows) for rows in epoch] for epoch in epochs] == [[4, 4, 2]] * 3
    whole = [np.concatenate(epoch) for epoch in epochs]
    assert all(sorted(rows) == list(range(10)) for rows in whole) and not np.array_equal(whole[0], whole[1])
    assert np.array_equal(order.rows(0), epochs[0][0]), "an order of its own for every step, wherever one comes from"


def test_an_epoch_of_a_control_has_the_asked_counts_and_uses_all_of_a_label_before_one_comes_again():
    strata = np.repeat([0, 1], [5, 4])
    order = Order(strata, 4, 1, [7, 2])
    epochs = [np.concatenate([order.rows(3 * epoch + place) for place in range(3)]) for epoch in range(10)]
    assert all(np.bincount(strata[rows]).tolist() == [7, 2] for rows in epochs)
    assert np.bincount(np.concatenate(epochs), minlength=9).tolist() == [14] * 5 + [5] * 4
    first = np.concatenate(epochs)[strata[np.concatenate(epochs)] == 1]
    assert sorted(np.concatenate([epochs[0][strata[epochs[0]] == 1], epochs[1][strata[epochs[1]] == 1]])) == [
        5,
        6,
        7,
        8,
    ]
    assert len(first) == 20


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    with pytest.raises(UserError, match="classifiers: the loss became .* a lower learning_rate may help"):
        fitted(tmp_path, easy(), options=OPTIONS | {"learning_rate": 1e30})
