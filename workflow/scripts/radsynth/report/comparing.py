"""Two sets of results side by side: what their configurations and their metrics differ in."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsynth.report.inference import LEVEL
from radsynth.report.names import metric_names
from radsynth.report.outcomes import ARM as VERDICT_OF
from radsynth.report.outcomes import is_headline, outcomes
from radsynth.report.render import Columns, Table, limits, mean_sd, number, section, signed
from radsynth.report.tidy import COHORT, TESTED, Metrics, on_real_images, place

ARM = [*TESTED, "mix", "classifier", "metric"]
POOL = [*COHORT, "generator", "label", "metric", "extractor", "reference"]
ONE_SIDE = "only in {}"


def config_rows(a: Mapping[str, Any], b: Mapping[str, Any]) -> pd.DataFrame:
    """Return ``key`` (dotted), ``a``, ``b`` (JSON, empty where the key is missing) of all values that differ."""
    flat_a, flat_b = _flat(a), _flat(b)
    keys = [key for key in dict.fromkeys([*flat_a, *flat_b]) if flat_a.get(key) != flat_b.get(key)]
    rows = [{"key": key, "a": flat_a.get(key, ""), "b": flat_b.get(key, "")} for key in keys]
    return pd.DataFrame(rows, columns=["key", "a", "b"])


def _flat(value: Any, key: str = "") -> dict[str, str]:
    if isinstance(value, Mapping) and value:
        parts = [_flat(part, f"{key}.{name}" if key else str(name)) for name, part in value.items()]
        return {name: text for part in parts for name, text in part.items()}
    return {key: json.dumps(value)}


def _welch(a: np.ndarray, b: np.ndarray) -> tuple[float, float, str]:
    """Return the 95 % interval of mean(b) - mean(a) of independent runs (Welch 1947) and "", or NaN and the reason."""
    if min(len(a), len(b)) < 2:
        return math.nan, math.nan, "needs at least 2 runs on either side"
    if np.ptp(a) == np.ptp(b) == 0:
        return math.nan, math.nan, "runs without any spread"
    low, high = stats.ttest_ind(b, a, equal_var=False).confidence_interval(LEVEL)
    return float(low), float(high), ""


def classification_rows(a: Metrics, b: Metrics) -> pd.DataFrame:
    """Return the classification metrics on real images of both results and their difference, b - a.

    A run's value is the mean over its test sets. Columns: those of ARM, ``n_a``, ``mean_a``, ``sd_a``, the same of b,
    ``difference``, ``low``, ``high`` (95 %, runs of the two results taken as independent), ``reason``.
    """
    sides = [_runs(metrics) for metrics in (a, b)]
    rows = []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        values = [side.get(key, np.empty(0)) for side in sides]
        row = dict(zip(ARM, key, strict=True))
        for name, runs in zip("ab", values, strict=True):
            row[f"n_{name}"] = len(runs)
            row[f"mean_{name}"] = runs.mean() if len(runs) else math.nan
            row[f"sd_{name}"] = runs.std(ddof=1) if len(runs) > 1 else math.nan
        row["difference"] = row["mean_b"] - row["mean_a"]
        if math.isnan(row["difference"]):
            low = high = math.nan
            reason = ONE_SIDE.format("b" if not len(values[0]) else "a")
        else:
            low, high, reason = _welch(*values)
        rows.append(row | {"low": low, "high": high, "reason": reason})
    sides_columns = [f"{figure}_{name}" for name in "ab" for figure in ("n", "mean", "sd")]
    return pd.DataFrame(rows, columns=[*ARM, *sides_columns, "difference", "low", "high", "reason"])


def _runs(metrics: Metrics) -> dict[tuple[str, ...], np.ndarray]:
    table = on_real_images(metrics["classification"])
    runs = table.groupby([*ARM, "run"], sort=False)["value"].agg(lambda values: values.mean(skipna=False)).dropna()
    return {key: group.to_numpy() for key, group in runs.groupby(level=ARM, sort=False)}


def quality_rows(a: Metrics, b: Metrics) -> pd.DataFrame:
    """Return the metrics of the pools of both results and their difference, b - a.

    The 95 % interval of the difference takes those of both values as independent and normal; it is empty where one
    of them has none. Columns: those of POOL, ``a``, ``b``, ``difference``, ``low``, ``high``, ``reason``.
    """
    columns = ["value", "low", "high"]
    both = _side_by_side(*(metrics["quality"].drop_duplicates(POOL)[[*POOL, *columns]] for metrics in (a, b)), POOL)
    difference = both["value_b"] - both["value_a"]
    half = np.hypot(*((both[f"high_{name}"] - both[f"low_{name}"]) / 2 for name in "ab"))
    reason = pd.Series("", index=both.index)
    reason[half.isna()] = "a value without an interval"
    for name in "ab":
        reason[both[f"value_{name}"].isna()] = f"none in {name}"
    rows = {"a": both["value_a"], "b": both["value_b"], "difference": difference}
    rows |= {"low": difference - half, "high": difference + half, "reason": reason}
    return pd.concat([both[POOL], pd.DataFrame(rows)], axis=1)


def _side_by_side(a: pd.DataFrame, b: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return the rows of both by ``keys``, in the order of a, then what b alone has: an outer merge would sort them."""
    both = pd.concat([a[keys], b[keys]]).drop_duplicates()
    return both.merge(a, how="left", on=keys).merge(b, how="left", on=keys, suffixes=("_a", "_b"))


