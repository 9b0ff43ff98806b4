"""One seeded random Inception for us and for the peers, so that parity can be shown without the published weights."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from radsynth.common.torchvision import import_torchvision
from radsynth.features.inception import InceptionV3Fid, fid_inception
from torch.nn import functional as F

import_torchvision()  # before any peer


def smooth_images(n: int, size: int, seed: int) -> np.ndarray:
    """Return random images with detail at four scales, uint8 (n, size, size)."""
    rng = np.random.default_rng(seed)
    total = sum(
        F.interpolate(torch.from_numpy(rng.random((n, 1, cells, cells))), (size, size), mode="bilinear") / (level + 1)
        for level, cells in enumerate((3, 7, 20, 60))
    )
    return (total / total.amax() * 255).round().to(torch.uint8).numpy()[:, 0]


def write_random_weights(path: Path, images: np.ndarray) -> None:
    """Write a state dict of the published structure: random weights, batch normalisation calibrated on ``images``.

    Uncalibrated, activations would fade out. Biases around 1 keep most units open: with biases of 0 the random network
    is chaotic, and float32 rounding alone moves its features by 5e-5.
    """
    torch.manual_seed(0)
    network = fid_inception()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, 0.5, 1.5)
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(InceptionV3Fid.preprocess(None, torch.from_numpy(images).unsqueeze(1) / 255))
    torch.save(network.state_dict(), path)


def ours(extractor: type[InceptionV3Fid], weights: Path, device: str = "cpu") -> InceptionV3Fid:
    """Return an extractor with the state dict in a file that need not be the published one."""
    network = extractor.build()
    network.load_state_dict(torch.load(weights, weights_only=True))
    return extractor(network, {"file": weights.name, "sha256": "not checked"}, device)


def rgb(images: np.ndarray, device: str = "cpu") -> torch.Tensor:
    """Return uint8 (n, 3, height, width)."""
    return torch.from_numpy(images).to(device).unsqueeze(1).repeat(1, 3, 1, 1)


def as_pytorch_fid(weights: Path, device: str = "cpu") -> Callable[[np.ndarray], np.ndarray]:
    """Return pytorch-fid's features; it looks for its weights on the net, which are put in its way."""
    from pytorch_fid import inception as pytorch_fid

    state = torch.load(weights, weights_only=True)
    with patch.object(pytorch_fid, "load_state_dict_from_url", lambda *_, **__: state):
        network = pytorch_fid.InceptionV3().eval().to(device)
    return torch.inference_mode()(lambda images: network(rgb(images, device) / 255)[0].flatten(1).cpu().numpy())


def as_torch_fidelity(weights: Path, *layers: str) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return torch-fidelity's features, by layer."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("peer", list(layers), feature_extractor_weights_path=str(weights))
    return torch.inference_mode()(lambda images: [layer.numpy() for layer in network(rgb(images))])


def as_torchmetrics(weights: Path, antialias: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Return torchmetrics' features; its default is ``antialias=True``."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    network = NoTrainInceptionV3("peer", ["2048"], str(weights), antialias=antialias)
    return torch.inference_mode()(lambda images: network(rgb(images)).numpy())
