"""Do images show an attribute that was asked of them? As a reader of real images tells it, beside held-out ones."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from radsynth.common.seeds import derive_seed
from radsynth.fidelity.agreement import DRAWS, balanced_accuracy, rank_correlation
from radsynth.fidelity.attribute_readers import fitted, is_continuous
from radsynth.fidelity.condition_verdicts import ATTRIBUTE, MINIMUM, Row, beside, row


@dataclass(frozen=True)
class Side:
    """Images of one kind with an attribute: ``features`` (n, d), ``values`` (n,) texts, empty where not known.

    ``strata`` (n,): the labels, among which chance deals the values. ``groups`` (n,): which belong together.
    """

    features: np.ndarray
    values: np.ndarray
    strata: np.ndarray
    groups: np.ndarray

    def where(self, chosen: np.ndarray) -> "Side":
        """Return the images that a bool array (n,) names."""
        return Side(*(part[chosen] for part in (self.features, self.values, self.strata, self.groups)))

    def counts(self) -> Counter[str]:
        """Return how many groups of images there are of each value."""
        return Counter(value for value, _ in set(zip(self.values, self.groups, strict=True)))


def attribute_row(name: str, train: Side, real: Side, pool: Side, seed: int, draws: int = DRAWS) -> Row:
    """Return what is known of an attribute that was asked of ``pool``; its ``values`` are what was asked.

    ``train`` are the real images that the reader learns from, ``real`` the held-out ones that control it.
    """
    train, real, pool = sides = [side.where(side.values != "") for side in (train, real, pool)]
    named = {"kind": ATTRIBUTE, "asked": name, "n": len(pool.values)}
    if not len(train.values) or not len(real.values):
        which = "training" if not len(train.values) else "held-out"
        return row(**named, reason=f"no {which} image tells it")
    continuous = is_continuous(np.concatenate([side.values for side in sides]))
    named["measure"] = "rank_correlation" if continuous else "balanced_accuracy"
    note = ""
    if continuous:
        measure, known = rank_correlation, [side.values.astype(float) for side in sides]
        found = [len(set(side.groups)) for side in sides]
        if min(found) < MINIMUM:
            return row(**named, reason=_too_few({"": found}, f"expected {MINIMUM} of each"))
    else:
        counts = {value: [side.counts()[value] for side in sides] for value in sorted(set(pool.values))}
        values = [value for value, found in counts.items() if min(found) >= MINIMUM]
        if len(values) < 2:
            return row(**named, reason=_too_few(counts, f"expected {MINIMUM} of each of at least two values"))
        left = {value: found for value, found in counts.items() if value not in values}
        note = f"without the values of which there are fewer than {MINIMUM}: {', '.join(left)}" if left else ""
        train, real, pool = sides = [side.where(np.isin(side.values, values)) for side in sides]
        measure, known = balanced_accuracy, [np.searchsorted(values, side.values) for side in sides]
    reader = fitted(train.features, known[0], train.groups, continuous, derive_seed(seed, "folds", bits=32))
    agreements = [
        measure(asked, reader.predict(side.features), side.strata, side.groups, derive_seed(seed, purpose), draws)
        for side, asked, purpose in ((real, known[1], "real"), (pool, known[2], "pool"))
    ]
    return row(**named | {"n_train": len(train.values), "note": note} | beside(agreements[1], agreements[0]))


def _too_few(counts: dict[str, list[int]], expected: str) -> str:
    """Return why an attribute cannot be judged: by value groups of training and held-out images, images of the pool."""
    words = ("training patients", "held-out patients", "images of the pool")
    found = [
        " ".join(filter(None, [value, ", ".join(f"{n} {word}" for n, word in zip(numbers, words, strict=True))]))
        for value, numbers in counts.items()
    ]
    return f"{'; '.join(found)}: {expected}"
