"""How many training images `validation` holds back, and how few are too few. Free of numpy: asked when planning."""

import math

from radsynth.common.errors import UserError

# Images of a label, at least, that something is learnt from: with one, no distance between training images exists,
# and nothing tells a copy of it from an image like it.
FEWEST_LEARNT = 2
# Where no number of images up to here would do, another share is what must be asked for.
_MOST = 1000


def held_back_by_patients(n: int, fraction: float) -> int:
    """Return how many of n images of a label are held back where patients have one image each; else about so many."""
    return math.floor(fraction * n + 0.5)


def held_back_by_image(n: int, fraction: float) -> int:
    """Return how many of n images of a label a run holds back by image: at least one."""
    return max(1, round(fraction * n))


def check_train(n: int, validation: str, fraction: float, where: str) -> None:
    """Raise UserError, beginning with the key ``where``, if n images of a label are too few to learn from.

    ``validation`` and ``fraction`` are those of the configuration. Enough are FEWEST_LEARNT that are left to learn
    from and, unless ``validation`` is none, one that is held back.
    """
    hold_back = {"none": lambda n, _: 0, "patients": held_back_by_patients, "images": held_back_by_image}[validation]

    def enough(n: int) -> bool:
        held_back = hold_back(n, fraction)
        return n - held_back >= FEWEST_LEARNT and (held_back > 0 or validation == "none")

    if enough(n):
        return
    held_back = hold_back(n, fraction)
    asked = "1 image" if n == 1 else f"{n} images"
    if validation == "none":
        raise UserError(
            f"{where}: {asked} to learn from (validation: none, so validation_fraction holds none back), expected at "
            f"least {FEWEST_LEARNT}"
        )
    least = next((count for count in range(n + 1, _MOST) if enough(count)), None)
    way_out = "another fraction" if least is None else f"at least {least} images, or another fraction"
    raise UserError(
        f"{where}: {asked}, of which validation_fraction {fraction:g} (validation: {validation}) holds back "
        f"{held_back} and leaves {n - held_back} to learn from, expected at least 1 held back and {FEWEST_LEARNT} "
        f"left: ask for {way_out}"
    )
