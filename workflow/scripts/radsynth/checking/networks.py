"""How many parameters the generators' networks have, without building them."""

from collections.abc import Mapping
from typing import Any


def count_parameters(family: str, options: Mapping[str, Any], size: int) -> int:
    """Return the parameters of a family's networks for images of ``size`` px; 0 of a family that is not known here."""
    return {"ddpm": count_unet, "pggan": count_progressive}.get(family, lambda *_: 0)(options, size)


def count_unet(options: Mapping[str, Any], size: int) -> int:
    """Return the parameters of the DDPM's U-Net, which do not depend on the size of the images."""
    channels, attention, layers = (
        options["block_out_channels"],
        options["attention_levels"],
        options["layers_per_block"],
    )
    first, deepest, time = channels[0], channels[-1], 4 * channels[0]

    def block(inputs: int, outputs: int, attends: bool) -> int:
        shortcut = inputs * outputs + outputs if inputs != outputs else 0
        residual = 2 * inputs + _conv(inputs, outputs) + (time + 1) * outputs + 2 * outputs + _conv(outputs, outputs)
        return residual + shortcut + (2 * outputs + 4 * (outputs + 1) * outputs if attends else 0)

    total = _conv(options["channels"], first) + (first + 1) * time + (time + 1) * time
    inputs = first
    for level, outputs in enumerate(channels):
        for _ in range(layers):
            total += block(inputs, outputs, level in attention)
            inputs = outputs
        total += _conv(outputs, outputs) if level < len(channels) - 1 else 0
    total += block(deepest, deepest, True) + block(deepest, deepest, False)
    above = deepest
    for level in reversed(range(len(channels))):
        outputs, below = channels[level], channels[max(level - 1, 0)]
        for layer in range(layers + 1):
            skipped = below if layer == layers else outputs
            total += block((outputs if layer else above) + skipped, outputs, level in attention)
        total += _conv(outputs, outputs) if level else 0
        above = outputs
    return total + 2 * first + _conv(first, options["channels"])


def count_progressive(options: Mapping[str, Any], size: int) -> int:
    """Return roughly the parameters of a PGGAN's generator and critic: their convolutions up to ``size`` px."""
    widths = options["widths"][: size.bit_length() - 2]
    pairs = zip([widths[0], *widths], widths, strict=False)
    return 16 * options["latent_size"] * widths[0] + 2 * sum(
        _conv(inputs, outputs) + _conv(outputs, outputs) for inputs, outputs in pairs
    )


def _conv(inputs: int, outputs: int) -> int:
    return 9 * inputs * outputs + outputs
