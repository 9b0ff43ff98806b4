"""The InceptionV3 that defines the FID: TensorFlow's network of 2015-12-05, ported to torch by pytorch-fid.

It is torchvision's Inception3 with 1,008 classes, except for the pooling branch of nine blocks: the averages of the A
and C blocks and of the first E block do not count the zeros of the padding, and the last E block takes the maximum.
"""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from radsynth.common.torchvision import import_torchvision
from radsynth.features.network import NetworkExtractor

SIZE = 299


def average_without_padding(x: torch.Tensor) -> torch.Tensor:
    """Return 3 x 3 averages over the pixels that exist; shape kept."""
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)


def maximum(x: torch.Tensor) -> torch.Tensor:
    """Return 3 x 3 maxima; shape kept."""
    return F.max_pool2d(x, kernel_size=3, stride=1, padding=1)


POOLS = dict.fromkeys(
    ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7b"),
    average_without_padding,
) | {"Mixed_7c": maximum}


def fid_inception() -> torch.nn.Module:
    """Return the network with untrained weights and the parameter names of the published file."""
    import_torchvision()
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, transform_input=False, init_weights=False)
    for name, pool in POOLS.items():
        _replace_pool(getattr(network, name), pool)
    return network


def _replace_pool(block: torch.nn.Module, pool: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Give the pooling branch of an Inception block ``pool(x)`` of the block's input x in place of its own average.

    Hooks leave the parameters under the names that the published file uses.
    """
    inputs: list[torch.Tensor] = []
    block.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    if pool is maximum:
        block.branch_pool.register_forward_pre_hook(lambda _, args: pool(inputs.pop()))
    else:
        # An average and a 1 x 1 convolution commute, and the convolution leaves fewer channels to average.
        block.branch_pool.register_forward_pre_hook(lambda _, args: inputs.pop())
        block.branch_pool.conv.register_forward_hook(lambda _, args, output: pool(output))


def resize_like_tensorflow1(images: torch.Tensor, size: int) -> torch.Tensor:
    """Return images (n, c, height, width) as (n, c, size, size): bilinear without half-pixel centers or antialias.

    Output pixel i samples the source at i * length / size, as ``tf.image.resize_bilinear`` did in TensorFlow 1.
    """
    for axis in (-1, -2):
        length = images.shape[axis]
        where = torch.arange(size, device=images.device) * (length / size)
        low = where.long()
        high = (low + 1).clamp_max(length - 1)
        part = (where - low).unflatten(0, (size, 1) if axis == -2 else (size,))
        images = torch.lerp(images.index_select(axis, low), images.index_select(axis, high), part)
    return images


class InceptionV3Fid(NetworkExtractor):
    """Global average of the last block (pool3), 2048-d, after pytorch-fid's preprocessing."""

    name = "inception_v3_fid"
    dim = 2048
    has_logits = True
    preprocessing = {
        "name": "pytorch-fid",
        "resize": "bilinear, half-pixel centers",
        "size": SIZE,
        "antialias": False,
        "scaling": "x / 127.5 - 1",
        "channels": "gray repeated to RGB",
    }
    build = staticmethod(fid_inception)

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        images = F.interpolate(images, (SIZE, SIZE), mode="bilinear", align_corners=False)
        return (2 * images - 1).expand(-1, 3, -1, -1)


class InceptionV3TorchFidelity(InceptionV3Fid):
    """The same network after torch-fidelity's preprocessing, which is that of the original TensorFlow graph.

    Obukhov & Krasnyanskiy, torch-fidelity; torchmetrics does the same with ``antialias=False`` (not its default).
    """

    name = "inception_v3_torch_fidelity"
    preprocessing = {
        "name": "torch-fidelity",
        "resize": "bilinear of TensorFlow 1, no half-pixel centers",
        "size": SIZE,
        "antialias": False,
        "scaling": "(x - 128) / 128",
        "channels": "gray repeated to RGB",
    }

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        return (resize_like_tensorflow1(images, SIZE) * (255 / 128) - 1).expand(-1, 3, -1, -1)
