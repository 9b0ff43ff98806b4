"""Are the images realistic, and do they cover the reals? From balls around images, up to their k-th neighbour.

Precision and recall: Kynkaanniemi et al. 2019, Improved precision and recall metric for assessing generative models,
equations 1 and 2, k = 3. Density and coverage: Naeem et al. 2020, Reliable fidelity and diversity metrics for
generative models, equations 4 and 5, k = 5. Like theirs (package prdc), a ball does not hold its surface. All raise
UndefinedError where a set whose balls are asked for has no more than k images, or k + 1 identical ones.
"""

from radsynth.quality.neighbours import Encounter

K_PRECISION = 3
K_COVERAGE = 5


def precision(meeting: Encounter, k: int = K_PRECISION) -> float:
    """Return the share of candidates inside the ball of at least one reference image."""
    meeting.reference.radii(k)
    return float((meeting.inside[k] > 0).mean())


def recall(meeting: Encounter, k: int = K_PRECISION) -> float:
    """Return the share of reference images inside the ball of at least one candidate."""
    meeting.candidate.radii(k)
    return float(meeting.reached[k].mean())


def density(meeting: Encounter, k: int = K_COVERAGE) -> float:
    """Return the mean number of reference images' balls that hold a candidate, over k; it may exceed 1."""
    meeting.reference.radii(k)
    return float(meeting.inside[k].mean() / k)


def coverage(meeting: Encounter, k: int = K_COVERAGE) -> float:
    """Return the share of reference images whose ball holds at least one candidate."""
    return float((meeting.closest < meeting.reference.radii(k) ** 2 - meeting.tie).mean())
