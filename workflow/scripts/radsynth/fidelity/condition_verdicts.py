"""What is said of one condition: the pool beside real images and chance, or the reason why nothing can be said."""

import math
from typing import Any

import numpy as np

from radsynth.fidelity.agreement import Measured, expanded

MINIMUM = 10  # images of a pool, groups of real images: of each of two values, or with a lesion
LEVEL = 0.05

#: The pool shows it, and no difference to real images was shown; it shows it less or more than real images; not told
#: from chance. Without a verdict there is a reason.
AS_REAL, LESS, MORE, NOT_TOLD = "as_real", "less", "more", "not_told"
#: What is asked: an attribute (or the label), a lesion at a place, or none.
ATTRIBUTE, LESION, NO_LESION = "attribute", "lesion", "no_lesion"

Row = dict[str, Any]
EMPTY: Row = {
    "kind": "",
    "asked": "",
    "measure": "",
    **dict.fromkeys(("n", "value", "low", "high", "chance", "chance_low", "chance_high", "p_value")),
    **dict.fromkeys(("n_train", "n_real", "n_real_groups", "real", "real_low", "real_high", "real_chance")),
    **dict.fromkeys(("difference", "difference_low", "difference_high", "ratio")),
    "verdict": "",
    "reason": "",
    "note": "",
}


def row(**known: Any) -> Row:
    """Return a row with all keys; what is not known is null or empty, and so is what is not finite."""
    return EMPTY | {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in known.items()
    }


def of_pool(pool: Measured, direction: int = 1) -> Row:
    """Return what is known of a pool beside chance; ``direction`` as of ``Measured.p_value``."""
    low, high = pool.interval()
    known: Row = {"n": pool.n, "value": pool.value, "low": low, "high": high}
    if len(pool.dealt) and np.isfinite(pool.value):
        chance_low, chance_high = map(float, np.quantile(pool.dealt, [0.025, 0.975]))
        known |= {"chance": pool.chance, "chance_low": chance_low, "chance_high": chance_high}
        known |= {"p_value": pool.p_value(direction)}
    return known


def of_real(real: Measured) -> Row:
    """Return what is known of the real images."""
    low, high = real.interval()
    known = {"real": real.value, "real_low": low, "real_high": high, "real_chance": real.chance}
    return known | {"n_real": real.n, "n_real_groups": real.n_groups}


def direction_of(real: Measured) -> int:
    """Return 1 where real images lie above chance, -1 below it, 0 where their interval holds it: no power."""
    low, high = (end - real.chance for end in real.interval())
    return int(low > 1e-9) - int(high < -1e-9)


def difference(pool: Measured, real: Measured) -> tuple[float, float, float]:
    """Return by how much the pool lies farther above chance than real images do, and its 95 % interval."""
    found = (pool.value - pool.chance) - (real.value - real.chance)
    return found, *expanded(pool.excess - real.excess, min(pool.n_groups, real.n_groups))


def compared(pool: Measured, real: Measured, direction: int) -> Row:
    """Return the difference between a pool and real images, and which of them shows more, in that direction."""
    found, low, high = difference(pool, real)
    above, below = (low > 0, high < 0) if direction > 0 else (high < 0, low > 0)
    verdict = MORE if above else LESS if below else AS_REAL
    return {"difference": found, "difference_low": low, "difference_high": high, "verdict": verdict}


def beside(pool: Measured, real: Measured, signed: bool = False) -> Row:
    """Return what is known of a condition, with its verdict, or the reason why there is none.

    ``signed``: real images may show it by less than chance (lesions darker than what is around them).
    """
    direction = direction_of(real)
    if direction < 0 and not signed:
        direction = 0
    known = of_pool(pool, direction or 1) | of_real(real)
    if not (np.isfinite(pool.value) and np.isfinite(real.value)):
        which = "real" if np.isfinite(pool.value) else "pool's"
        return known | {"reason": f"undefined: all {which} images read alike"}
    if not direction:
        return known | {"reason": "not told from chance on real images either"}
    known |= compared(pool, real, direction)
    known["ratio"] = (pool.value - pool.chance) / (real.value - real.chance)
    return known | ({} if known["p_value"] < LEVEL else {"verdict": NOT_TOLD})
