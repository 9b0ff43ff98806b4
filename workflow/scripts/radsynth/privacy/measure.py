"""How well an attack tells members from non-members, and what so many images could have shown.

A membership attack at chance has an AUC of .5. Images of one patient resemble each other: for the interval whole
patients are drawn, and for the p-value whole patients change sides. An average hides the few that are recognised with
certainty: beside the AUC stands the rate of members that are told at the lowest rate of false alarms that there are
enough non-members for (Carlini et al. 2022, Membership inference attacks from first principles, section 4).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from radsynth.common.seeds import derive_seed
from radsynth.quality.metric import UndefinedError

CHANCE = 0.5
DRAWS = 2000  # of patients, behind the interval
PERMUTATIONS = 2000
MIN_PATIENTS = 10  # on either side, for an interval
SUPPORT = 5  # non-members behind the lowest rate of false alarms
Z = 1.959964  # 97.5 % quantile of the normal distribution


@dataclass(frozen=True)
class Success:
    """How well an attack did.

    ``auc`` with its 95 % interval ``low`` to ``high`` (None for fewer than 10 patients on either side) and ``p_value``,
    the chance that patients dealt to the two sides at random give an AUC as far from .5. ``tpr`` is the share of
    members at or above a threshold that the share ``fpr`` of the non-members reaches, five of them (more if they tie);
    None for fewer. ``least_auc`` is the smallest AUC that so many patients could have told from .5 (``least_auc``);
    None if none. ``n_members`` and ``n_non_members`` count images, ``..._patients`` patients.
    """

    auc: float
    low: float | None
    high: float | None
    p_value: float
    tpr: float | None
    fpr: float | None
    least_auc: float | None
    n_members: int
    n_non_members: int
    n_member_patients: int
    n_non_member_patients: int
    chance: float = CHANCE

    def described(self) -> dict[str, Any]:
        """Return all of it, JSON-serialisable."""
        return asdict(self)

    @property
    def shown(self) -> bool:
        """Whether the interval excludes chance."""
        return self.low is not None and not self.low <= self.chance <= self.high


class _Ranks:
    """The AUC of scores under many weights of the images: O(n) each, once they are sorted."""

    def __init__(self, scores: np.ndarray):
        values, self.place = np.unique(scores, return_inverse=True)
        self.n = len(values)

    def auc(self, members: np.ndarray, non_members: np.ndarray) -> float:
        """Return the weighted share of pairs whose member has the higher score, ties half; weights (n,) of images."""
        above, below = (np.bincount(self.place, weights, self.n) for weights in (members, non_members))
        beaten = np.cumsum(below) - below / 2
        return float(above @ beaten / (above.sum() * below.sum()))


def auc(members: np.ndarray, non_members: np.ndarray) -> float:
    """Return the share of pairs of scores (n,) and (m,) whose member's is the higher; ties count half.

    It is the Mann-Whitney U over n m (Mann & Whitney 1947), the area under the ROC curve.
    """
    side = np.arange(len(members) + len(non_members)) < len(members)
    return _Ranks(np.concatenate([members, non_members])).auc(side.astype(float), (~side).astype(float))


def least_auc(members: int, non_members: int) -> float | None:
    """Return the smallest AUC whose 95 % interval excludes .5, with so many patients on either side; None if none does.

    By the normal approximation of the Mann-Whitney variance without an effect, (n + m + 1) / (12 n m), each patient
    counted once: several images of a patient may show somewhat less than this, never more than as many patients.
    """
    least = CHANCE + Z * math.sqrt((members + non_members + 1) / (12 * members * non_members))
    return least if least <= 1 else None


def at_low_false_alarms(members: np.ndarray, non_members: np.ndarray) -> tuple[float | None, float | None]:
    """Return true and false positive rate at the highest threshold that at least five non-members reach.

    Of scores (n,) and (m,); None for both where there are fewer non-members.
    """
    if len(non_members) < SUPPORT:
        return None, None
    threshold = np.sort(non_members)[-SUPPORT]
    return float(np.mean(members >= threshold)), float(np.mean(non_members >= threshold))


def success(
    members: np.ndarray,
    non_members: np.ndarray,
    member_patients: np.ndarray,
    non_member_patients: np.ndarray,
    seed: int,
) -> Success:
    """Return how well scores (n,) of members and (m,) of non-members tell the two apart.

    ``member_patients`` (n,) and ``non_member_patients`` (m,) name the patients (or the like) of the images. ValueError
    for scores that are not finite or not one per image, and for a patient on both sides; UndefinedError without any
    image on one side.
    """
    for scores, patients in ((members, member_patients), (non_members, non_member_patients)):
        if scores.shape != (len(patients),) or not np.isfinite(scores).all():
            raise ValueError(f"scores of shape {scores.shape} for {len(patients)} images, expected a finite one each")
        if not len(scores):
            raise UndefinedError("needs at least 1 member and 1 non-member, found 0")
    if shared := sorted(set(member_patients) & set(non_member_patients)):
        raise ValueError(f"{len(shared)} patients are both members and non-members")
    names, patients = np.unique(np.concatenate([member_patients, non_member_patients]), return_inverse=True)
    is_member = np.zeros(len(names), bool)
    is_member[patients[: len(members)]] = True
    ranks = _Ranks(np.concatenate([members, non_members]))
    found = auc(members, non_members)
    low, high = _interval(ranks, patients, is_member, derive_seed(seed, "bootstrap"))
    tpr, fpr = at_low_false_alarms(members, non_members)
    sides = int(is_member.sum()), int((~is_member).sum())
    return Success(
        auc=found,
        low=low,
        high=high,
        p_value=_p_value(ranks, patients, is_member, found, derive_seed(seed, "permutations")),
        tpr=tpr,
        fpr=fpr,
        least_auc=least_auc(*sides),
        n_members=len(members),
        n_non_members=len(non_members),
        n_member_patients=sides[0],
        n_non_member_patients=sides[1],
    )


def _interval(
    ranks: _Ranks, patients: np.ndarray, is_member: np.ndarray, seed: int
) -> tuple[float | None, float | None]:
    """Return the percentile interval over draws of whole patients, on either side as many as there are.

    Expanded as of Hesterberg 2015, What teachers should know about the bootstrap, section 5.3: draws of few patients
    vary too little.
    """
    sides = np.flatnonzero(is_member), np.flatnonzero(~is_member)
    if min(map(len, sides)) < MIN_PATIENTS:
        return None, None
    generator, values = np.random.default_rng(seed), np.empty(DRAWS)
    for draw in range(DRAWS):
        weights = []
        for side in sides:
            drawn = np.zeros(len(is_member))
            drawn[side] = generator.multinomial(len(side), np.full(len(side), 1 / len(side)))
            weights.append(drawn[patients])
        values[draw] = ranks.auc(*weights)
    n = min(map(len, sides))
    tail = norm.cdf(student.ppf(0.025, n - 1) * math.sqrt(n / (n - 1)))
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _p_value(ranks: _Ranks, patients: np.ndarray, is_member: np.ndarray, found: float, seed: int) -> float:
    """Return the share of deals of the patients to the two sides whose AUC is as far from .5, the one seen included."""
    generator, as_far = np.random.default_rng(seed), 1
    for _ in range(PERMUTATIONS):
        dealt = generator.permutation(is_member)[patients]
        value = ranks.auc(dealt.astype(float), (~dealt).astype(float))
        as_far += abs(value - CHANCE) >= abs(found - CHANCE) - 1e-12
    return float(as_far / (PERMUTATIONS + 1))
