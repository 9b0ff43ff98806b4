"""Small random affine and intensity changes of images, on the device and differentiable."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import affine_grid, grid_sample


def draw_changes(
    n: int, options: Mapping[str, Any], device: torch.device
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return random changes of n images as ``augment`` takes them; None for a kind that is off.

    Affine matrices (n, 2, 3), and contrast and brightness (2, n, 1, 1, 1). The options give the largest rotation
    (``augment_rotation``, degrees), shift (``augment_shift``, share of the side), scaling (``augment_scale``) and
    change of intensity (``augment_intensity``, share of the range); all are drawn uniformly. With
    ``augment_probability``, if it is an option, an image is changed, affinely and in its intensity independently;
    without it all are.
    """
    angle, shift, scale, intensity = (options[f"augment_{key}"] for key in ("rotation", "shift", "scale", "intensity"))
    probability = options.get("augment_probability", 1)
    matrix = change = None
    if not probability:
        return None, None
    if angle or shift or scale:
        draws = (torch.rand(n, 4, device=device) * 2 - 1) * _chosen(n, probability, device)
        radians, factor = draws[:, 0] * math.radians(angle), 1 + draws[:, 1] * scale
        cos, sin = factor * radians.cos(), factor * radians.sin()
        # affine_grid counts in half sides.
        dx, dy = 2 * shift * draws[:, 2], 2 * shift * draws[:, 3]
        matrix = torch.stack([torch.stack([cos, -sin, dx], 1), torch.stack([sin, cos, dy], 1)], 1)
    if intensity:
        change = (torch.rand(2, n, 1, 1, 1, device=device) * 2 - 1) * intensity
        change = change * _chosen(n, probability, device).view(-1, 1, 1, 1)
    return matrix, change


def _chosen(n: int, probability: float, device: torch.device) -> torch.Tensor:
    """Return 1 for images that are changed and 0 for the others, (n, 1)."""
    if probability == 1:
        return torch.ones(n, 1, device=device)
    return (torch.rand(n, 1, device=device) < probability).float()


def augment(images: torch.Tensor, matrix: torch.Tensor | None, change: torch.Tensor | None) -> torch.Tensor:
    """Return images (n, channels, height, width) in [-1, 1], each changed as ``draw_changes`` drew for it.

    Outside the image the border is continued. A change of intensity may leave [-1, 1].
    """
    if matrix is not None:
        grid = affine_grid(matrix, list(images.shape), align_corners=False)
        images = grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if change is not None:
        contrast, brightness = change
        images = images * (1 + contrast) + brightness
    return images
