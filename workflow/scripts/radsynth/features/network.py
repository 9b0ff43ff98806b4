"""Extractors that are networks: their device, their weights, one forward pass per batch."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from radsynth.common.gpu import confirm_device
from radsynth.common.progress import Progress
from radsynth.common.weights import verify_weights, weights_entry
from radsynth.features.interface import check_images

BATCH_SIZE = 32


def choose_device(wanted: bool, threads: int) -> str:
    """Return "cuda" if the job holds a GPU that torch sees, else "cpu", limited to ``threads``."""
    torch.set_num_threads(threads)
    if wanted and torch.cuda.is_available():
        # Features are measurements: TF32 would cost three of their digits.
        torch.backends.cudnn.allow_tf32 = False
        return "cuda"
    confirm_device("torch", False)
    return "cpu"


class NetworkExtractor:
    """Base of the extractors that are torch networks; a subclass gives its names, ``build`` and ``preprocess``."""

    name: str
    preprocessing: dict[str, Any]
    dim: int

    def __init__(self, network: torch.nn.Module, weights: dict[str, str] | None, device: str = "cpu") -> None:
        self.network = network.eval().to(device)
        self.weights = weights
        self.device = device

    @classmethod
    def from_file(cls, path: str | Path, device: str = "cpu") -> Self:
        """Read published weights; UserError unless they are the file that the registry names."""
        path = Path(path)
        sha256 = verify_weights(path, weights_entry(path.name))
        network = cls.build()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        # The classifier on top is part of the file, not of the features.
        network.fc = torch.nn.Identity()
        return cls(network, {"file": path.name, "sha256": sha256}, device)

    @staticmethod
    def build() -> torch.nn.Module:
        """Return the network with its classifier ``fc``, exactly as the weights file describes it."""
        raise NotImplementedError

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Turn gray values in [0, 1], (n, 1, height, width), into the network's input, (n, 3, size, size)."""
        raise NotImplementedError

    def extract(self, images: np.ndarray) -> np.ndarray:
        check_images(images)
        features = np.empty((len(images), self.dim), dtype=np.float32)
        progress = Progress(self.name, len(images), unit="image")
        with torch.inference_mode():
            for start in range(0, len(images), BATCH_SIZE):
                batch = torch.from_numpy(images[start : start + BATCH_SIZE]).to(self.device).unsqueeze(1) / 255
                features[start : start + len(batch)] = self.network(self.preprocess(batch)).cpu().numpy()
                progress.update(len(batch))
        return features

    def state(self) -> dict[str, np.ndarray]:
        return {}
