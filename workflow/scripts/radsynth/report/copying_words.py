"""What the numbers say, in words, about copies: whether the pools may be shared, and what speaks against it."""

import json
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.shares import noticeable_share
from radsynth.quality.copies import THRESHOLD_QUANTILE
from radsynth.report.image_metrics import MEANINGS, POOL, distinct, of_family, suspicious, tail_of
from radsynth.report.inference import ALPHA
from radsynth.report.render import plain
from radsynth.report.tidy import COHORT, WARNINGS, Metrics, place

# Signs of copies, of pools that only lie near to their training images, and of useless images.
SINGLE = ["nearest_copy", "view_nearest_copy"]
COPIES = [*SINGLE, "copy_rate", "view_copy_rate", "hash_copy_rate", "exact_copy_rate"]
NEARNESS = ["authpct", "c_t", "dcr_tail"]
REPEATS = ["duplicate_rate", "constant_rate"]
FOUND, FINE, UNKNOWN = "found", "fine", "unknown"
LISTED = 10  # suspects of a pool that the summary names
# A copy rate up to this may go unnoticed in a pool that nothing was found against.
LARGEST = 0.05
MANY = 10**6  # held-out images that no study has


def checks(metrics: Metrics, family: str, names: list[str]) -> pd.DataFrame:
    """Return the rows of some metrics with ``state``: found (suspicious), fine, or unknown (no value, no control)."""
    rows = of_family(metrics, family)
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
    models = [model for value in found for model in json.loads(value)]
    return [{key: plain(text) for key, text in (model | {"label": model["unit"]}).items()} for model in models]


def headline(metrics: Metrics) -> str:
    """Return in how many pools there are signs of copies, by which metrics, and what else speaks against sharing."""
    rows = checks(metrics, "memorisation", COPIES)
    if rows.empty:
        return "no copy rate was measured"
    found, pools, missing = rows[rows["state"] == FOUND], _count(metrics["quality"]), len(unchecked(metrics))
    rest = f"; {missing} not checked well enough to say so" if missing else ""
    rest += f"; {len(models)} chosen from models that all copy" if (models := warned(metrics)) else ""
    near = checks(metrics, "memorisation", NEARNESS)
    near = near[near["state"] == FOUND]
    rest += f"; {len(near.drop_duplicates(POOL))} nearer to training images than held-out ones" if len(near) else ""
    if len(found):
        names = "; ".join(MEANINGS[metric].shown for metric in distinct(found["metric"]))
        return f"signs of copies in {len(found.drop_duplicates(POOL))} of {pools} ({names}){rest}"
    highest = rows[rows["metric"] == "copy_rate"].sort_values("value", ascending=False)
    return f"no sign of copies in {pools}{rest}" + (f"; highest {copies_text(highest.iloc[0])}" if len(highest) else "")


def sentences(metrics: Metrics) -> list[str]:
    """Return the section of the summary."""
    return ["\n## Can they be shared?\n", *sharing(metrics)]


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
            "**Not as they are.** There are signs of copies of training images: **do not share that pool** before its "
            "nearest training images have been looked at (`suspects.png`, and `neighbours.png` beside each pool)."
        )
    elif len(missing):
        answer = (
            "**Not known.** No sign of copies was found, but these data could not have shown all of them: **do not "
            "share a pool named here**."
        )
    elif near:
        answer = (
            "**Look first.** There is no sign of single copies, but a pool lies nearer to its training images than "
            "held-out real images do: look at `neighbours.png` beside its images before you share it."
        )
    elif models:
        answer = (
            "**Look first.** There is no sign of copies in a pool, but every model of a training that was to "
            "choose from copied: look at `neighbours.png` beside its images before you share it."
        )
    else:
        answer = (
            "**Nothing found against it.** Judged by held-out real images, no image is nearer to a training image, and "
            "no pool nearer to its training images, than chance allows. This is a necessary check, not a proof of "
            "privacy: it may miss copies of a part of an image or of a patient's identity. Share with caution and "
            "within the terms of the training data."
        )
    lines = [answer, *([""] if len(found) or len(missing) or models else [])]
    for _, rows in found.groupby(POOL, sort=False):
        lines.append(f"- {_pool(rows.iloc[0])}: {'; '.join(_finding(row) for _, row in rows.iterrows())}.")
        lines += _suspects(metrics, rows)
    for reason, rows in missing.groupby("reason", sort=False):
        lines.append(f"- {', '.join(_pool(row) for _, row in rows.iterrows())}: {reason}.")
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