def verdict_rows(a: Metrics, b: Metrics) -> pd.DataFrame:
    """Return what both results say of every mix of real and synthetic images: does it help?

    Columns: those of VERDICT_OF, ``headline`` (``true`` if it is the headline metric of either), then of both sides the
    verdict, its corrected p-value and the differences to the baseline and to the matched control.
    """
    figures = ["verdict", "p_holm", "baseline_difference", "control_difference"]
    sides = (outcomes(metrics)[[*VERDICT_OF, *figures, "headline"]] for metrics in (a, b))
    both = _side_by_side(*sides, VERDICT_OF)
    headline = [True in pair for pair in zip(both.pop("headline_a"), both.pop("headline_b"), strict=True)]
    for here, there in ("ab", "ba"):
        both[f"verdict_{here}"] = both[f"verdict_{here}"].fillna(ONE_SIDE.format(there))
    both.insert(len(VERDICT_OF), "headline", headline)
    return both


SHOWN = ("accuracy", "f1_weighted", "roc_auc", "pr_auc")
CONFIG: Columns = {"key": lambda row: row["key"], "a": lambda row: row["a"], "b": lambda row: row["b"]}
NAMED: Columns = {name: lambda row, name=name: row[name] for name in ("tested_on", "mix", "classifier")}
NAMED["metric"] = lambda row: row["shown"]
ARMS: Columns = NAMED | {
    "a": lambda row: _runs_text(row, "a"),
    "b": lambda row: _runs_text(row, "b"),
    "b − a": lambda row: signed(row["difference"]),
    "95 % interval": lambda row: limits(row["low"], row["high"], signed) or row["reason"],
}
VERDICTS: Columns = NAMED | {
    "a says": lambda row: row["verdict_a"],
    "b says": lambda row: row["verdict_b"],
    "a: to baseline / control": lambda row: _differences_text(row, "a"),
    "b: to baseline / control": lambda row: _differences_text(row, "b"),
}
POOLS: Columns = {name: lambda row, name=name: row[name] for name in POOL[3:]} | {
    "a": lambda row: number(row["a"]),
    "b": lambda row: number(row["b"]),
    "b − a": lambda row: number(row["difference"]),
    "95 % interval": lambda row: limits(row["low"], row["high"], number) or row["reason"],
}


def _runs_text(row: pd.Series, name: str) -> str:
    return f"{mean_sd(row[f'mean_{name}'], row[f'sd_{name}'])} ({row[f'n_{name}']:.0f})" if row[f"n_{name}"] else ""


def _differences_text(row: pd.Series, side: str) -> str:
    found = [signed(row[f"{reference}_difference_{side}"]) for reference in ("baseline", "control")]
    return " / ".join(text or "none" for text in found) if any(found) else ""


def compare(
    a: tuple[Metrics, Mapping[str, Any]], b: tuple[Metrics, Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Table]:
    """Return what differs between two results, each its metrics and its configuration.

    The tables ``configuration``, ``verdicts``, ``classification`` and ``images`` hold all rows; their sections, made to
    be read, show the verdicts in the headline metric and in accuracy, and the classification metrics of SHOWN alone.
    """
    names_of = metric_names(b[0]) | metric_names(a[0])
    config, arms, pools = config_rows(a[1], b[1]), classification_rows(a[0], b[0]), quality_rows(a[0], b[0])
    sides = f"a is {names[0]}, b is {names[1]}."
    note = f"{sides} Values of the resolved configurations that differ, as JSON; empty where one has no such key."
    if config.empty:
        note = f"{sides} The resolved configurations of the two are the same."
    config_sections = [section("Configuration", config, CONFIG, note, 3)]
    note = (
        f"{sides} Mean ± SD (runs), each run the mean over its test sets. The interval (Welch) takes the runs of the "
        "two as independent; it does not cover another draw of the cohort or another training of a generator."
    )
    read = arms["metric"].isin(SHOWN) | is_headline(arms, a[0]) | is_headline(arms, b[0])
    shown = arms[read].assign(shown=lambda rows: rows["metric"].map(names_of))
    arm_sections = [
        section(f"Classification: {place(cohort)}", rows, ARMS, note, 4)
        for cohort, rows in shown.groupby(COHORT, sort=False)
    ]
    verdicts = verdict_rows(a[0], b[0])
    read = verdicts[verdicts["headline"] | (verdicts["metric"] == "accuracy")]
    read = read.assign(shown=read["metric"].map(names_of))
    note = f"{sides} Each verdict is that of its own study, after its own correction; differences as there."
    verdict_sections = [
        section(f"Does it help? {place(cohort)}", rows, VERDICTS, note, 6)
        for cohort, rows in read.groupby(COHORT, sort=False)
    ]
    note = f"{sides} The interval takes those of the two values as independent."
    pool_sections = [
        section(f"Images: {place(cohort)}", rows, POOLS, note, 5) for cohort, rows in pools.groupby(COHORT, sort=False)
    ]
    return {
        "configuration": ("Configurations", config, config_sections),
        "verdicts": ("Verdicts", verdicts, verdict_sections),
        "classification": ("Classification", arms, arm_sections),
        "images": ("Synthetic images", pools, pool_sections),
    }
