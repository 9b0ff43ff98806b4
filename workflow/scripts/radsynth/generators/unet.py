"""The U-Net of diffusion models and its noise schedule, built of diffusers. Free of torch until they are built."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from radsynth.common.errors import UserError
from radsynth.generators.noise import check_noise

if TYPE_CHECKING:
    from types import ModuleType

    import diffusers


def import_diffusers() -> "ModuleType":
    """Return diffusers, which imports torchvision, also where that does not match torch."""
    from radsynth.common.torchvision import import_torchvision

    import_torchvision()
    import diffusers

    return diffusers


def check_unet(options: Mapping[str, Any], height: int, width: int) -> None:
    """Raise UserError unless the U-Net of the options can be built for images of a size."""
    channels, attention = options["block_out_channels"], set(options["attention_levels"])
    levels = len(channels)
    factor = 2 ** (levels - 1)
    if height % factor or width % factor:
        raise UserError(
            f"options.block_out_channels: {levels} levels halve the image {levels - 1} times, expected a size that is "
            f"a multiple of {factor}, found {height} x {width} px"
        )
    if unknown := attention - set(range(levels)):
        raise UserError(f"options.attention_levels: {sorted(unknown)}, expected levels from 0 to {levels - 1}")
    if uneven := [c for c in channels if c % options["norm_groups"]]:
        raise UserError(f"options.norm_groups: {options['norm_groups']} does not divide {uneven} (block_out_channels)")


def build_unet(
    options: Mapping[str, Any], height: int, width: int, channels: int, *, further: int = 0, told: bool = False
) -> "diffusers.ModelMixin":
    """Return the untrained U-Net for images of a size; UserError if the size cannot be halved often enough.

    It takes ``further`` channels beside those of the image; if it is ``told`` what an image shows, as an embedding.
    """
    diffusers = import_diffusers()
    check_unet(options, height, width)
    widths, attention = options["block_out_channels"], options["attention_levels"]
    levels = range(len(widths))
    return diffusers.UNet2DModel(
        sample_size=(height, width),
        in_channels=channels + further,
        out_channels=channels,
        block_out_channels=tuple(widths),
        layers_per_block=options["layers_per_block"],
        down_block_types=tuple("AttnDownBlock2D" if i in attention else "DownBlock2D" for i in levels),
        up_block_types=tuple("AttnUpBlock2D" if i in attention else "UpBlock2D" for i in reversed(levels)),
        norm_num_groups=options["norm_groups"],
        dropout=options["dropout"],
        class_embed_type="identity" if told else None,
    )


def count_parameters(options: Mapping[str, Any], channels: int, further: int = 0) -> int:
    """Return the parameters of the U-Net, without building it; they do not depend on the size of the images."""
    widths, attention, layers = (
        options["block_out_channels"],
        options["attention_levels"],
        options["layers_per_block"],
    )
    first, deepest, time = widths[0], widths[-1], 4 * widths[0]

    def block(inputs: int, outputs: int, attends: bool) -> int:
        shortcut = inputs * outputs + outputs if inputs != outputs else 0
        residual = (
            2 * inputs
            + count_convolution(inputs, outputs)
            + (time + 1) * outputs
            + 2 * outputs
            + count_convolution(outputs, outputs)
        )
        return residual + shortcut + (2 * outputs + 4 * (outputs + 1) * outputs if attends else 0)

    total = count_convolution(channels + further, first) + (first + 1) * time + (time + 1) * time
    inputs = first
    for level, outputs in enumerate(widths):
        for _ in range(layers):
            total += block(inputs, outputs, level in attention)
            inputs = outputs
        total += count_convolution(outputs, outputs) if level < len(widths) - 1 else 0
    total += block(deepest, deepest, True) + block(deepest, deepest, False)
    above = deepest
    for level in reversed(range(len(widths))):
        outputs, below = widths[level], widths[max(level - 1, 0)]
        for layer in range(layers + 1):
            skipped = below if layer == layers else outputs
            total += block((outputs if layer else above) + skipped, outputs, level in attention)
        total += count_convolution(outputs, outputs) if level else 0
        above = outputs
    return total + 2 * first + count_convolution(first, channels)


def count_convolution(inputs: int, outputs: int) -> int:
    """Return the parameters of a 3 x 3 convolution."""
    return 9 * inputs * outputs + outputs


def build_scheduler(options: Mapping[str, Any]) -> "diffusers.SchedulerMixin":
    """Return the noise schedule, as DDPMPipeline uses it for ancestral sampling; UserError as of ``check_noise``."""
    diffusers = import_diffusers()
    check_noise(options)
    return diffusers.DDPMScheduler(
        num_train_timesteps=options["timesteps"],
        beta_schedule=options["beta_schedule"],
        beta_start=options["beta_start"],
        beta_end=options["beta_end"],
        prediction_type=options["prediction"],
        clip_sample=True,
    )


def count_gflop(unet: "diffusers.UNet2DModel") -> float:
    """Return the 1e9 floating point operations (two per multiply-add) of one forward pass of one image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    config = unet.config
    with torch.device("meta"), torch.no_grad():
        same = type(unet).from_config(config)
        noisy = torch.empty(1, config.in_channels, *config.sample_size)
        told = torch.empty(1, 4 * config.block_out_channels[0]) if config.class_embed_type else None
        with FlopCounterMode(display=False) as counter:
            same(noisy, torch.zeros(1, dtype=torch.long), told)
    return round(counter.get_total_flops() / 1e9, 4)
