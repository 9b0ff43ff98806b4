"""Intervals, tests and effect sizes: numbers in, numbers out."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special, stats

LEVEL = 0.95
TAIL = (1 + LEVEL) / 2
# Sign patterns that are tried at most.
PATTERNS = 100_000


def sign_flip(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the two-sided p-value of the sign-flip test of a zero mean, and the smallest one it can reach, 2 / 2^n.

    All 2^n sign patterns are enumerated up to n = 16 runs; beyond that 100,000 random ones stand for them, and the
    smallest is that of as many.
    """
    floor = max(2 / 2 ** len(differences), 2 / (PATTERNS + 1))
    test = stats.permutation_test(
        (np.asarray(differences),), np.mean, permutation_type="samples", n_resamples=PATTERNS, rng=seed
    )
    return float(test.pvalue), floor


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return the p-values adjusted by Holm's step-down method (1979); NaN stays NaN and counts for nothing."""
    p_values = np.asarray(p_values, float)
    adjusted = np.full(len(p_values), np.nan)
    order = [index for index in np.argsort(p_values) if not np.isnan(p_values[index])]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def effect_size(differences: np.ndarray) -> tuple[float | None, str]:
    """Return the standardised mean of paired differences and "", or None and the reason.

    Cohen's d_z (mean / SD of the differences) times Hedges' exact factor J(n - 1), which removes its bias in small
    samples (Hedges 1981, 10.3102/10769986006002107). J(1) is 0, so two runs give none.
    """
    n = len(differences)
    if n < 3:
        return None, f"{n} paired run{'s' * (n != 1)}, an effect size needs at least 3"
    if np.ptp(differences) < 1e-12:
        return None, "no effect size: all runs differ by the same amount"
    df = n - 1
    correction = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    return float(np.mean(differences) / np.std(differences, ddof=1) * correction), ""


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of independent values, from Student's t; at least two values."""
    half = stats.t.ppf(TAIL, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def delong(own: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Return the area under the ROC curve and its standard error (DeLong et al. 1988, 10.2307/2531595).

    ``own`` says which images belong to the positive label (n,), ``score`` is their probability of it; at least two
    images on either side, taken as independent. The placement of an image is the share of the other side that it is
    ranked right against, ties counting half; the variance is that of the two means of the placements.
    """
    ranks = stats.rankdata(score)
    n_own, n_rest = own.sum(), (~own).sum()
    above = (ranks[own] - stats.rankdata(score[own])) / n_rest
    below = 1 - (ranks[~own] - stats.rankdata(score[~own])) / n_own
    return float(above.mean()), math.sqrt(above.var(ddof=1) / n_own + below.var(ddof=1) / n_rest)


def interval(differences: np.ndarray, shifts: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences, from resampled runs and resampled patients.

    ``differences`` (runs,) are those of the runs, ``shifts`` (runs, draws) the same under resampled patients. Each
    level is resampled by itself and the deviations from the mean are added. Those of the runs are stretched by
    sqrt(n/(n-1)) t/z, which turns the SD with n into the one with n - 1 degrees of freedom and the normal into the t
    quantile (expanded percentile interval, Hesterberg 2015, 10.1080/00031305.2015.1089789): where runs differ much, a
    plain bootstrap of 2, 3, 5 runs covered .65, .76, .87, this one .95 each. Where the noise is only from image to
    image within a run, it counts on both levels and the interval is conservative (.99).
    """
    n = len(differences)
    shifts = shifts[:, ~np.isnan(shifts).any(axis=0)]
    stretch = math.sqrt(n / (n - 1)) * stats.t.ppf(TAIL, n - 1) / stats.norm.ppf(TAIL)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=shifts.shape[1])
    runs = stretch * (counts / n - 1 / n) @ differences
    patients = shifts.mean(axis=0) - shifts.mean()
    low, high = np.quantile(differences.mean() + runs + patients, [1 - TAIL, TAIL])
    return float(low), float(high)


def verdict(low: float | None, high: float | None) -> str:
    """Return ``helps``, ``hurts`` or, if the interval holds 0 or is unknown, ``undecided``."""
    if low is not None and low > 0:
        return "helps"
    return "hurts" if high is not None and high < 0 else "undecided"
