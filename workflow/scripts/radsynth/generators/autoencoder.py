"""The autoencoder of latent diffusion, built of diffusers. Free of torch until it is built."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from radsynth.common.errors import UserError
from radsynth.generators.unet import count_convolution, import_diffusers

if TYPE_CHECKING:
    import diffusers

# Feature channels of each level, from the full size down, for images of at most so many pixels.
WIDTHS = {32: [16, 32], 64: [16, 32, 32], 128: [64, 128, 128]}
LARGEST = [64, 128, 128, 128]


def widths(options: Mapping[str, Any], size: int) -> Sequence[int]:
    """Return the feature channels of each level: those of the options, else by the size of the images."""
    by_size = (found for most, found in WIDTHS.items() if size <= most)
    return options["autoencoder_channels"] or next(by_size, LARGEST)


def factor(options: Mapping[str, Any], size: int) -> int:
    """Return how many times smaller than the images their latents are: 2, 4 or 8 with the default channels."""
    return 2 ** (len(widths(options, size)) - 1)


def check_autoencoder(options: Mapping[str, Any], size: int) -> None:
    """Raise UserError unless the autoencoder of the options can be built for square images of a size."""
    channels, groups = widths(options, size), options["autoencoder_norm_groups"]
    if size % factor(options, size):
        raise UserError(
            f"options.autoencoder_channels: {len(channels)} levels make latents {factor(options, size)} times smaller, "
            f"expected a size that this divides, found {size} px"
        )
    if uneven := [width for width in channels if width % groups]:
        raise UserError(f"options.autoencoder_norm_groups: {groups} does not divide {uneven} (autoencoder_channels)")


def build_autoencoder(options: Mapping[str, Any], channels: int, size: int) -> "diffusers.AutoencoderKL":
    """Return the untrained autoencoder of images with so many channels (Rombach et al. 2022), without attention."""
    chosen = widths(options, size)
    return import_diffusers().AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(chosen),
        up_block_types=("UpDecoderBlock2D",) * len(chosen),
        block_out_channels=tuple(chosen),
        layers_per_block=options["autoencoder_layers"],
        latent_channels=options["latent_channels"],
        norm_num_groups=options["autoencoder_norm_groups"],
        sample_size=size,
        scaling_factor=1.0,
        force_upcast=False,
        mid_block_add_attention=False,
    )


def count_parameters(options: Mapping[str, Any], size: int, channels: int = 1) -> int:
    """Return the parameters of the autoencoder, without building it."""
    chosen, layers, latent = widths(options, size), options["autoencoder_layers"], options["latent_channels"]
    first, deepest = chosen[0], chosen[-1]
    # The first and last convolutions, two blocks in the middle and a norm of encoder and of decoder; the 1 x 1 ones.
    total = (
        count_convolution(channels, first)
        + count_convolution(deepest, 2 * latent)
        + count_convolution(latent, deepest)
        + count_convolution(first, channels)
    )
    total += 4 * _block(deepest, deepest) + 2 * deepest + 2 * first
    total += (2 * latent + 1) * 2 * latent + (latent + 1) * latent
    for path, blocks in ((chosen, layers), (list(reversed(chosen)), layers + 1)):
        inputs = path[0]
        for level, outputs in enumerate(path):
            total += _block(inputs, outputs) + (blocks - 1) * _block(outputs, outputs)
            total += count_convolution(outputs, outputs) if level < len(path) - 1 else 0
            inputs = outputs
    return total


def _block(inputs: int, outputs: int) -> int:
    shortcut = inputs * outputs + outputs if inputs != outputs else 0
    return (
        2 * inputs + count_convolution(inputs, outputs) + 2 * outputs + count_convolution(outputs, outputs) + shortcut
    )
