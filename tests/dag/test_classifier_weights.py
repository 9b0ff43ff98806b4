"""Only classifiers that start from ImageNet weights wait for a file of weights."""

import re

WEIGHTS = r"(\w+)_weights_tf_dim_ordering_tf_kernels_notop\.h5"


def test_random_weights_need_no_file(checkout, snakemake):
    added = "classifiers={drawn: {architecture: resnet50_pretrained, weights: random}}"
    result = snakemake(checkout, "-n", "-p", "--cores", "1", "--config", added, "--", "classifiers")
    assert result.returncode == 0, result.stdout
    jobs = re.findall(r"Training (\w+) on .*, run \d+\nReason: (.*)", result.stdout)
    waits_for = {name: set(re.findall(WEIGHTS, reason)) for name, reason in jobs}
    assert waits_for == {
        "custom_cnn": set(),
        "vgg16_untrained": set(),
        "vgg16_pretrained": {"vgg16"},
        "resnet50_pretrained": {"resnet50"},
        "drawn": set(),
    }
    assert sorted(re.findall(f"Fetching the weights {WEIGHTS}", result.stdout)) == ["resnet50", "vgg16"]
