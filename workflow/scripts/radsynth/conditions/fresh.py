"""Conditions for new images: drawn from what the training images of a label have in common, or theirs once more.

A value, a combination of values or a number of lesions that fewer than ``FEWEST`` groups of training images hold (each
of a patient, or of near duplicates) is not drawn: the rarest of them would name a patient.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from radsynth.common.seeds import derive_seed
from radsynth.common.sets import Conditions
from radsynth.conditions.conditioner import Conditioner, Row, knows_lesions
from radsynth.conditions.lesions import Outline, bounds, is_hole

FEWEST = 5
#: Points of the outlines that are drawn, and how many directions of variation these have at most.
POINTS, DIRECTIONS = 32, 8
#: Standard deviations of a drawn value around one of the training images, in those of all.
SMOOTHING = 1.0
#: Boxes with so large an intersection over their union are alike; how many are drawn to see how often that happens.
ALIKE, TRIED = 0.8, 1000


class Density:
    """A smoothed bootstrap (Silverman 1986, section 6.4.1) of n points (n, k), with their mean and covariance.

    The points are drawn towards their mean by as much as the smoothing widens them: what is drawn hardly gathers around
    them.
    """

    def __init__(self, points: np.ndarray):
        self.points, self.mean = points, points.mean(axis=0)
        self.shrunk, self.smoothing = 1 / np.sqrt(1 + SMOOTHING**2), SMOOTHING / np.sqrt(1 + SMOOTHING**2)
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(points, rowvar=False)))
        self.root = vectors * np.sqrt(np.clip(values, 0, None))

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return one point (k,)."""
        around = self.points[rng.integers(len(self.points))] - self.mean
        return self.mean + self.shrunk * around + self.smoothing * self.root @ rng.standard_normal(len(self.mean))


class Fresh:
    """The distribution of the conditions of one label."""

    def __init__(self, conditioner: Conditioner, label: str):
        rows = [row for row in conditioner.training if row["label"] == label]
        self.label, self.conditioner = label, conditioner
        self.tuples = frequent_tuples(rows, list(conditioner.categories))
        self.numbers = {name: _Number(rows, name) for name in conditioner.scales}
        self.lesions = _Lesions(conditioner, rows) if conditioner.lesions != "none" else None

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Return one condition."""
        values, counts = list(self.tuples), np.array(list(self.tuples.values()))
        drawn = values[rng.choice(len(values), p=counts / counts.sum())]
        attributes = dict(zip(self.conditioner.categories, drawn, strict=True))
        attributes |= {name: number.draw(rng) for name, number in self.numbers.items()}
        row: dict[str, Any] = {"label": self.label}
        if attributes := {name: value for name, value in attributes.items() if value}:
            row["attributes"] = attributes
        return row if self.lesions is None else row | self.lesions.draw(rng)


def fresh(conditioner: Conditioner, label: str, size: int, seed: int) -> Conditions:
    """Return ``size`` new conditions of a label; number i depends on (seed, i) and the training images alone."""
    drawn = Fresh(conditioner, label)
    return Conditions([drawn.draw(np.random.default_rng(derive_seed(seed, "condition", i))) for i in range(size)])


def replayed(conditioner: Conditioner, label: str, size: int, seed: int) -> Conditions:
    """Return the conditions of the label's training images, in a random order, again and again up to ``size``."""
    rows = [row for row in conditioner.training if row["label"] == label]
    order = np.random.default_rng(derive_seed(seed, "replay")).permutation(len(rows))
    return Conditions([{key: rows[i][key] for key in rows[i] if key != "group"} for i in np.resize(order, size)])


