"""Extractors that are networks: their device, their weights, one forward pass per batch."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch.fx.experimental.optimization import fuse

from radsynth.common.gpu import confirm_device
from radsynth.common.progress import Progress
from radsynth.common.weights import verify_weights, weights_entry
from radsynth.features.interface import check_images

# On one thread torch leaves 1 x 1 convolutions of fewer than 16 images to a slower routine.
BATCH_SIZES = {"cpu": 16, "cuda": 64}


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
    """Base of the extractors that are torch networks; a subclass gives its names, ``build`` and ``preprocess``.

    The network is frozen: each batch normalisation is folded into the convolution before it, and the memory layout is
    channels last. That rounds differently from the network as published (relative difference about 1e-6).
    """

    name: str
    preprocessing: dict[str, Any]
    dim: int
    has_logits = False

    def __init__(self, network: torch.nn.Module, weights: dict[str, str] | None, device: str = "cpu") -> None:
        """Take over a network as ``build`` returns it; its classifier ``fc`` is cut off."""
        self.classifier = network.fc.weight.detach().numpy() if self.has_logits else None
        network.fc = torch.nn.Identity()
        fused = fuse(network.eval())
        # What no other step reads, such as the averages of Inception's blocks that hooks replace.
        fused.graph.eliminate_dead_code()
        fused.recompile()
        self.network = fused.to(device, memory_format=torch.channels_last)
        self.weights = weights
        self.device = device

    @classmethod
    def from_file(cls, path: str | Path, device: str = "cpu") -> Self:
        """Read published weights; UserError unless they are the file that the registry names."""
        path = Path(path)
        sha256 = verify_weights(path, weights_entry(path.name))
        network = cls.build()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
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
        size = BATCH_SIZES[self.device]
        # The last batch is filled up: batches of another size would round differently.
        batch = torch.zeros((size, *images.shape[1:]), dtype=torch.uint8)
        with torch.inference_mode():
            for start in range(0, len(images), size):
                count = min(size, len(images) - start)
                batch[:count] = torch.from_numpy(images[start : start + count])
                inputs = self.preprocess(batch.to(self.device).unsqueeze(1) / 255)
                outputs = self.network(inputs.contiguous(memory_format=torch.channels_last))
                features[start : start + count] = outputs[:count].cpu().numpy()
                progress.update(count)
        return features

    def logits(self, features: np.ndarray) -> np.ndarray | None:
        """Return the class scores without bias, float32 (n, classes), of features (n, dim); None if not defined.

        The Inception score is computed without the bias (torch-fidelity's ``logits_unbiased``).
        """
        return None if self.classifier is None else features @ self.classifier.T

    def state(self) -> dict[str, np.ndarray]:
        return {}
