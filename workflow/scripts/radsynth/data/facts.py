"""What is known of an image file before anybody looks at the picture: whether that alone tells the label."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image
from scipy.stats import rankdata

from radsynth.data.convert import is_deep

#: Kinds of facts, and how they are called; those ``UNSEEN`` reach no classifier, but say that the origins differ.
FACTS = {
    "depth": "bits per pixel",
    "mode": "colour mode",
    "size": "width and height",
    "aspect": "aspect ratio",
    "codec": "file format and compression",
    "border": "width of plain borders",
    "name": "pattern of file names",
    "header": "kinds of header entries",
}
UNSEEN = ("name", "header")
ALL = "all together"
#: Chance of naming a fact of a dataset where none tells the label.
ALPHA = 0.05
FOLDS, SHUFFLES, MOST_IMAGES, FEWEST_GROUPS, MOST_VALUES, BINS = 5, 300, 4000, 5, 30, 8
PLAIN = 2  # Gray levels by which the pixels of a plain row or column may differ.

Facts = dict[str, tuple[str | float, ...]]


def file_facts(image: Image.Image, name: str, words: Sequence[str]) -> Facts:
    """Return the facts of an opened, not yet loaded image; ``name`` is its raw name, ``words`` are the classes' names.

    Class names are taken out of file names: that they tell the label is no news.
    """
    info, stem = image.info, PurePosixPath(name).stem.lower()
    for word in words:
        stem = stem.replace(word.lower(), "")
    compression = [image.format or "", str(info.get("compression", "")), str(info.get("progressive", ""))]
    tables = getattr(image, "quantization", None)
    if tables:
        compression.append(hashlib.sha256(repr(sorted(tables.items())).encode()).hexdigest()[:8])
    # What the decoder is told first is the raw mode, such as L;16; what follows depends on the size.
    raw_modes = [tile[3] if isinstance(tile[3], str) else tile[3][0] for tile in getattr(image, "tile", [])[:1]]
    return {
        "depth": ("deep" if is_deep(image) else "8 bits",),
        "mode": (image.mode, str(raw_modes)),
        "size": (float(image.width), float(image.height)),
        "aspect": (image.width / image.height,),
        "codec": ("|".join(compression),),
        "name": (re.sub(r"\d+", "#", stem), float(len(stem)), PurePosixPath(name).suffix),
        # Not getexif: it would load a PNG, whose depth is not known afterwards.
        "header": (f"{sorted(map(str, info))} {info.get('dpi')} {sorted(getattr(image, 'tag_v2', ()))}",),
    }


def border_facts(gray: np.ndarray) -> tuple[float, ...]:
    """Return how far plain rows or columns reach into a gray image (height, width) from each side, as shares of it."""
    found = []
    for lines in (gray, gray.T):
        plain = lines.max(axis=1).astype(int) - lines.min(axis=1) <= PLAIN
        for side in (plain, plain[::-1]):
            found.append((len(side) if side.all() else int(side.argmin())) / len(side))
    return tuple(found)


@dataclass(frozen=True)
class Told:
    """How well facts tell the label: cross-validated ROC-AUC (macro, one against the rest) with its 95 % interval.

    ``by_chance`` is what the best of all kinds of facts reaches in one of twenty datasets whose labels are shuffled;
    ``above_chance`` whether this kind is beyond that, and its interval beyond .5.
    """

    fact: str
    auc: float
    low: float
    high: float
    by_chance: float
    above_chance: bool


def told_by_facts(facts: Sequence[Facts], labels: Sequence[str], groups: Sequence[str], seed: int) -> list[Told]:
    """Return how well each kind of facts, and all together, tell the labels; nothing of facts that are all alike.

    The classifier is naive Bayes over values and bins, its scores are those of five folds. ``groups`` names the patient
    or the like of each image: none is learnt from and tested on, and labels are shuffled by group. A kind is above
    chance if its AUC, in units of its spread over 300 shufflings, is beyond the 95th percentile of the largest of all
    kinds (Westfall and Young 1993): where labels do not depend on facts, that names any kind in at most 5 of 100
    datasets. Intervals are clustered by group (Obuchowski, Biometrics 1997). At most 4,000 images are used. Empty if a
    label has fewer than 5 groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    rng = np.random.default_rng(seed)
    names, y = np.unique(np.asarray(labels), return_inverse=True)
    most = MOST_IMAGES // len(names)
    chosen = np.sort(np.concatenate([rng.permutation(np.flatnonzero(y == k))[:most] for k in range(len(names))]))
    y, group = y[chosen], np.unique(np.asarray(groups)[chosen], return_inverse=True)[1]
    columns = {fact: _binned([facts[i][fact] for i in chosen]) for fact in FACTS}
    columns = {fact: table for fact, table in columns.items() if table.shape[1]}
    if min(len(np.unique(group[y == k])) for k in range(len(names))) < FEWEST_GROUPS or not columns:
        return []

    # The first column are the labels as they are.
    shuffled = [y, *(_shuffled(y, group, rng) for _ in range(SHUFFLES))]
    folds = np.empty(len(y), int)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    for fold, (_, test) in enumerate(splitter.split(y, y, group)):
        folds[test] = fold
    of_class = np.stack(shuffled, axis=1)[:, :, None] == np.arange(len(names))
    scores = {fact: _log_likelihoods(table, of_class, folds) for fact, table in columns.items()}
    if len(scores) > 1:
        scores[ALL] = np.sum(list(scores.values()), axis=0)

    aucs = np.stack([_macro_auc(score, of_class) for score in scores.values()])
    center, spread = aucs[:, 1:].mean(axis=1), np.maximum(aucs[:, 1:].std(axis=1), 1e-9)
    best = ((aucs[:, 1:] - center[:, None]) / spread[:, None]).max(axis=0)
    limits = center + np.quantile(best, 1 - ALPHA, method="higher") * spread
    found = []
    for row, (fact, score) in enumerate(scores.items()):
        half = 1.96 * _clustered_error(score[:, 0], of_class[:, 0], group)
        auc = float(aucs[row, 0])
        low, high, by_chance = max(auc - half, 0.0), min(auc + half, 1.0), float(min(limits[row], 1.0))
        found.append(Told(fact, auc, low, high, by_chance, bool(auc > by_chance and low > 0.5)))
    return found


