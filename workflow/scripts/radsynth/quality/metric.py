"""What a metric is: its formula, its name and meaning, which way is better, what it stands against and beside.

A metric is one object (``Metric``) in the file of its formula, and one line in the list of catalogue.py. The schema of
the quality JSON, the columns of tables, figures and words follow from it.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

#: What is better, see ``Meaning``.
LOWER, HIGHER, CONTROL = "lower", "higher", "control"
#: The questions that metrics answer, in the order in which they are shown.
FAMILIES = ("distance", "manifold", "diversity", "similarity", "memorisation")
#: Reference sets of a class (radsynth.quality.feature_sets), and none.
ALL, TRAIN, HELD_OUT, NONE = "all", "train", "held_out", ""

Known = dict[str, dict[str, Any]]  # by metric what is known of it: value, interval and SD, or the reason why not


class Estimate(NamedTuple):
    """A metric's value, the ends of its 95 % interval, and its standard deviation over subsets, pairs or images."""

    value: float
    low: float | None = None
    high: float | None = None
    sd: float | None = None


class UndefinedError(ValueError):
    """A metric has no value for this input, for instance with a single image. The message is the reason."""


@dataclass(frozen=True)
class Meaning:
    """How one metric is shown and judged.

    ``shown`` is its name, with its unit if it has one.
    ``better`` is ``lower``, ``higher`` or ``control``, where a difference to the control in either direction is worse.
    ``suspect`` names what makes a value suspicious: ``above`` or ``below``, a share that is so against its control by
    Fisher's exact test; ``c_t``, a z-score below 0; ``nearest``, a distance smaller than the tail of held-out images
    allows in a pool of its size; these three after Holm's correction over all of a study. ``any``, a share above 0;
    ``less_varied`` and ``less_different``, a mean over pairs above or below that of the control (``beyond_control``).
    ``says`` is what such a value means. ``whole`` makes it a share, shown in per cent: what all images together count
    in the data. ``decimals`` are those of other values, None for three significant digits.
    """

    shown: str
    better: str
    suspect: str = ""
    says: str = ""
    decimals: int | None = None
    whole: float | None = None

    @property
    def arrow(self) -> str:
        """Which way is better, as one sign."""
        return {LOWER: "↓", HIGHER: "↑", CONTROL: "≈"}[self.better]

    @property
    def axis(self) -> str:
        """The name with its unit and direction."""
        return f"{self.shown}{' (%)' if self.whole else ''} {self.arrow}"

    def scaled(self, value: float) -> float:
        """Return the value in the unit that is shown."""
        return 100 * value / self.whole if self.whole else value

    def text(self, value: float) -> str:
        """Return a value without its unit, an undefined one as an empty text. A share above 0 never reads 0."""
        if math.isnan(value):
            return ""
        value = self.scaled(value)
        if self.whole:
            text = f"{value:.1f}" if value >= 1 else f"{value:.2g}"
        elif self.decimals is not None:
            text = f"{round(value, self.decimals) + 0.0:.{self.decimals}f}"  # + 0.0: no negative zero
        else:
            text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
        return text.replace("-", "−")

    def sd_text(self, value: float) -> str:
        """Return a standard deviation without its unit, with two significant digits where no decimals are set."""
        known = self.decimals is not None or self.whole or math.isnan(value)
        return self.text(value) if known else f"{value:.2g}"

    def words(self, value: float) -> str:
        """Return a value with its unit."""
        return "undefined" if math.isnan(value) else self.text(value) + (" %" if self.whole else "")


@dataclass(frozen=True)
class Metric:
    """One metric. Its subclasses say what the formula is given, and what stands beside it as its control.

    ``formula`` returns a number or an Estimate of what is given, and raises UndefinedError where there is none; the
    control is the same call for other real images. ``family`` is one of FAMILIES, ``rank`` its place there in tables
    and figures, the lower the earlier, equal ones in the order of catalogue.py. ``references`` are the sets that it is
    measured against, one row each. ``lowest`` and ``highest`` are the ends of its range, None where it has none (or
    where rounding may pass it). ``remark`` returns what to know when reading the value, else an empty text.

    Metrics that count images within a threshold have a function ``threshold`` of the held-out images that set it, which
    are given in the place of the pool; the formula finds it in ``given.thresholds[name]``.
    Metrics of the nearest image have a function ``search`` that returns, per image, its distance to the nearest
    training image and the index of that: all held-out images are their control, whose smallest distances say how near
    an image may come by chance; images nearer than that are listed. ``planted`` returns of training images (as the
    pool is given) and a seed the distance that altered copies stay within.
    """

    name: str
    family: str
    formula: Callable[[Any], "float | Estimate"]
    meaning: Meaning
    rank: int = 9
    references: tuple[str, ...] = (TRAIN,)
    control: str = "held_out"
    lowest: float | None = None
    highest: float | None = None
    remark: Callable[[Any], str] | None = None
    threshold: Callable[[Any], float] | None = None
    search: Callable[[Any], tuple[np.ndarray, np.ndarray]] | None = None
    planted: Callable[[np.ndarray, int], float] | None = None

    def measured(self, given: Any) -> dict[str, Any]:
        """Return value, low, high and sd, or the reason why it is undefined; ``note`` where there is a remark."""
        found = estimated(self.formula, given)
        remark = self.remark(given) if self.remark and "value" in found else ""
        return found | ({"note": remark} if remark else {})

    def row_schema(self) -> dict[str, Any]:
        """Return the JSON schema of what is special to this metric's rows in the quality JSON."""
        bounds = {"minimum": self.lowest, "maximum": self.highest}
        return {
            "family": {"const": self.family},
            "reference": {"enum": list(self.references)},
            "control_is": {"enum": sorted({self.control, ""})},
            "value": {key: bound for key, bound in bounds.items() if bound is not None},
        }


