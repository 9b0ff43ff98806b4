"""What a family's options must be together, for an image size. Free of torch: checked when a study is planned."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from radsynth.common.errors import UserError
from radsynth.generators.growth import Growth
from radsynth.generators.noise import check_noise
from radsynth.learning.candidates import candidate_steps

Options = Mapping[str, Any]

# Images, at least, that a choice by KID withholds. Half of them are the control of the copy rate: against 4 images
# without a copy, Fisher's test notices a copy rate of 256 images of 0.54, against 20 images one of 0.15.
FEWEST_WITHHELD = 8


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
    check_noise(options)
    check_sampling_steps(sampler["steps"], options["timesteps"])


def _check_pggan(options: Options, sampler: Options, size: int) -> None:
    Growth.plan(options, size, size).count_steps(options["steps"])


def count_steps(n: int, batch_size: int, epochs: int, steps: int | None) -> int:
    """Return the number of steps: ``steps`` if given, else ``epochs`` times the batches that hold n images."""
    return steps or epochs * -(-n // batch_size)


def ddpm_steps(options: Options, size: int, n: int) -> tuple[int, int]:
    """Return the fewest steps after which there is a model to choose, and all steps of a training on n images."""
    return 1, count_steps(n, options["batch_size"], options["epochs"], options["steps"])


def pggan_steps(options: Options, size: int, n: int) -> tuple[int, int]:
    """Return the same of a PGGAN for images of ``size`` px: it must have reached the last resolution."""
    growth = Growth.plan(options, size, size)
    return growth.first_step(growth.last) + 1, growth.count_steps(options["steps"])


CHECKS: dict[str, Callable[[Options, Options, int], None]] = {"ddpm": _check_ddpm, "pggan": _check_pggan}
# The families whose steps several processes can take together, each on its part of a batch.
DATA_PARALLEL = ("ddpm",)
# The families that are trained step by step.
STEPS: dict[str, Callable[[Options, int, int], tuple[int, int]]] = {"ddpm": ddpm_steps, "pggan": pggan_steps}


def check_generator(generator: Mapping[str, Any], size: int, where: str) -> None:
    """Check a generator with resolved ``family``, ``options`` and ``sampler`` for square images of ``size`` px.

    The UserError begins with ``where``, the generator's configuration key. Families without a check pass.
    """
    family, gpus = generator["family"], generator["gpus"]
    if gpus > 1 and family not in DATA_PARALLEL:
        raise UserError(f"{where}.gpus: {gpus}, but {family} trains on one, expected 1")
    if gpus > 1 and generator["options"]["batch_size"] % gpus:
        raise UserError(
            f"{where}.gpus: {gpus} do not share options.batch_size {generator['options']['batch_size']} evenly"
        )
    try:
        if check := CHECKS.get(family):
            check(generator["options"], generator["sampler"], size)
    except UserError as error:
        raise UserError(f"{where}.{error}") from None


def count_withheld(n: int, share: float) -> int:
    """Return how many of n images ``share`` is; UserError, beginning with ``selection.``, if too few are left."""
    count = round(share * n)
    if count < FEWEST_WITHHELD or n - count < 2:
        raise UserError(
            f"selection.withhold: {share} of {n} images are {count}, expected at least {FEWEST_WITHHELD} withheld "
            "and 2 trained on"
        )
    return count


def check_selection(generator: Mapping[str, Any], size: int, images: Collection[int], where: str) -> None:
    """Check how a generator's model is chosen; ``images`` are the numbers of training images of its units.

    The UserError begins with ``where``, the generator's configuration key.
    """
    selection, family = generator["selection"], generator["family"]
    method = selection["method"]
    if method == "last":
        return
    if family not in STEPS:
        raise UserError(f"{where}.selection.method: {method}, but {family} is not trained step by step, expected last")
    if method == "kid" and generator["per"] != "label":
        raise UserError(f"{where}.selection.method: kid compares images of one label, expected per: label")
    try:
        for n in images:
            trained_on = n - count_withheld(n, selection["withhold"]) if method == "kid" else n
            candidate_steps(selection, *STEPS[family](generator["options"], size, trained_on))
    except UserError as error:
        raise UserError(f"{where}.{error}") from None
