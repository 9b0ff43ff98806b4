"""What the numbers say, in words, about copies: whether the pools may be shared, and what speaks against it."""

import json
from typing import Any

import numpy as np
import pandas as pd

from radsynth.analysis.image_metrics import MEANINGS, POOL, distinct, of_family, share_p_value, suspicious
from radsynth.analysis.tidy import COHORT, WARNINGS, Metrics, place
from radsynth.common.shares import noticeable_share

# Signs of copies, of pools that only lie near to their training images, and of useless images.
COPIES = ["copy_rate", "view_copy_rate", "hash_copy_rate", "exact_copy_rate"]
NEARNESS = ["authpct", "c_t", "dcr_tail"]
REPEATS = ["duplicate_rate", "constant_rate"]
FOUND, FINE, UNKNOWN = "found", "fine", "unknown"


def checks(metrics: Metrics, family: str, names: list[str]) -> pd.DataFrame:
    """Return the rows of some metrics with ``state``: found (suspicious), fine, or unknown (no value, no control)."""
    rows = of_family(metrics["quality"], family)
    rows = rows[rows["metric"].isin(names)]
    states = {True: FOUND, False: FINE, None: UNKNOWN}
    return rows.assign(state=pd.Series([states[suspicious(row)] for _, row in rows.iterrows()], rows.index, dtype=str))


def copies_text(row: pd.Series | None) -> str:
    """Return a copy rate beside its control, in words."""
    if row is None:
        return "copy rate not measured"
    words = MEANINGS["copy_rate"].words
    control = "none held out" if np.isnan(row["control"]) else f"held-out real images {words(row['control'])}"
    return f"copy rate {words(row['value'])} ({control})"


def warned(metrics: Metrics) -> list[dict[str, Any]]:
    """Return the models of which every candidate copied (cohort, generator, label, warning)."""
    study = metrics["study"]
    found = study.loc[study["key"] == WARNINGS, "value"]
    return [model | {"label": model["unit"]} for value in found for model in json.loads(value)]


def headline(metrics: Metrics) -> str:
    """Return in how many pools there are signs of copies, by which metrics, and what else speaks against sharing."""
    rows = checks(metrics, "memorisation", COPIES)
    if rows.empty:
        return "no copy rate was measured"
    found, pools, missing = rows[rows["state"] == FOUND], _count(metrics["quality"]), len(unchecked(metrics))
    rest = f"; {missing} could not be checked" if missing else ""
    rest += f"; {len(models)} chosen from models that all copy" if (models := warned(metrics)) else ""
    near = checks(metrics, "memorisation", NEARNESS)
    near = near[near["state"] == FOUND]
    rest += f"; {len(near.drop_duplicates(POOL))} nearer to training images than held-out ones" if len(near) else ""
    if len(found):
        names = "; ".join(MEANINGS[metric].shown for metric in distinct(found["metric"]))
        return f"signs of copies in {len(found.drop_duplicates(POOL))} of {pools} ({names}){rest}"
    highest = rows[rows["metric"] == "copy_rate"].sort_values("value", ascending=False)
    return f"no sign of copies in {pools}{rest}" + (f"; highest {copies_text(highest.iloc[0])}" if len(highest) else "")


def sharing(metrics: Metrics) -> list[str]:
    """Return whether the pools may be shared, as far as the numbers tell, then what was found, and what was not."""
    if checks(metrics, "memorisation", COPIES).empty:
        return ["No copy rate was measured: nothing is known, so **do not share them**."]
    found = checks(metrics, "memorisation", COPIES + NEARNESS + REPEATS)
    found = found[found["state"] == FOUND]
    copies, near = (found["metric"].isin(names).any() for names in (COPIES, NEARNESS))
    missing, models = unchecked(metrics), warned(metrics)
    if copies:
        answer = (
            "**Not as they are.** More images of a pool come near to training images than of held-out real images: "
            "**do not share that pool** before its nearest training images have been looked at (in the report, under "
            "3 Synthetic images)."
        )
    elif len(missing):
        answer = "**Not known.** A pool could not be checked for copies: **do not share that pool**."
    elif near:
        answer = (
            "**Look first.** No copy rate is above its control, but a pool lies nearer to its training images than "
            "held-out real images do: look at its nearest training images in the report before you share it."
        )
    elif models:
        answer = (
            "**Look first.** No copy rate of a pool is above its control, but every model of a training that was to "
            "choose from copied: look at its nearest training images in the report before you share it."
        )
    else:
        answer = (
            "**Nothing found against it.** No pool comes nearer to its training images than held-out real images do. "
            "This is a necessary check, not a proof of privacy: the features may miss copies of a part of an image or "
            "of a patient's identity. Share with caution and within the terms of the training data."
        )
    lines = [answer, *([""] if len(found) or len(missing) or models else [])]
    for _, rows in found.groupby(POOL, sort=False):
        lines.append(f"- {_pool(rows.iloc[0])}: {'; '.join(_finding(row) for _, row in rows.iterrows())}.")
    lines += [f"- {_pool(row)}: not checked, {row['reason']}." for _, row in missing.iterrows()]
    lines += [f"- {_pool(pd.Series(model))}, the choice of its model: {model['warning']}." for model in models]
    if len(found):
        lines += ["", "What that means:\n"]
        lines += [f"- {MEANINGS[metric].shown}: {MEANINGS[metric].says}." for metric in distinct(found["metric"])]
    if near:
        lines.append(
            "- AuthPct, C_T and DCR tail also call smooth images near, since an average lies close to everything. The "
            "copy rates are relative to the surroundings of a training image and do not."
        )
    return [*lines, "", "What else was checked:\n", *_rest(metrics)]


