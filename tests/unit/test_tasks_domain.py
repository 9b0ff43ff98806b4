"""The extractor `domain`: the layer behind the probabilities, of the saved classifier, with every backend."""

import os
import subprocess
import sys

import pytest

HIDDEN = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from radsynth.tasks.keras_backend import prepare
prepare(1, sys.argv[1])
import keras
from radsynth.tasks.domain import describe
from radsynth.tasks.keras_networks import build_model
from radsynth.tasks.learner import learner_class
from radsynth.common.features import read_features, write_features

keras.utils.set_random_seed(1)
images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 1), dtype=np.uint8)
for architecture, size, dim, scaling in (
    ("custom_cnn", 16, 128, "x / 255"),
    ("custom_cnn", 24, 128, "x / 255"),
    ("vgg16_pretrained", 32, 512, "x - mean of ImageNet, per channel, BGR"),
):
    trained = learner_class(architecture)({"architecture": architecture, "input_size": size}, "cross_entropy", 2)
    trained.model = build_model(architecture, 16, size, 2, 0.5)
    trained.save(".")
    learner = learner_class(architecture).load(".")
    features, model = learner.features(images), learner.model
    assert features.shape == (7, dim) and features.dtype == np.float32 and features.std() > 0

    # The probabilities follow from them: nothing lies between, and no unit has been dropped.
    kernel, bias = model.layers[-1].get_weights()
    logits = features.astype(np.float64) @ kernel + bias
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(learner.predict(images), probabilities, atol=1e-5)
    # An image's features do not depend on the others.
    np.testing.assert_allclose(learner.features(images[2:4]), features[2:4], rtol=1e-4, atol=1e-5 * features.max())

    told = describe(learner, ".", images, features)
    sha256 = hashlib.sha256(Path("model.keras").read_bytes()).hexdigest()
    assert told["weights"] == {"file": "model.keras", "sha256": sha256}
    assert told["name"] == "domain" and told["dim"] == dim
    assert told["preprocessing"] == {
        "name": architecture, "resize": "bilinear" if size != 16 else "none", "size": size,
        "antialias": size != 16, "scaling": scaling, "channels": "gray repeated to RGB",
    }
    write_features("out.npz", list("abcdefg"), features, told, {})
    found = read_features("out.npz", np.float32)
    assert found.extractor == told and found.state == {} and np.array_equal(found.of(["c"]), features[2:3])
"""


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_features_are_what_the_last_layer_of_the_saved_classifier_reads(root, tmp_path, backend):
    environment = {**os.environ, "PYTHONPATH": str(root / "workflow" / "scripts")}
    command = [sys.executable, "-c", HIDDEN, backend]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
