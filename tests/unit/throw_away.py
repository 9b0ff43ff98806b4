"""A task and a learner as somebody else would add them: how many bright spots an image has, and a network in torch."""

import math
from pathlib import Path

import numpy as np
from radsynth.common.images import read_gray
from radsynth.tasks.task import IMAGE, Metric, Task, mean_resampled
from radsynth.tasks.torch_learner import TorchLearner


class BrightSpots(Task):
    """How many fields of 8 x 8 px of an image are brighter than the middle of the gray levels."""

    name = "bright_spots"
    loss = "squared_error"
    outputs = 1
    all_metrics = (
        Metric("error", "mean absolute error", higher=False, compared=True, span=math.inf),
        Metric("bias", "mean error", span=math.inf),
    )

    def targets(self, rows):
        images = [read_gray(Path(root) / file) for root, file in zip(rows["root"], rows["file"], strict=True)]
        fields = [image.reshape(len(image) // 8, 8, -1, 8).mean(axis=(1, 3)) for image in images]
        return np.array([(field > 127.5).sum() for field in fields], np.float32).reshape(-1, 1)

    def predictions(self, rows, output):
        return rows[list(IMAGE)].reset_index(drop=True).assign(spots=self.targets(rows), found=output[:, 0])

    def metrics(self, table, tuned):
        errors = table["found"].to_numpy(float) - table["spots"].to_numpy(float)
        if not len(errors):
            return self.report(dict.fromkeys(("error", "bias"), "the test set has no image"))
        return self.report({"error": np.abs(errors).mean(), "bias": errors.mean()})

    def resampled(self, table, report, groups, counts):
        errors = np.abs(table["found"].to_numpy(float) - table["spots"].to_numpy(float))
        return {"error": mean_resampled(errors, groups, counts)}

    def headline(self, counts):
        return "error"


class SmallNet(TorchLearner):
    """Two convolutions and two dense layers."""

    epochs, learning_rate = 4, 3e-3

    def build(self, channels, size, outputs, weights):
        from torch import nn

        dense = nn.Linear(16 * 4 * 4, 32), nn.ReLU(), nn.Linear(32, outputs)
        first, second = nn.Conv2d(channels, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), *dense)
