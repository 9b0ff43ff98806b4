"""Are a classifier's probabilities as large as the frequencies? Numbers in, numbers out."""

import numpy as np
from scipy import optimize, special

BINS = 10
CLIP = 1e-6


def brier(true: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the Brier score of probabilities (n, labels) against label indices (n,), at least one image.

    Two labels: the mean of (p - y)^2 of either label, from 0 to 1. More labels: the sum of it over the labels, as Brier
    defined it (1950, Monthly Weather Review 78:1), from 0 to 2.
    """
    return float(squared_errors(true, probabilities).mean())


def squared_errors(true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return what every image adds to the Brier score (n,)."""
    errors = ((probabilities - np.eye(probabilities.shape[1])[true]) ** 2).sum(axis=1)
    return errors / 2 if probabilities.shape[1] == 2 else errors


def expected_calibration_error(event: np.ndarray, probability: np.ndarray) -> float:
    """Return the mean distance between probability and frequency, over bins of equally many images.

    ``event`` says what came true (n,), ``probability`` how likely it was said to be; at least one image. There are 10
    bins in the order of the probability, or one per image if there are fewer; equally filled bins are less biased than
    equally wide ones (Nixon et al. 2019, arXiv 1904.01685; Roelofs et al. 2022, arXiv 2012.08668). Images of the same
    probability share their outcomes, so that their order in the table does not matter. Even of a perfectly calibrated
    classifier the value is above 0, the more so the fewer the images.
    """
    levels, level, count = np.unique(probability, return_inverse=True, return_counts=True)
    frequency = (np.bincount(level, weights=event) / count)[np.sort(level)]
    gaps = levels[np.sort(level)] - frequency
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, min(BINS, len(gaps)))) / len(gaps))


def calibration_line(event: np.ndarray, probability: np.ndarray) -> dict[str, float | str]:
    """Return ``calibration_slope`` and ``calibration_intercept`` of probabilities of a binary event; or why not.

    The slope is that of the logistic regression of ``event`` (n,) on the logit of its ``probability`` (Cox 1958); 1 is
    right, less means probabilities too near to 0 and 1. The intercept is that of the regression whose slope is kept
    at 1, calibration in the large: 0 is right, more means probabilities too small (van Calster et al. 2019,
    10.1186/s12916-019-1466-7). Probabilities are kept 1e-6 away from 0 and 1. An undefined value is its reason: both
    where the event always or never happens, the slope also where a threshold separates the outcomes, ties at it or
    not, since the regression has no finite one.
    """
    event = np.asarray(event, bool)
    if event.all() or not event.any():
        return dict.fromkeys(
            ("calibration_slope", "calibration_intercept"), "only one of the two labels occurs in the test set"
        )
    logit = special.logit(np.clip(np.asarray(probability, float), CLIP, 1 - CLIP))

    def surplus(shift: float) -> float:
        return special.expit(logit + shift).sum() - event.sum()

    return {"calibration_slope": _slope(event, logit), "calibration_intercept": optimize.brentq(surplus, -60, 60)}


def _slope(event: np.ndarray, logit: np.ndarray) -> float | str:
    yes, no = logit[event], logit[~event]
    if no.max() <= yes.min() or yes.max() <= no.min():
        return "a threshold separates the labels, so no slope is finite"
    scale = logit.std()
    design = np.stack([np.ones(len(logit)), (logit - logit.mean()) / scale], axis=1)

    def loss(line: np.ndarray) -> float:
        value = design @ line
        return np.logaddexp(0, np.where(event, -value, value)).sum()

    def gradient(line: np.ndarray) -> np.ndarray:
        return design.T @ (special.expit(design @ line) - event)

    def curvature(line: np.ndarray) -> np.ndarray:
        share = special.expit(design @ line)
        return (design.T * (share * (1 - share))) @ design

    fit = optimize.minimize(
        loss, np.zeros(2), method="trust-exact", jac=gradient, hess=curvature, options={"gtol": 1e-8}
    )
    return float(fit.x[1] / scale)
