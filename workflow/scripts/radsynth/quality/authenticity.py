"""Authenticity (Alaa et al. 2022, How faithful is your synthetic data?, section 3.3)."""

import numpy as np

from radsynth.quality.arrays import UndefinedError
from radsynth.quality.neighbours import Encounter


def authpct(meeting: Encounter) -> float:
    """Return the percentage of candidates farther from their nearest training image than that one is from its own.

    Equal distributions do not give 50 but 65 to 84 in practice, since the nearest of many is nearer to a new image
    than to one of its own kind only by chance: read it beside the control. Copies lower it.
    """
    if len(meeting.reference) < 2:
        raise UndefinedError(f"needs at least 2 training images, found {len(meeting.reference)}")
    own = meeting.reference.within[:, 0]
    return float(100 * np.mean(meeting.distance > own[meeting.nearest]))
