"""What the numbers say, in words, about the synthetic images: how real they are, and whether they copy."""

import numpy as np

from radsynth.analysis.inference import excess_p_value
from radsynth.analysis.tidy import COHORT, Metrics, place

Found = list[tuple[bool, str]]


def percent(value: float) -> str:
    """Return a share in per cent with one digit."""
    return "undefined" if np.isnan(value) else f"{100 * value:.1f} %"


def realism(metrics: Metrics) -> Found:
    """Return for each pool whether it is as near to the real images as they are to each other, and a sentence.

    KID where there is one, else FID; reference ``all`` where there is one.
    """
    table = metrics["quality"]
    table = table[table["metric"] == ("kid" if (table["metric"] == "kid").any() else "fid")]
    if (table["reference"] == "all").any():
        table = table[table["reference"] == "all"]
    found = []
    for _, row in table.iterrows():
        name = (
            f"{row['metric'].upper()} ({row['extractor']}) of {row['generator']} {row['label']} ({place(row[COHORT])})"
        )
        if np.isnan(row["value"]):
            found.append((False, f"{name} is undefined: {row['reason']}"))
            continue
        n = f"n = {row['n_reference']:.0f} real, {row['n_synthetic']:.0f} synthetic"
        text = f"{name} is {row['value']:.3g} ({n})"
        if np.isnan(row["real_real_mean"]):
            found.append((False, f"{text}; there is no real-against-real baseline"))
            continue
        near = row["value"] <= row["real_real_mean"] + 2 * np.nan_to_num(row["real_real_sd"])
        nearness = (
            "as near to the real images as these are to each other"
            if near
            else ("farther from the real images than these are from each other")
        )
        baseline = f"real against real {row['real_real_mean']:.3g} ± {row['real_real_sd']:.2g}"
        found.append((near, f"{text}, {baseline}: {nearness}"))
    return found


def copying(metrics: Metrics) -> Found:
    """Return for each pool whether it copies more than held-out real images do, and a sentence."""
    table = metrics["quality"]
    found = []
    for _, row in table[table["metric"].isin(["copy_rate", "exact_copy_rate"])].iterrows():
        kind = "share of exact copies" if row["metric"] == "exact_copy_rate" else f"copy rate ({row['extractor']})"
        name = f"{kind} of {row['generator']} {row['label']} ({place(row[COHORT])})"
        if np.isnan(row["value"]):
            found.append((True, f"{name} is undefined: {row['reason']}"))
            continue
        text = f"{name} is {percent(row['value'])} of {row['n_synthetic']:.0f} images"
        if np.isnan(row["control"]):
            found.append((True, f"{text}; no held-out real images to compare with"))
            continue
        p = excess_p_value(row["value"], row["n_synthetic"], row["control"], row["n_control"])
        # A single image with a training image's pixels is one too many; near-copies occur among real images, too.
        above = row["value"] > 0 if row["metric"] == "exact_copy_rate" else p < 0.05
        control = f"{percent(row['control'])} of {row['n_control']:.0f} held-out real images"
        verdict = f"{'above' if above else 'not above'} the control (Fisher's exact test, p = {p:.2g})"
        found.append((above, f"{text}, {control}: {verdict}"))
    return found


def recognition(metrics: Metrics) -> list[str]:
    """Return a sentence for each pool and classifier that judged it, beside real test images."""
    keys = [*COHORT, "classifier", "generator", "label"]
    lines = []
    for (*cohort, classifier, generator, label), runs in metrics["recognition"].groupby(keys, sort=False):
        share, real = runs["recognised"].mean(), runs["recognised_real"].mean()
        beside = "" if np.isnan(real) else f" and {percent(real)} of the real test images"
        lines.append(
            f"{classifier}, trained on real images alone ({place(cohort)}), recognises {percent(share)} of the "
            f"{generator} images of {label}{beside}"
        )
    return lines


def sharing(metrics: Metrics) -> str:
    """Return whether the pools may be shared, as far as the numbers tell."""
    found = copying(metrics)
    if any(above for above, _ in found):
        return (
            "At least one pool holds more near-copies of training images than held-out real images would, or could not "
            "be checked: **do not share that pool** before its nearest neighbours have been looked at."
        )
    return (
        "No pool holds more near-copies than held-out real images do. This is a necessary check, not a proof of "
        "privacy: the features named may miss copies of a part of an image or of a patient's identity. Share with "
        "caution and within the terms of the training data."
    )
