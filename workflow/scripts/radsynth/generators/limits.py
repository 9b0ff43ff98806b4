"""What a family's options must be together, for an image size. Free of torch: checked when a study is planned."""

from collections.abc import Callable, Mapping
from typing import Any

from radsynth.common.errors import UserError
from radsynth.generators.growth import Growth

Options = Mapping[str, Any]


def check_unet(options: Options, height: int, width: int) -> None:
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


def check_sampling_steps(steps: int | None, timesteps: int) -> None:
    """Raise UserError if a sampler takes more steps than the model has timesteps."""
    if steps and steps > timesteps:
        raise UserError(f"sampler.steps: {steps}, expected at most the model's {timesteps} timesteps")


def _check_ddpm(options: Options, sampler: Options, size: int) -> None:
    check_unet(options, size, size)
    check_sampling_steps(sampler["steps"], options["timesteps"])


def _check_pggan(options: Options, sampler: Options, size: int) -> None:
    Growth.plan(options, size, size).count_steps(options["steps"])


CHECKS: dict[str, Callable[[Options, Options, int], None]] = {"ddpm": _check_ddpm, "pggan": _check_pggan}


def check_generator(generator: Mapping[str, Any], size: int, where: str) -> None:
    """Check a generator with resolved ``family``, ``options`` and ``sampler`` for square images of ``size`` px.

    The UserError begins with ``where``, the generator's configuration key. Families without a check pass.
    """
    try:
        if check := CHECKS.get(generator["family"]):
            check(generator["options"], generator["sampler"], size)
    except UserError as error:
        raise UserError(f"{where}.{error}") from None