def _shuffled(y: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return labels where each group has taken those of another, in any order, repeated or cut to its size.

    So a patient of one label still has one, and a patient of several may have several.
    """
    order = np.lexsort((rng.random(len(y)), group))
    sizes = np.bincount(group)
    starts = np.cumsum(sizes) - sizes
    own = group[order]
    giver = rng.permutation(len(sizes))[own]
    place = np.arange(len(y)) - starts[own]
    labels = np.empty_like(y)
    labels[order] = y[order][starts[giver] + place % sizes[giver]]
    return labels


def _binned(values: Sequence[tuple[str | float, ...]]) -> np.ndarray:
    """Return facts as indicators, float32 (n, d), of frequent values and bins of numbers; d is 0 if all agree."""
    columns = []
    for column in zip(*values, strict=True):
        kinds = np.array(column)
        if kinds.dtype.kind != "U" and len(np.unique(kinds)) > BINS:
            edges = np.unique(np.quantile(kinds, np.linspace(0, 1, BINS + 1)[1:-1]))
            kinds = np.searchsorted(edges, kinds, side="right")
        known, codes, counts = np.unique(kinds, return_inverse=True, return_counts=True)
        if len(known) > 1:
            columns += [codes == k for k in np.argsort(-counts, kind="stable")[:MOST_VALUES]]
    return np.column_stack(columns).astype(np.float32) if columns else np.empty((len(values), 0), np.float32)


def _log_likelihoods(table: np.ndarray, of_class: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the log likelihood (n, labelings, classes) of each image's facts, by the images of the other folds."""
    n, labelings, classes = of_class.shape
    found = np.empty((n, labelings * classes), np.float32)
    flat = of_class.reshape(n, -1).astype(np.float32)
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        share = (table[train].T @ flat[train] + 0.5) / (flat[train].sum(axis=0) + 1)
        found[test] = table[test] @ np.log(share) + (1 - table[test]) @ np.log1p(-share)
    return found.reshape(of_class.shape)


def _one_against_rest(scores: np.ndarray) -> np.ndarray:
    """Return log likelihood ratios (..., classes) of each class to the best of the others."""
    rest = [np.delete(scores, k, axis=-1).max(axis=-1) for k in range(scores.shape[-1])]
    return scores - np.stack(rest, axis=-1)


def _macro_auc(scores: np.ndarray, of_class: np.ndarray) -> np.ndarray:
    """Return the mean one-against-the-rest ROC-AUC (labelings,)."""
    ratios = _one_against_rest(scores)
    aucs = []
    for k in range(scores.shape[2]):
        own = of_class[:, :, k]
        n = own.sum(axis=0)
        ranks = np.where(own, rankdata(ratios[:, :, k], axis=0), 0).sum(axis=0)
        aucs.append((ranks - n * (n + 1) / 2) / np.maximum(n * (len(own) - n), 1))
    return np.mean(aucs, axis=0)


def _clustered_error(scores: np.ndarray, of_class: np.ndarray, groups: np.ndarray) -> float:
    """Return the standard error over groups of the macro ROC-AUC of scores (n, classes)."""
    ratios, influence = _one_against_rest(scores), np.zeros(len(scores))
    for k in range(scores.shape[1]):
        own, score = of_class[:, k], ratios[:, k]
        inside = np.empty(len(score))
        inside[own], inside[~own] = rankdata(score[own]), rankdata(score[~own])
        above = rankdata(score) - inside
        # The share of the other side that an image is on the right side of.
        n, m = own.sum(), (~own).sum()
        placement = np.where(own, above / m, 1 - above / n)
        influence += (placement - placement[own].mean()) / np.where(own, n, m) / scores.shape[1]
    sums = np.bincount(groups, influence)
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()))
