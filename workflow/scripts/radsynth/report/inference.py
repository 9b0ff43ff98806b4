"""Intervals, tests and effect sizes: numbers in, numbers out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

LEVEL = 0.95
ALPHA = 1 - LEVEL
TAIL = (1 + LEVEL) / 2
# With fewer runs than this their spread is known too badly for Satterthwaite's degrees of freedom.
FEW_RUNS = 4


@dataclass(frozen=True)
class Estimate:
    """A mean difference: its standard error, degrees of freedom, 95 % interval and two-sided p-value."""

    standard_error: float
    df: float
    low: float
    high: float
    p_value: float


def crossed_model(values: np.ndarray, mean: float | None = None, span: float = 1.0) -> Estimate | None:
    """Return what is known of the mean of paired differences of which all runs saw the same patients.

    ``values`` (runs, patients), at least 2 of either: the difference of each patient in each run, or the jackknife
    pseudo-values of a metric's difference; ``mean`` is the estimate they belong to, their own mean if not given.
    Runs and patients are two crossed random factors without replication: the statement is one about new runs *and*
    new patients. Runs that share their test patients are not independent for it, so a test over runs alone errs.

    With the mean squares of runs, patients and the rest, the variance of the mean is estimated as
    max(MS_run, MS_patient, MS_run + MS_patient - MS_rest) / (runs x patients); the first two are what is left where
    one factor carries next to no variance. The t distribution has the degrees of freedom of the largest part, of the
    sum those of Satterthwaite (1946, 10.2307/3002019). With fewer than 4 runs it has runs - 1, which costs nearly all
    power but holds the level. Type I errors measured at a nominal 5 %: at most 7 % for 2 to 10 runs, 8 to 600
    patients (tests/unit/test_report_calibration.py). The interval is cut at ``-span`` and ``span``, the range of a
    difference, 1 of shares. Where no patient differs in any run, it goes to the share of patients that may differ
    nevertheless: if more than 1 - .05^(1 / patients) did, one would be among these in 95 of 100 cases. None where all
    differences are equal but not zero, or nothing bounds them: nothing can be said from no spread at all.
    """
    n_runs, n_patients = values.shape
    centre = values.mean()
    runs, patients = values.mean(axis=1), values.mean(axis=0)
    of_runs = n_patients * runs.var(ddof=1)
    of_patients = n_runs * patients.var(ddof=1)
    rest = ((values - runs[:, None] - patients + centre) ** 2).sum() / ((n_runs - 1) * (n_patients - 1))
    both = of_runs + of_patients - rest
    parts = {
        of_runs: n_runs - 1,
        of_patients: n_patients - 1,
        both: both**2
        / max(
            of_runs**2 / (n_runs - 1) + of_patients**2 / (n_patients - 1) + rest**2 / ((n_runs - 1) * (n_patients - 1)),
            np.finfo(float).tiny,
        ),
    }
    largest = max(parts)
    mean = float(centre) if mean is None else mean
    error = math.sqrt(largest / values.size)
    df = float(n_runs - 1 if n_runs < FEW_RUNS else parts[largest])
    if error <= 1e-12:
        if abs(mean) > 1e-12 or math.isinf(span):
            return None
        df = n_runs - 1.0
        error = span * (1 - ALPHA ** (1 / n_patients)) / float(special.stdtrit(df, TAIL))
    # Those of stats.t, the same bits in a fraction of the time.
    half = float(special.stdtrit(df, TAIL)) * error
    p_value = 2 * float(special.stdtr(df, -abs(mean) / error))
    return Estimate(error, df, max(-span, mean - half), min(span, mean + half), p_value)


def detectable(estimate: Estimate, n_comparisons: int, span: float = 1.0) -> float:
    """Return the smallest difference that could have been decided among so many comparisons (first step of Holm's)."""
    return min(span, estimate.standard_error * float(stats.t.ppf(1 - ALPHA / 2 / n_comparisons, estimate.df)))


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


def student(values: np.ndarray, span: float = 1.0) -> Estimate | None:
    """Return what Student's t says of the mean of independent values, at least two; None without any spread."""
    n = len(values)
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(n)
    if error <= 1e-12:
        return None
    half = float(stats.t.ppf(TAIL, n - 1)) * error
    p_value = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
    return Estimate(error, n - 1, max(-span, mean - half), min(span, mean + half), p_value)


def mcnemar(right: np.ndarray, other: np.ndarray) -> tuple[int, int, float]:
    """Return how many images (n,) one model alone gets right, how many the other alone, and the exact p-value.

    The binomial form of McNemar's test (1947, 10.1007/BF02295996); 1 if the models never differ. It is about these two
    trained models, and takes the images as independent.
    """
    ours, theirs = int((right & ~other).sum()), int((~right & other).sum())
    return ours, theirs, float(stats.binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0


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
