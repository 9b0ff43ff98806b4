"""The metrics of the synthetic images: what each is called, which way is better, and when a value is suspicious."""

import json
import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.stats import norm

from radsynth.common.shares import excess_p_value
from radsynth.common.tails import LowerTail
from radsynth.quality.catalogue import in_shown_order
from radsynth.quality.metric import CONTROL, HIGHER, LOWER
from radsynth.report.inference import ALPHA, holm
from radsynth.report.tidy import COHORT, Metrics, labels_in_order

# C_T is a z-score: beyond three standard errors it is not chance (Meehan et al. 2020, 2004.05675).
C_T_LIMIT = -3.0
Z = 1.959964  # 97.5 % quantile of the normal distribution
POOL = [*COHORT, "generator", "label"]


MEANINGS = {metric.name: metric.meaning for metric in in_shown_order()}


def distinct(names: Iterable[str]) -> list[str]:
    """Return distinct names in order of appearance."""
    return list(dict.fromkeys(names))


def features_name(extractor: str, preprocessing: str) -> str:
    """Return ``extractor (preprocessing)``; one of them alone where there is no other, ``images`` for neither."""
    name = json.loads(preprocessing)["name"] if preprocessing else ""
    return f"{extractor} ({name})" if extractor and name else extractor or name or "images"


def of_family(metrics: Metrics, *families: str) -> pd.DataFrame:
    """Return the rows of quality.csv of families in the order of MEANINGS, those of one class and sampling together.

    Classes stand in the order of the study's labels, even if the first generator makes images of the last class alone.

    Two columns are added: ``features`` names extractor and preprocessing, ``space`` is the same, but empty for metrics
    that need no extractor: they are measured on the images themselves, each after a preprocessing of its own, which is
    called ``images`` where it has but the metric's name.
    """
    quality = metrics["quality"]
    rows = quality[quality["family"].isin(families)]
    features = pd.Series(map(features_name, rows["extractor"], rows["preprocessing"]), rows.index, dtype=str)
    features = features.where(features != rows["metric"], "images")
    rows = rows.assign(features=features, space=features.where(rows["extractor"] != "", ""))
    rows = _ordered(rows, "generator", distinct(quality["generator"]))
    rows = _ordered(rows, "label", labels_in_order(metrics, quality["label"]))
    rows = _ordered(rows, "sampling", distinct(quality["sampling"]))
    return _ordered(rows, "metric", list(MEANINGS))


def _ordered(rows: pd.DataFrame, column: str, names: list[str]) -> pd.DataFrame:
    return rows.sort_values(column, key=lambda values: values.map(names.index), kind="stable")


