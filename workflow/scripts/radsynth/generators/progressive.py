"""The networks of Karras et al. 2018 (Progressive Growing of GANs).

Level k is the resolution 4 * 2**k px (see ``growth``). Both networks hold the layers of all levels from the beginning;
``level`` says how many of them take part. ``alpha`` fades the newest level in: 0 is the network of the level before on
twice the pixels, 1 (or None, which is cheaper) the new level alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from radsynth.generators.growth import level_of

# Images that share one minibatch standard deviation.
GROUP = 4


class EqualizedConv2d(nn.Module):
    """A convolution whose weights are drawn from N(0, 1) and scaled by gain / sqrt(fan-in) when used.

    So all weights have the same dynamic range and, with Adam, the same learning speed. ``gain`` sqrt(2) suits a
    following rectifier, 1 a linear output.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int = 0, gain: float = math.sqrt(2)):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs * kernel**2)
        self.padding = padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class EqualizedSeed(EqualizedConv2d):
    """From latents (n, inputs, 1, 1) to (n, outputs, 4, 4): a 4 x 4 convolution over the latent padded by 3.

    Its fan-in, 16 times the latent size, is what makes sqrt(2)/4 the gain of the first dense layer in the paper's code.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv_transpose2d(x, (self.weight * self.scale).transpose(0, 1), self.bias)


class PixelNorm(nn.Module):
    """Scales the feature vector (dimension 1) of each pixel to a mean square of 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def append_deviation(x: torch.Tensor) -> torch.Tensor:
    """Append the minibatch standard deviation as one more feature map, (n, c + 1, h, w).

    Each run of 4 images gets one number: the standard deviation over its images, per feature and pixel, averaged.
    """
    n, _, height, width = x.shape
    variance = x.view(n // GROUP, GROUP, *x.shape[1:]).var(dim=1, correction=0)
    deviation = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
    shared = deviation.view(-1, 1).expand(-1, GROUP).reshape(n, 1, 1, 1)
    return torch.cat([x, shared.expand(-1, -1, height, width)], dim=1)


def enlarge(images: torch.Tensor, mode: str) -> torch.Tensor:
    """Return images of twice the size; ``mode``: nearest or bilinear."""
    return functional.interpolate(images, scale_factor=2, mode=mode, align_corners=None if mode == "nearest" else False)


def halve(images: torch.Tensor) -> torch.Tensor:
    """Return images of half the size by the mean of 2 x 2 pixels, which is also what bilinear resampling gives."""
    return functional.avg_pool2d(images, 2)


def fade_reals(images: torch.Tensor, alpha: torch.Tensor | float, mode: str) -> torch.Tensor:
    """Return real images as sharp as those of a generator that is fading its newest level in."""
    return enlarge(halve(images), mode).lerp(images, alpha)


def _rectified(convolution: nn.Module, slope: float, norm: bool) -> list[nn.Module]:
    return [convolution, nn.LeakyReLU(slope), *([PixelNorm()] if norm else [])]


class ProgressiveGenerator(nn.Module):
    """From latents to images: 4 x 4 features, doubled level by level; a 1 x 1 convolution of any level shows them."""

    def __init__(self, widths: Sequence[int], latent_size: int, first: int, slope: float, upsampling: str):
        super().__init__()
        self.first, self.upsampling = first, upsampling
        self.normalize = PixelNorm()
        self.blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            entry = EqualizedConv2d(widths[level - 1], width, 3, 1) if level else EqualizedSeed(latent_size, width)
            layers = _rectified(entry, slope, norm=True)
            self.blocks.append(
                nn.Sequential(*layers, *_rectified(EqualizedConv2d(width, width, 3, 1), slope, norm=True))
            )
        self.to_gray = nn.ModuleList(EqualizedConv2d(width, 1, 1, gain=1) for width in widths[first:])

    def forward(self, latents: torch.Tensor, level: int, alpha: torch.Tensor | float | None = None) -> torch.Tensor:
        """Return images (n, 1, size, size), those of the data in [-1, 1], from latents (n, latent_size) of N(0, 1)."""
        features = self.blocks[0](self.normalize(latents)[:, :, None, None])
        for block in self.blocks[1 : level + 1]:
            coarse, features = features, block(enlarge(features, self.upsampling))
        images = self.to_gray[level - self.first](features)
        if alpha is None or level == self.first:
            return images
        return enlarge(self.to_gray[level - self.first - 1](coarse), self.upsampling).lerp(images, alpha)

    def active(self, level: int) -> list[nn.Parameter]:
        """Return the parameters that learn at a level."""
        return _active(self.blocks, self.to_gray, level, self.first)


class ProgressiveCritic(nn.Module):
    """From images to scores, the generator's mirror image, with the minibatch standard deviation at 4 x 4."""

    def __init__(self, widths: Sequence[int], first: int, slope: float, norm: bool):
        super().__init__()
        self.first = first
        self.blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            if level:
                layers = [EqualizedConv2d(width, width, 3, 1), EqualizedConv2d(width, widths[level - 1], 3, 1)]
            else:
                layers = [EqualizedConv2d(width + 1, width, 3, 1), EqualizedConv2d(width, width, 4)]
            self.blocks.append(nn.Sequential(*(part for layer in layers for part in _rectified(layer, slope, norm))))
        self.from_gray = nn.ModuleList(
            nn.Sequential(EqualizedConv2d(1, width, 1), nn.LeakyReLU(slope)) for width in widths[first:]
        )
        self.score = EqualizedConv2d(widths[0], 1, 1, gain=1)

    def forward(self, images: torch.Tensor, level: int, alpha: torch.Tensor | float | None = None) -> torch.Tensor:
        """Return scores (n,) of images (n, 1, size, size), n a multiple of 4 (see ``append_deviation``)."""
        features = self.from_gray[level - self.first](images)
        for k in range(level, 0, -1):
            features = halve(self.blocks[k](features))
            if k == level > self.first and alpha is not None:
                features = self.from_gray[level - self.first - 1](halve(images)).lerp(features, alpha)
        return self.score(self.blocks[0](append_deviation(features))).flatten()

    def active(self, level: int) -> list[nn.Parameter]:
        """Return the parameters that learn at a level."""
        return [*_active(self.blocks, self.from_gray, level, self.first), *self.score.parameters()]


def _active(blocks: nn.ModuleList, gray: nn.ModuleList, level: int, first: int) -> list[nn.Parameter]:
    """Those of the blocks up to the level, and of its gray layer and the one that fades out."""
    modules = [*blocks[: level + 1], *gray[max(level - first - 1, 0) : level - first + 1]]
    return [parameter for module in modules for parameter in module.parameters()]


def build_generator(options: Mapping[str, Any], last: int) -> ProgressiveGenerator:
    """Return the untrained generator up to the level ``last``."""
    first = level_of(options["start_size"])
    widths = options["widths"][: last + 1]
    return ProgressiveGenerator(widths, options["latent_size"], first, options["leaky_slope"], options["upsampling"])


def build_critic(options: Mapping[str, Any], last: int) -> ProgressiveCritic:
    """Return the untrained critic up to the level ``last``."""
    first = level_of(options["start_size"])
    widths = options["widths"][: last + 1]
    return ProgressiveCritic(widths, first, options["leaky_slope"], options["critic_pixel_norm"])
