"""MS-SSIM and LPIPS of pairs of gray images."""

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_file
from radsynth.common.torchvision import import_torchvision
from radsynth.common.weights import verify_weights, weights_entry

# Wang, Simoncelli and Bovik 2003, section 3.2.
KERNEL, SIGMA = 11, 1.5
BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
#: The images that LPIPS was fitted to had 64 px (Zhang et al. 2018); below 31 px AlexNet has no output at all.
SMALLEST = 64


def scale_weights(side: int) -> tuple[float, ...]:
    """Return the exponents of as many of the five scales as an image of ``side`` px allows.

    Those of fewer scales sum to 1. The kernel must fit into the coarsest scale, side / 2^(scales - 1) px, and
    torchmetrics asks it of side / (scales - 1)^2 px, too. UserError if not even one scale fits.
    """
    scales = 0
    while scales < len(BETAS) and side // max(2**scales, scales**2) >= KERNEL:
        scales += 1
    if not scales:
        raise UserError(f"ms_ssim: images of {side} px, expected at least {KERNEL} px (the size of its kernel)")
    betas = BETAS[:scales]
    return betas if scales == len(BETAS) else tuple(beta / sum(betas) for beta in betas)


class MsSsim:
    """Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003): 1 for equal images, at least 0."""

    weights = None

    def __init__(self, side: int) -> None:
        self.betas = scale_weights(side)
        self.preprocessing: dict[str, Any] = {
            "name": "ms_ssim",
            "resize": "none",
            "size": side,
            "antialias": False,
            "scaling": "x / 255",
            "channels": "gray",
            "kernel": f"Gaussian, {KERNEL} px, SD {SIGMA} px",
            "scales": len(self.betas),
            "betas": list(self.betas),
            "normalize": "relu: a negative factor counts as 0",
        }

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the similarity of each pair, (n,), of gray images (n, 1, height, width) in [0, 1]."""
        import_torchvision()
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

        return multiscale_structural_similarity_index_measure(
            a, b, sigma=SIGMA, kernel_size=KERNEL, reduction="none", data_range=1.0, betas=self.betas, normalize="relu"
        )


class Lpips:
    """Learned perceptual distance (Zhang et al. 2018) on AlexNet: 0 for equal images, larger the less alike."""

    def __init__(self, side: int, path: str | Path, device: str = "cpu") -> None:
        path = Path(path)
        sha256 = verify_weights(path, weights_entry(path.name))
        self.weights = {"file": path.name, "sha256": sha256}
        self.size = max(side, SMALLEST)
        resized = side < SMALLEST
        self.network, linear = _network(torch.load(path, map_location="cpu", weights_only=True))
        self.network.to(device)
        self.preprocessing: dict[str, Any] = {
            "name": "lpips",
            "resize": "bilinear" if resized else "none",
            "size": self.size,
            "antialias": False,
            "scaling": "x / 127.5 - 1",
            "channels": "gray repeated to RGB",
            "linear_weights": f"lpips {version('lpips')}, v0.1/alex.pth, sha256 {sha256_file(linear)}",
        }

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the distance of each pair, (n,), of gray images (n, 1, height, width) in [0, 1]."""
        return self.network(self._prepare(a), self._prepare(b)).flatten()

    def _prepare(self, images: torch.Tensor) -> torch.Tensor:
        if min(images.shape[-2:]) < SMALLEST:
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", align_corners=False)
        return (2 * images - 1).expand(-1, 3, -1, -1)


def _network(alexnet: dict[str, torch.Tensor]) -> tuple[torch.nn.Module, Path]:
    """Return LPIPS with the convolutions of torchvision's AlexNet, and the file of its linear weights."""
    import_torchvision()
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips still says `pretrained=` to torchvision
        network = lpips.LPIPS(net="alex", version="0.1", pretrained=False, pnet_rand=True, verbose=False)
    for parameter in network.parameters():
        parameter.data.fill_(torch.nan)
    linear = Path(lpips.__file__).parent / "weights/v0.1/alex.pth"
    network.load_state_dict(torch.load(linear, map_location="cpu", weights_only=True), strict=False)
    # `sliceN.I` of lpips is `features.I` of torchvision.
    network.net.load_state_dict(
        {name: alexnet["features" + name[name.index(".") :]] for name in network.net.state_dict()}
    )
    unset = [name for name, parameter in network.named_parameters() if parameter.isnan().any()]
    if unset:
        raise UserError(f"{linear}: does not set {unset[0]}, expected the files of lpips 0.1.4")
    return network, linear


def create_similarity(
    name: str, shape: tuple[int, int], weights: str | Path | None = None, device: str = "cpu"
) -> MsSsim | Lpips:
    """Return the similarity of a name for images of a shape (height, width); ``lpips`` needs its weights file."""
    if name == "lpips" and not weights:
        raise UserError("lpips: needs the weights of AlexNet, none were given")
    return Lpips(min(shape), weights, device) if name == "lpips" else MsSsim(min(shape))