def frequent_tuples(rows: Sequence[Row], names: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Return the combinations of values of some attributes and how many images have each.

    Of a combination that is too rare the last values are left out (empty, not known), as few of them as will do.
    """
    held: dict[tuple[str, ...], set[int]] = defaultdict(set)
    values = [tuple(row["attributes"].get(name, "") for name in names) for row in rows]
    for found, row in zip(values, rows, strict=True):
        for k in range(len(names) + 1):
            held[found[:k]].add(row["group"])
    kept = (next(found[:k] for k in range(len(names), -1, -1) if not k or _many(held[found[:k]])) for found in values)
    return dict(Counter(found + ("",) * (len(names) - len(found)) for found in kept))


def _many(groups: Iterable[int]) -> bool:
    return len(set(groups)) >= FEWEST


class _Number:
    """The values of a continuous attribute, as texts with as many decimals as the training images'.

    They end where ``FEWEST`` groups are as far out: the oldest patient is not told. Of a number that fewer than twice
    as many groups know, nothing is.
    """

    def __init__(self, rows: Sequence[Row], name: str):
        known = [(row["attributes"][name], row["group"]) for row in rows if name in row["attributes"]]
        own = np.sort(list({group: float(text) for text, group in known}.values()))
        self.known = len(known) / len(rows) if len(own) >= 2 * FEWEST else 0.0
        if self.known:
            self.density = Density(np.array([[float(text)] for text, _ in known]))
            self.range = own[FEWEST - 1], own[-FEWEST]
            self.decimals = max(len(text.partition(".")[2]) for text, _ in known)

    def draw(self, rng: np.random.Generator) -> str:
        if rng.random() >= self.known:
            return ""
        low, high = self.range
        value = self.density.draw(rng)[0]
        # Reflected where it is outside: no value of one patient is drawn again and again.
        value = 2 * low - value if value < low else 2 * high - value if value > high else value
        value = value if low <= value <= high else (low + high) / 2
        return f"{value:.{self.decimals}f}"


class _Lesions:
    """How many lesions an image has, where and of which size, and their shapes if there are masks.

    A number of lesions that too few groups have is not drawn; as many images as of the training images, or all if no
    number is left, say nothing of lesions. Boxes that are like one of another patient are drawn as often as these are.
    """

    def __init__(self, conditioner: Conditioner, rows: Sequence[Row]):
        self.key = conditioner.lesion_key
        found = [(_outer(row[self.key], self.key), row["group"]) for row in rows if knows_lesions(row)]
        groups: dict[int, set[int]] = defaultdict(set)
        for lesions, group in found:
            groups[len(lesions)].add(group)
        frequent = [count for count in groups if _many(groups[count])]
        self.counts = [len(lesions) for lesions, _ in found if len(lesions) in frequent]
        self.known = len(found) / len(rows) if frequent else 0.0
        self.shapes = None
        if max(frequent, default=0):
            lesions = [(lesion, group) for several, group in found for lesion in several]
            own = np.array([group for _, group in lesions])
            boxes = [one if self.key == "boxes" else bounds(one) for one, _ in lesions]
            self.boxes, self.places = np.array(boxes), Density(np.array([_to_place(box) for box in boxes]))
            chance = np.mean([alike(box, self.boxes[own != group]) for box, group in zip(self.boxes, own, strict=True)])
            rng = np.random.default_rng(0)
            often = np.mean([alike(_from_place(self.places.draw(rng)), self.boxes) for _ in range(TRIED)])
            self.kept = min(chance / max(often, 1 / TRIED), 1)
            self.shapes = None if self.key == "boxes" else _Shapes([one for one, _ in lesions])

    def draw(self, rng: np.random.Generator) -> Mapping[str, Any]:
        if rng.random() >= self.known:
            return {}
        drawn: list[Any] = []
        for _ in range(self.counts[rng.integers(len(self.counts))]):
            box = self._box(rng)
            drawn.append(box if self.shapes is None else self.shapes.draw(rng, box))
        return {self.key: drawn}

    def _box(self, rng: np.random.Generator) -> list[float]:
        for _ in range(100):
            box = _from_place(self.places.draw(rng))
            inside = box.min() >= 0 and box.max() <= 1
            if inside and (rng.random() < self.kept or not alike(box, self.boxes)):
                break
        else:
            box = np.clip(_from_place(self.places.mean), 0, 1)
        return box.round(4).tolist()


def alike(box: Sequence[float], others: np.ndarray) -> bool:
    """Return whether a box overlaps one of others (n, 4) so far that their intersection is ``ALIKE`` of their union."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.clip(sides, 0, None).prod(axis=1)
    areas = [(one[..., 2:] - one[..., :2]).prod(axis=-1) for one in (np.asarray(box), others)]
    return bool((both >= ALIKE * (areas[0] + areas[1] - both)).any())


class _Shapes:
    """Outlines as distances from the middle of their box in ``POINTS`` directions, whose logarithms vary normally."""

    def __init__(self, outlines: Sequence[Outline]):
        self.angles = np.arange(POINTS) * 2 * np.pi / POINTS
        distances = np.log([self._distances(np.asarray(outline)) for outline in outlines])
        self.mean = distances.mean(axis=0)
        _, scales, self.directions = np.linalg.svd(distances - self.mean, full_matrices=False)
        self.scales = (scales / np.sqrt(max(len(outlines) - 1, 1)))[:DIRECTIONS]

    def _distances(self, points: np.ndarray) -> np.ndarray:
        low, high = points.min(axis=0), points.max(axis=0)
        x, y = ((points - (low + high) / 2) / np.maximum((high - low) / 2, 1e-6)).T
        angle = np.arctan2(y, x) % (2 * np.pi)
        order = np.argsort(angle, kind="stable")
        distances = np.interp(self.angles, angle[order], np.hypot(x, y)[order], period=2 * np.pi)
        return np.maximum(distances, 0.1)

    def draw(self, rng: np.random.Generator, box: Sequence[float]) -> list[list[float]]:
        """Return an outline that fills a box."""
        strengths = self.scales * rng.standard_normal(len(self.scales))
        distances = np.exp(self.mean + strengths @ self.directions[: len(strengths)])
        points = distances[:, None] * np.column_stack([np.cos(self.angles), np.sin(self.angles)])
        points = (points - points.min(axis=0)) / np.ptp(points, axis=0)
        x0, y0, x1, y1 = box
        return (points * (x1 - x0, y1 - y0) + (x0, y0)).round(4).tolist()


def _outer(lesions: Sequence[Any], key: str) -> list[Any]:
    return [lesion for lesion in lesions if key == "boxes" or not is_hole(lesion)]


def _to_place(box: Sequence[float]) -> list[float]:
    """Return the middle of a box and the logarithms of its sides."""
    x0, y0, x1, y1 = box
    return [(x0 + x1) / 2, (y0 + y1) / 2, np.log(max(x1 - x0, 1e-3)), np.log(max(y1 - y0, 1e-3))]


def _from_place(place: np.ndarray) -> np.ndarray:
    middle, half = place[:2], np.maximum(np.exp(place[2:]), 1e-3) / 2
    return np.concatenate([middle - half, middle + half])