def suspects(metrics: Metrics) -> pd.DataFrame:
    """Return the images that are too near to a training image for chance, in all pools and measures of the study.

    One row per image, by its least likely measure, the least likely first.
    """
    rows = metrics["suspects"]
    rows = rows[rows["p_corrected"] < ALPHA].sort_values("p_corrected", kind="stable")
    return rows.drop_duplicates([*POOL, "file"])


def _suspects(metrics: Metrics, pool: pd.DataFrame) -> list[str]:
    """Return a line for each suspect of a pool, up to LISTED."""
    rows = suspects(metrics)
    rows = rows[(rows[POOL] == list(pool.iloc[0][POOL])).all(axis=1)]
    held_out = {(row["metric"], row["extractor"]): row["control"] for _, row in pool.iterrows()}
    lines = []
    for _, row in rows.head(LISTED).iterrows():
        control = held_out.get((row["metric"], row["extractor"]), np.nan)
        beside = "" if np.isnan(control) else f", the nearest held-out real image {control:.3g}"
        lines.append(
            f"    - `{row['file']}`: {MEANINGS[row['metric']].shown} {row['distance']:.2g} (0 is a copy{beside}; "
            f"p after Holm {row['p_corrected']:.2g})."
        )
    if len(rows) > LISTED:
        lines.append(f"    - and {len(rows) - LISTED} more, in `metrics/suspects.csv`.")
    return lines


def unchecked(metrics: Metrics) -> pd.DataFrame:
    """Return the pools in which no copy was found, but not for want of looking badly: each with the ``reason``."""
    rows = checks(metrics, "memorisation", COPIES)
    known = dict(iter(rows.groupby(POOL, sort=False)))
    lines = []
    for pool in map(tuple, metrics["quality"].drop_duplicates(POOL)[POOL].values):
        reasons = _unproved(known[pool]) if pool in known else ["no copy rate was measured"]
        if reasons and not (pool in known and (known[pool]["state"] == FOUND).any()):
            lines.append([*pool, "; ".join(reasons)])
    return pd.DataFrame(lines, columns=[*POOL, "reason"])


def _unproved(rows: pd.DataFrame) -> list[str]:
    """Return why the checks of one pool could have missed copies: nothing where they could not."""
    rates = rows[rows["metric"] == "copy_rate"]
    if set(rates["state"]) <= {UNKNOWN}:
        return ["not checked, " + next(filter(None, rates["reason"]), "no held-out real images to compare with")]
    judged = rows[rows["metric"].isin(("copy_rate", "view_copy_rate")) & (rows["state"] != UNKNOWN)]
    views = rows[rows["metric"] == "view_nearest_copy"]
    if views.empty:
        return ["single copies were not looked for", *_share_unproved(judged)]
    return [*(why for _, row in views.iterrows() if (why := _single_unproved(row))), *_share_unproved(judged)]


def _single_unproved(row: pd.Series) -> str:
    """Return why a single copy could have been missed in a pool, and what would be needed; empty if it could not."""
    tail = tail_of(row)
    if tail is None:
        return f"single copies were not looked for, {row['note'] or row['reason']}"
    if np.isnan(row["planted"]):
        return "single copies were not looked for, no planted copy shows what would be found"
    chance = ALPHA / row["n_comparisons"] / row["n_synthetic"]
    if row["planted"] <= tail.reach(chance):
        return ""
    needed = tail.needed(row["planted"], chance)
    enough = "no number of them" if np.isinf(needed) else f"about {needed:.0f}"
    return (
        f"a single copy could have been missed: of altered copies that were planted not 95 % stand out from {tail.n} "
        f"held-out patients; {enough} would do"
    )