@dataclass(frozen=True)
class OfSets(Metric):
    """Of a reference set and a pool in one feature space, given as a Meeting or as two parts of the originals.

    These (radsynth.quality.samples) have the same attributes: ``reference`` and ``candidate`` with ``features`` (n, d),
    their ``gaussian``, ``kernel``, and ``holding``, ``reached`` and ``covered`` of the k-th neighbours' balls. Control:
    random parts of the originals, of the comparison's sizes, without a patient in common.
    """

    references: tuple[str, ...] = (ALL, TRAIN, HELD_OUT)
    control: str = "real_real"


@dataclass(frozen=True)
class OfCopies(Metric):
    """Of a pool among the training images in one feature space, given as radsynth.quality.copies.Among."""


@dataclass(frozen=True)
class OfImages(Metric):
    """Of the images themselves, given as radsynth.quality.image_copies.Images."""


@dataclass(frozen=True)
class OfLogits(Metric):
    """Of the logits (n, classes) that an extractor gives beside its features; without reference and control."""

    references: tuple[str, ...] = (NONE,)
    control: str = ""


@dataclass(frozen=True)
class OfPairs(Metric):
    """Of random pairs of images, given as values (m,) and pairs (m, 2); the control are pairs of training images."""

    references: tuple[str, ...] = (NONE,)
    control: str = "real_pairs"


def estimated(compute: Callable, *arguments: Any) -> dict[str, Any]:
    """Return value, low, high and sd of what a metric gives, or, where it is undefined, the reason."""
    try:
        result = compute(*arguments)
    except UndefinedError as error:
        return {"reason": str(error)}
    estimate = result if isinstance(result, Estimate) else Estimate(result)
    return {key: None if number is None else float(number) for key, number in estimate._asdict().items()}


def measured(metrics: Iterable[Metric], give: Callable[[], Any]) -> Known:
    """Return what is known of the metrics of ``give()``; the same reason for all where that is undefined."""
    try:
        given = give()
    except UndefinedError as error:
        return {metric.name: {"reason": str(error)} for metric in metrics}
    return {metric.name: metric.measured(given) for metric in metrics}


def thresholds_of(metrics: Iterable[Metric], give: Callable[[], Any]) -> dict[str, float | None]:
    """Return the thresholds that held-out images, given by ``give()``, set; None where there are too few of them."""
    metrics = [metric for metric in metrics if metric.threshold]
    try:
        given = give()
    except UndefinedError:
        return {metric.name: None for metric in metrics}
    return {metric.name: estimated(metric.threshold, given).get("value") for metric in metrics}


EMPTY = {
    "family": "",
    "metric": "",
    "extractor": None,
    "preprocessing": None,
    "weights_sha256": None,
    "reference": "",
    "value": None,
    "low": None,
    "high": None,
    "sd": None,
    "reason": "",
    "note": "",
    "n_reference": None,
    "n_synthetic": None,
    "control": None,
    "control_sd": None,
    "control_is": "",
    "n_control_a": None,
    "n_control_b": None,
    "threshold": None,
    "tail_n": None,
    "tail_k": None,
    "tail_limit": None,
    "tail_excess": None,
    "planted": None,
}


def row(family: str, metric: str, **known: Any) -> dict[str, Any]:
    """Return a row of the quality JSON with every key; what is not given is null or empty.

    KeyError if a key is none of a row's.
    """
    unknown = known.keys() - EMPTY.keys()
    if unknown:
        raise KeyError(f"no keys of a quality row: {', '.join(sorted(unknown))}")
    return EMPTY | {"family": family, "metric": metric} | known


def checked(features: np.ndarray, minimum: int = 2) -> np.ndarray:
    """Return features (n, d) as float64; UndefinedError if n < ``minimum``, ValueError if not finite or not 2-d."""
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2:
        raise ValueError(f"features of shape {features.shape}, expected (n, d)")
    if len(features) < minimum:
        raise UndefinedError(f"needs at least {minimum} images on either side, found {len(features)}")
    if not np.isfinite(features).all():
        raise ValueError("features that are not finite")
    return features


def check_same_dim(a: np.ndarray, b: np.ndarray) -> None:
    """Raise ValueError unless both feature arrays, (n, d), have the same d."""
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features of {a.shape[1]} and {b.shape[1]} dimensions cannot be compared")


def any_image(images: Collection) -> None:
    """Raise UndefinedError if there are no images."""
    if not len(images):
        raise UndefinedError("no images")


def blocks(n: int, size: int) -> Iterator[slice]:
    """Yield slices of at most ``size`` that make up n."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