def unchecked(metrics: Metrics) -> pd.DataFrame:
    """Return the pools that no copy rate judges, one line each with the ``reason``."""
    pools = metrics["quality"].drop_duplicates(POOL)[POOL]
    rates = checks(metrics, "memorisation", ["copy_rate"])
    judged = set(map(tuple, rates.loc[rates["state"] != UNKNOWN, POOL].values))
    lines = []
    for pool in map(tuple, pools.values):
        if pool not in judged:
            rows = rates[(rates[POOL] == list(pool)).all(axis=1)]
            measured = "no held-out real images to compare with" if len(rows) else "no copy rate was measured"
            lines.append([*pool, next(filter(None, rows["reason"]), measured)])
    return pd.DataFrame(lines, columns=[*POOL, "reason"])


def _pool(row: pd.Series) -> str:
    return f"**{row['generator']} {row['label']}** ({place(row[COHORT])})"


def _finding(row: pd.Series) -> str:
    meaning = MEANINGS[row["metric"]]
    text = f"{named(row['metric'], row['features'])} {meaning.words(row['value'])}"
    if np.isnan(row["control"]):
        return text
    text += f" against {meaning.words(row['control'])}"
    below = meaning.suspect == "below"
    return text + (f" (p = {share_p_value(row, below):.2g})" if below or meaning.suspect == "above" else "")


def named(metric: str, features: str) -> str:
    """Return a metric with the features it was measured in."""
    return MEANINGS[metric].shown + ("" if features == "images" else f" in {features}")


def _count(rows: pd.DataFrame) -> str:
    n = len(rows.drop_duplicates(POOL))
    return f"{n} pool{'s' * (n != 1)}"


def _power(rows: pd.DataFrame) -> list[str]:
    """Return how large a copy rate must be to stand out, for the pool where it must be largest."""
    least = [noticeable_share(row["n_synthetic"], row["control"], row["n_control_a"]) for _, row in rows.iterrows()]
    if not least:
        return []
    worst = rows.iloc[int(np.argmax(least))]
    against = f"against {worst['n_control_a']:.0f} held-out images, in {worst['generator']} {worst['label']}"
    if np.isinf(max(least)):
        return [f"- **No copy rate at all could have stood out** {against}: they are too few."]
    return [f"- A copy rate of less than {100 * max(least):.3g} % could have gone unnoticed {against}."]


def _rest(metrics: Metrics) -> list[str]:
    """Return what was measured without finding anything, what is undefined, and what chance alone would find."""
    rows = checks(metrics, "memorisation", COPIES + NEARNESS + REPEATS)
    fine = [
        named(*names)
        for names, part in rows.groupby(["metric", "features"], sort=False)
        if set(part["state"]) == {FINE}
    ]
    lines = [f"- Nothing found in any pool by {', '.join(fine)}."] if fine else []
    lines += _power(rows[(rows["metric"] == "copy_rate") & (rows["state"] == FINE)])
    undefined = rows[rows["value"].isna() & (rows["metric"] != "copy_rate")]
    for (metric, features, reason), part in undefined.groupby(["metric", "features", "reason"], sort=False):
        lines.append(f"- {named(metric, features)} is undefined ({_count(part)}): {reason}.")
    tested = rows["metric"].map(lambda metric: MEANINGS[metric].suspect in ("above", "below"))
    n = int((tested & (rows["state"] != UNKNOWN)).sum())
    lines.append(
        "- Each value stands against that of held-out real images. Shares are compared by Fisher's exact test at "
        f"p < 0.05 without a correction: of these {n} comparisons about {0.05 * n:.1f} would stand out by chance alone."
    )
    return lines