def _share_unproved(rates: pd.DataFrame) -> list[str]:
    """Return why a copy rate above LARGEST could have gone unnoticed by the best of a pool's rates; empty if none.

    By what the thresholds are set to let pass of held-out images, not by what chance made of it.
    """
    least = [_noticeable(row, row["n_control_a"], THRESHOLD_QUANTILE) for _, row in rates.iterrows()]
    best = rates.iloc[int(np.argmin(least))]
    if min(least) <= LARGEST:
        return []
    n = best["n_control_a"]
    text = (
        f"no copy rate at all could have stood out against {n:.0f} held-out images"
        if np.isinf(min(least))
        else f"a copy rate of up to {100 * min(least):.2g} % could have gone unnoticed against {n:.0f} held-out images"
    )
    if _noticeable(best, MANY, THRESHOLD_QUANTILE) > LARGEST:
        return [f"{text}; the pool of {best['n_synthetic']:.0f} images is too small for {100 * LARGEST:.0f} %"]
    needed = next(
        n for n in (round(10 * 1.25**step) for step in range(60)) if _noticeable(best, n, THRESHOLD_QUANTILE) <= LARGEST
    )
    return [f"{text}; about {needed}, and as many more to set the threshold, would do"]


def _noticeable(row: pd.Series, n_control: float, control: float) -> float:
    """Return the least copy rate that would stand out in the study against so many held-out images."""
    return noticeable_share(row["n_synthetic"], control, n_control, ALPHA / row["n_comparisons"])


def _pool(row: pd.Series) -> str:
    return f"**{row['generator']} {row['label']}** ({place(row[COHORT])})"


def _finding(row: pd.Series) -> str:
    meaning = MEANINGS[row["metric"]]
    text = f"{named(row['metric'], row['features'])} {meaning.words(row['value'])}"
    if not np.isnan(row["control"]):
        text += f" against {meaning.words(row['control'])}"
    return text + ("" if np.isnan(row["p_holm"]) else f" (p after Holm {row['p_holm']:.2g})")


def named(metric: str, features: str) -> str:
    """Return a metric with the features it was measured in."""
    return MEANINGS[metric].shown + ("" if features == "images" else f" in {features}")


def _count(rows: pd.DataFrame) -> str:
    n = len(rows.drop_duplicates(POOL))
    return f"{n} pool{'s' * (n != 1)}"


def _power(rows: pd.DataFrame) -> list[str]:
    """Return what the search for copies could have found, for the pool where it could find least."""
    lines = []
    single = rows[(rows["metric"] == "view_nearest_copy") & rows["tail_n"].notna() & rows["planted"].notna()]
    if len(single):
        reached = [_single_unproved(row) == "" for _, row in single.iterrows()]
        lines.append(
            "- Planted copies of training images (noise, JPEG, brighter, shifted, mirrored): at least 95 % of each "
            f"kind would have been found one by one in {sum(reached)} of {_count(single)}. The nearest held-out real "
            f"images are at {_range(single['control'])}, the planted copies within {_range(single['planted'])} (0 is a "
            "copy)."
        )
    rates = rows[(rows["metric"] == "copy_rate") & (rows["state"] == FINE)]
    least = [_noticeable(row, row["n_control_a"], row["control"]) for _, row in rates.iterrows()]
    if least:
        worst = rates.iloc[int(np.argmax(least))]
        against = f"against {worst['n_control_a']:.0f} held-out images, in {worst['generator']} {worst['label']}"
        if np.isinf(max(least)):
            lines.append(f"- **No copy rate at all could have stood out** {against}: they are too few.")
        else:
            lines.append(f"- A copy rate of less than {100 * max(least):.3g} % could have gone unnoticed {against}.")
    return lines


def _range(values: pd.Series) -> str:
    low, high = (f"{value:.2g}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _rest(metrics: Metrics) -> list[str]:
    """Return what was measured without finding anything, what is undefined, and what chance alone would find."""
    rows = checks(metrics, "memorisation", COPIES + NEARNESS + REPEATS)
    fine = [
        named(*names)
        for names, part in rows.groupby(["metric", "features"], sort=False)
        if set(part["state"]) == {FINE}
    ]
    lines = [f"- Nothing found in any pool by {', '.join(fine)}."] if fine else []
    lines += _power(rows)
    undefined = rows[rows["value"].isna() & (rows["metric"] != "copy_rate")]
    for (metric, features, reason), part in undefined.groupby(["metric", "features", "reason"], sort=False):
        lines.append(f"- {named(metric, features)} is undefined ({_count(part)}): {reason}.")
    n = rows["p_value"].notna().sum()
    lines.append(
        f"- Each value stands against that of held-out real images, in {n} comparisons, corrected by Holm's method "
        "over all of them: pools that are like held-out real images are accused in at most one study in twenty."
    )
    return lines
