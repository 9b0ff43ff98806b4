"""Architectures in the configuration: the paper's values unless others are given, errors that name the key."""

import inspect

import pytest
from radsynth.common.errors import UserError
from radsynth.common.registry import KINDS
from radsynth.common.weights import read_registry, weights_entry
from radsynth.study.config import Study
from radsynth.tasks.learner import learner_class, resolve_classifier, weights_file

FOLDER = {
    "study": "mine",
    "labels": ["healthy", "ill"],
    "datasets": {"mine": {"source": "folder", "path": "images"}},
    "scenarios": {"small": {"train": {"healthy": 20, "ill": 10}}},
}

# Khazrak et al. 2025, section 3.4; learning rates are this project's.
PAPER = {
    "custom_cnn": ("none", 20, 1e-3, 128),
    "vgg16_untrained": ("none", 10, 1e-4, 224),
    "vgg16_pretrained": ("imagenet", 5, 1e-4, 224),
    "resnet50_pretrained": ("imagenet", 5, 1e-4, 224),
}


def test_the_name_of_an_architecture_is_enough():
    classifiers = {name: {"architecture": name} for name in KINDS["learners"]}
    resolved = Study(FOLDER | {"classifiers": classifiers})["classifiers"]
    found = {
        name: tuple(c[key] for key in ("weights", "epochs", "learning_rate", "input_size"))
        for name, c in resolved.items()
    }
    assert found == PAPER
    assert all(c["batch_size"] == 32 and c["dropout"] == 0.5 for c in resolved.values())


def test_what_is_given_stays():
    given = {"architecture": "vgg16_pretrained", "weights": "random", "epochs": 2, "learning_rate": 0.5}
    resolved = resolve_classifier(given | {"input_size": 48}, 64, "classifiers.mine")
    assert resolved == given | {"input_size": 48}
    assert resolve_classifier({"architecture": "custom_cnn"}, 64, "classifiers.mine")["input_size"] == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "lenet"}, "architecture: unknown name 'lenet', expected one of custom_cnn"),
        ({"architecture": "custom_cnn", "weights": "imagenet"}, "weights: imagenet, custom_cnn expects none"),
        ({"architecture": "vgg16_untrained", "weights": "random"}, "weights: random, vgg16_untrained expects none"),
        (
            {"architecture": "resnet50_pretrained", "weights": "none"},
            "weights: none, resnet50_pretrained expects imagenet or random",
        ),
        ({"architecture": "vgg16_pretrained", "weights": "lucky"}, "weights: 'lucky'"),
        ({"architecture": "vgg16_untrained", "input_size": 24}, "input_size: 24, vgg16_untrained expects at least 32"),
    ],
)
def test_what_an_architecture_cannot_do_is_refused(options, message):
    with pytest.raises(UserError) as caught:
        Study(FOLDER | {"classifiers": {"mine": options}})
    assert str(caught.value).startswith(f"classifiers.mine.{message}") and "\n" not in str(caught.value)


def test_only_imagenet_weights_need_a_file():
    needed = {
        (name, weights): weights_file({"architecture": name, "weights": weights})
        for name in KINDS["learners"]
        for weights in learner_class(name).initial_weights()
    }
    files = {key: file for key, file in needed.items() if file}
    assert set(files) == {("vgg16_pretrained", "imagenet"), ("resnet50_pretrained", "imagenet")}
    assert all(weights_entry(file)["file"] == file for file in files.values())


def test_the_registry_has_what_keras_itself_publishes():
    from radsynth.tasks.keras_backend import prepare

    prepare()
    from keras.src.applications import resnet, vgg16

    registry = read_registry()
    vgg, res = registry["vgg16_imagenet"], registry["resnet50_imagenet"]
    assert vgg["url"] == vgg16.WEIGHTS_PATH_NO_TOP
    assert f'file_hash="{vgg["checksum"].removeprefix("md5:")}"' in inspect.getsource(vgg16.VGG16).split("NO_TOP")[1]
    assert res["url"] == f"{resnet.BASE_WEIGHTS_PATH}{learner_class('resnet50_pretrained').weights_file}"
    assert res["checksum"] == f"md5:{resnet.WEIGHTS_HASHES['resnet50'][1]}"
