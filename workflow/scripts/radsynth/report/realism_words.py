"""What the numbers say, in words, about how real the synthetic images are and how varied."""

import numpy as np
import pandas as pd

from radsynth.report.copying_words import FOUND, checks, copies_text, named
from radsynth.report.image_metrics import MEANINGS, POOL, copy_rates, main_reference, of_family
from radsynth.report.tidy import COHORT, Metrics, place, range_text

FARTHER, NEAR = "farther", "as near"


def percent(value: float) -> str:
    """Return a share in per cent with one digit."""
    return "undefined" if np.isnan(value) else f"{100 * value:.1f} %"


def realism(metrics: Metrics) -> pd.DataFrame:
    """Return the rows of KID against all originals (FID without KID) with a ``verdict``; the first features first.

    ``as near``: not above the mean of real against real by more than two of its SDs, else ``farther``; empty where one
    of them is undefined. ``copies`` is the copy rate in the same features, in words.
    """
    distances = of_family(metrics, "distance")
    rows = main_reference(distances[distances["metric"] == ("kid" if "kid" in set(distances["metric"]) else "fid")])
    limit = rows["control"] + 2 * rows["control_sd"].fillna(0)
    verdict = (rows["value"] <= limit).map({True: NEAR, False: FARTHER})
    rates = copy_rates(metrics)
    copies = [copies_text(rates.get((*row[POOL], row["features"]))) for _, row in rows.iterrows()]
    return rows.assign(verdict=verdict.where(rows["value"].notna() & limit.notna(), ""), copies=copies)


def headline(metrics: Metrics) -> str:
    """Return how many pools are as near as real images, and the first pool's numbers."""
    rows = realism(metrics)
    if rows.empty:
        return "no distance was measured"
    rows = rows[rows["features"] == rows["features"].iloc[0]]
    first = rows.iloc[0]
    return (
        f"{_near_count(rows)} in {first['features']}; {first['generator']} {first['label']} ({place(first[COHORT])}): "
        f"{_distance_text(first)}; {first['copies']}"
    )


def sentences(metrics: Metrics) -> list[str]:
    """Return the section of the summary: distances, variety, recognition, and how to read them."""
    return [
        "\n## How real are the images?\n",
        *realism_lines(metrics),
        *variety_lines(metrics),
        *recognition_lines(metrics),
        "\nFID and KID compare distributions in the features named; they say nothing about whether a single image is "
        "right, and copies of training images make them small: read them with the copy rate. FID is biased upwards in "
        "small samples: it means something only beside its real-against-real baseline.",
    ]


def realism_lines(metrics: Metrics) -> list[str]:
    """Return what is said of distances: counts per features, then the pools in the first features."""
    rows = realism(metrics)
    if rows.empty:
        return ["No distance was measured."]
    lines = []
    for features, part in rows.groupby("features", sort=False):
        reference, metric = part["reference"].iloc[0], MEANINGS[part["metric"].iloc[0]].shown
        against = "all original images" if reference == "all" else f"the {reference} images"
        lines.append(f"- **{_near_count(part)}**, by {metric} in {features} against {against} of the class.")
    rows = rows[rows["features"] == rows["features"].iloc[0]]
    for cohort, part in rows.groupby(COHORT, sort=False):
        counts = f"n = {range_text(part['n_reference'])} real, {range_text(part['n_synthetic'])} synthetic"
        a, b = part["n_control_a"].dropna(), part["n_control_b"].dropna()
        counts += f", real against real {range_text(a)} and {range_text(b)}" if len(a) else ""
        lines += ["", f"**{place(cohort)}** ({part['features'].iloc[0]}; {counts})\n"]
        for _, row in part.iterrows():
            verdict = f"**{row['verdict']}**; " if row["verdict"] else ""
            lines.append(f"- {row['generator']} {row['label']}: {verdict}{_distance_text(row)}; {row['copies']}.")
    return lines


def _near_count(rows: pd.DataFrame) -> str:
    n, near, unknown = len(rows), int((rows["verdict"] == NEAR).sum()), int((rows["verdict"] == "").sum())
    text = f"{near} of {n} {'pool is' if n == 1 else 'pools are'} as near to the real images as these are to each other"
    return text + (f" ({unknown} could not be judged)" if unknown else "")


def _distance_text(row: pd.Series) -> str:
    meaning = MEANINGS[row["metric"]]
    if np.isnan(row["value"]):
        return f"{meaning.shown} undefined ({row['reason']})"
    text = f"{meaning.shown} {meaning.text(row['value'])}"
    if not np.isnan(row["low"]):
        text += f" (95 % interval {meaning.text(row['low'])} to {meaning.text(row['high'])})"
    if np.isnan(row["control"]):
        return f"{text}, no real against real to compare with"
    sd = meaning.sd_text(row["control_sd"])
    return f"{text}, real against real {meaning.text(row['control'])}" + (f" ± {sd}" if sd else "")


def variety_lines(metrics: Metrics) -> list[str]:
    """Return a line for each measure by which pools are less varied than the training images, with the worst pool."""
    rows = checks(metrics, "diversity", ["ms_ssim", "lpips"])
    lines = []
    for metric, part in rows.groupby("metric", sort=False):
        meaning, found = MEANINGS[metric], part[part["state"] == FOUND]
        if len(found):
            worst = found.loc[(found["value"] - found["control"]).abs().idxmax()]
            lines.append(
                f"- **{len(found)} of {len(part)} pools less varied than their training images**, by "
                f"{named(metric, worst['features'])}: {meaning.says}. Farthest: {worst['generator']} {worst['label']} "
                f"({place(worst[COHORT])}) {meaning.text(worst['value'])}, training images "
                f"{meaning.text(worst['control'])}."
            )
    return ["", "**Variety**\n", *lines] if lines else []


def recognition_lines(metrics: Metrics) -> list[str]:
    """Return a sentence for each pool and classifier that judged it, beside real test images."""
    keys = [*COHORT, "classifier", "generator", "label"]
    lines = []
    for (*cohort, classifier, generator, label), runs in metrics["recognition"].groupby(keys, sort=False):
        share, real = runs["recognised"].mean(), runs["recognised_real"].mean()
        beside = "" if np.isnan(real) else f" and {percent(real)} of the real test images"
        lines.append(
            f"- {classifier}, trained on real images alone ({place(cohort)}), recognises {percent(share)} of the "
            f"{generator} images of {label}{beside}."
        )
    return ["", "**Recognised by classifiers**\n", *lines] if lines else []