def main_reference(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows against all originals, as the paper compares; those of the first reference where none are."""
    reference = "all" if (rows["reference"] == "all").any() else next(iter(rows["reference"]), "")
    return rows[rows["reference"] == reference]


def copy_rates(metrics: Metrics) -> dict[tuple[str, ...], pd.Series]:
    """Return the rows of the copy rate by pool and features; it stands beside every distance in these features."""
    rows = of_family(metrics, "memorisation")
    rows = rows[rows["metric"] == "copy_rate"]
    return {(*row[POOL], row["features"]): row for _, row in rows.iterrows()}


def share_p_value(row: pd.Series, below: bool) -> float:
    """Return the p-value of Fisher's exact test that a share lies above, or below, its control."""
    whole = MEANINGS[row["metric"]].whole
    value, control = row["value"] / whole, row["control"] / whole
    value, control = (1 - value, 1 - control) if below else (value, control)
    return excess_p_value(value, row["n_synthetic"], control, row["n_control_a"])


def tail_of(row: pd.Series) -> LowerTail | None:
    """Return the tail that a nearest image is judged by; None where it is not calibrated."""
    if math.isnan(row["tail_n"]):
        return None
    return LowerTail(int(row["tail_n"]), int(row["tail_k"]), row["tail_limit"], row["tail_excess"])


def p_value(row: pd.Series) -> float:
    """Return the p-value of what would make a value suspicious; NaN where nothing is tested or something is undefined.

    It holds for one metric of one pool. That of a nearest image is the chance of a held-out image to come as near,
    times the images of the pool.
    """
    suspect = MEANINGS[row["metric"]].suspect
    if math.isnan(row["value"]):
        return math.nan
    if suspect == "c_t":
        return float(norm.cdf(row["value"]))
    if suspect == "nearest":
        tail = tail_of(row)
        return math.nan if tail is None else min(1.0, row["n_synthetic"] * float(tail.chances([row["value"]])[0]))
    if suspect not in ("above", "below") or math.isnan(row["control"]):
        return math.nan
    return share_p_value(row, suspect == "below")


def judged(quality: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with ``p_value``, ``n_comparisons`` and, after Holm's correction over all of them, ``p_holm``.

    One family for all pools and metrics of the study: where nothing was copied, at most one study in twenty says so.
    """
    p_values = pd.Series([p_value(row) for _, row in quality.iterrows()], quality.index, dtype=float)
    n = p_values.notna().sum()
    return quality.assign(
        p_value=p_values, n_comparisons=np.where(p_values.notna(), n, np.nan), p_holm=holm(p_values.to_numpy())
    )


def corrected(p_values: pd.Series, index: int, p_value: float) -> float:
    """Return a p-value after Holm's correction where it stands at ``index`` among those of the study."""
    return float(holm(p_values.where(p_values.index != index, p_value).to_numpy())[p_values.index.get_loc(index)])


def suspicious(row: pd.Series) -> bool | None:
    """Return whether a value calls for a look at the images; None where it or its control is undefined."""
    suspect, value, control = MEANINGS[row["metric"]].suspect, row["value"], row["control"]
    if not suspect:
        return False
    if math.isnan(value):
        return None
    if suspect == "any":
        return bool(value > 0)
    if suspect in ("less_varied", "less_different"):
        return None if math.isnan(control) else beyond_control(row) and (value > control) == (suspect == "less_varied")
    return None if math.isnan(row["p_holm"]) else bool(row["p_holm"] < ALPHA)


def beyond_control(row: pd.Series) -> bool:
    """Return whether a value with a 95 % interval differs from its control by more than both of them vary.

    A control of ``real_pairs`` is itself a mean over random pairs, with control_sd / sqrt(n_control_a) as its standard
    error: the interval of the difference adds both in quadrature. Of other controls nothing is known but the value.
    """
    value, control = row["value"], row["control"]
    own = value - row["low"] if value > control else row["high"] - value
    of_pairs = row["control_is"] == "real_pairs" and not math.isnan(row["control_sd"])
    error = row["control_sd"] / math.sqrt(row["n_control_a"]) if of_pairs else 0.0
    return bool(abs(value - control) > math.hypot(own, Z * error))


def told_apart(row: pd.Series) -> bool:
    """Return whether value and control, both defined, differ by more than chance, as far as their spread is known.

    Shares by Fisher's exact test (p < 0.05, on either side), C_T by three standard errors, distances and the like by
    two SDs of real against real, nearest images by their tail, others by ``beyond_control``; without any of these every
    difference counts, and so does a single exact copy or the like more than there are in the control. A FID below a
    control of smaller samples is not told apart: fewer images alone make a FID larger.
    """
    meaning, value, control = MEANINGS[row["metric"]], row["value"], row["control"]
    if meaning.suspect == "any" and value > control:
        return True
    if meaning.suspect == "nearest":
        return row["p_value"] < ALPHA
    if meaning.suspect == "c_t":
        return abs(value - control) > abs(C_T_LIMIT)
    if meaning.whole and not math.isnan(row["n_control_a"]):
        return min(share_p_value(row, below) for below in (False, True)) < 0.025
    smaller = row["n_control_a"] < row["n_reference"] or row["n_control_b"] < row["n_synthetic"]
    if row["metric"] == "fid" and smaller and value < control:
        return False
    if row["control_is"] == "real_real" and not math.isnan(row["control_sd"]):
        return abs(value - control) > 2 * row["control_sd"]
    if not math.isnan(row["low"]) and not math.isnan(row["high"]):
        return beyond_control(row)
    return value != control


def goodness(row: pd.Series) -> float:
    """Return how much better (to 1) or worse (to -1) than its control a value is; NaN where one is undefined.

    The difference as a share of both, (value - control) / (|value| + |control|), with the sign of the better direction;
    0 where they cannot be told apart.
    """
    value, control = row["value"], row["control"]
    if math.isnan(value) or math.isnan(control):
        return math.nan
    if not told_apart(row):
        return 0.0
    share = (value - control) / (abs(value) + abs(control))
    return {LOWER: -share, HIGHER: share, CONTROL: -abs(share)}[MEANINGS[row["metric"]].better]
