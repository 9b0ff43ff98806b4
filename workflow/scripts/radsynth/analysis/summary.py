"""What the numbers say, in words: utility, realism, copying, and what they do not say."""

import numpy as np
import pandas as pd

from radsynth.analysis.inference import excess_p_value
from radsynth.analysis.tidy import COHORT, Metrics

VERDICTS = ("helps", "hurts", "undecided")


def points(value: float) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return "undefined" if np.isnan(value) else f"{100 * value:+.1f}".replace("-", "−")


def accuracy_rows(metrics: Metrics) -> pd.DataFrame:
    """Return the comparisons of the headline metric."""
    table = metrics["comparisons"]
    return table[table["metric"] == "accuracy"]


def headline(metrics: Metrics) -> list[str]:
    """Return three lines: accuracy against the baseline, realism, copying; each of the first comparison or pool."""
    lines = ["utility:  no mix besides the baseline was compared"]
    for _, row in accuracy_rows(metrics).head(1).iterrows():
        lines = [
            f"utility:  accuracy of {row['classifier']} ({_where(row)}) {percent(row['baseline_mean'])} with real "
            f"images alone, {percent(row['mix_mean'])} with {row['mix']}; difference {_difference(row)}: "
            f"{row['verdict']}"
        ]
    lines.append(next((f"realism:  {text}" for _, text in _realism(metrics)), "realism:  no distance was measured"))
    copies = next((f"copying:  {text}" for _, text in _copying(metrics)), "copying:  no copy rate was measured")
    return [*lines, copies]


def percent(value: float) -> str:
    """Return a share in per cent with one digit."""
    return "undefined" if np.isnan(value) else f"{100 * value:.1f} %"


def _where(row: pd.Series) -> str:
    return ", ".join(row[COHORT])


def _difference(row: pd.Series) -> str:
    if np.isnan(row["difference"]):
        return f"undefined ({row['reason']})"
    if np.isnan(row["ci_low"]):
        return f"{points(row['difference'])} points, no interval ({row['reason']})"
    return f"{points(row['difference'])} points (95 % interval {points(row['ci_low'])} to {points(row['ci_high'])})"


def _realism(metrics: Metrics) -> list[tuple[bool, str]]:
    """Return for each pool whether it is as near to the real images as they are to each other, and a sentence.

    KID where there is one, else FID; reference ``all`` where there is one.
    """
    table = metrics["quality"]
    table = table[table["metric"] == ("kid" if (table["metric"] == "kid").any() else "fid")]
    if (table["reference"] == "all").any():
        table = table[table["reference"] == "all"]
    found = []
    for _, row in table.iterrows():
        name = f"{row['metric'].upper()} ({row['extractor']}) of {row['generator']} {row['label']} ({_where(row)})"
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


def _copying(metrics: Metrics) -> list[tuple[bool, str]]:
    """Return for each pool whether it copies more than held-out real images do, and a sentence."""
    table = metrics["quality"]
    found = []
    for _, row in table[table["metric"].isin(["copy_rate", "exact_copy_rate"])].iterrows():
        kind = "share of exact copies" if row["metric"] == "exact_copy_rate" else f"copy rate ({row['extractor']})"
        name = f"{kind} of {row['generator']} {row['label']} ({_where(row)})"
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


def summary(metrics: Metrics) -> str:
    """Return summary.md."""
    parts = [
        f"# {_study(metrics).get('study', 'Study')}: do the synthetic images help?\n",
        *(f"- {' '.join(line.split())}" for line in headline(metrics)),
        "",
        _overall(metrics),
        "\n## Does it help?\n",
        *_utility(metrics),
        "\n## How real are the images?\n",
        *_section(_realism(metrics), "No distance was measured."),
        "\nFID and KID compare distributions in the features named; they say nothing about whether a single image is "
        "right. FID is biased upwards in small samples: it means something only beside its real-against-real baseline.",
        "\n## Can they be shared?\n",
        *_section(_copying(metrics), "No copy rate was measured: nothing is known, so do not share them."),
        "\n" + _sharing(metrics),
        "\n## What these numbers do not cover\n",
        *_limits(metrics),
        "\n## The data\n",
        *_data(metrics),
    ]
    return "\n".join(parts) + "\n"


def _study(metrics: Metrics) -> dict[str, str]:
    table = metrics["study"]
    return dict(zip(table["key"], table["value"], strict=True))


def _section(found: list[tuple[bool, str]], empty: str) -> list[str]:
    return [f"- {text[0].upper()}{text[1:]}." for _, text in found] or [empty]


def _overall(metrics: Metrics) -> str:
    rows = accuracy_rows(metrics)
    if rows.empty:
        return "There is no mix with synthetic images to compare with the baseline."
    helps, hurts, undecided = (int((rows["verdict"] == verdict).sum()) for verdict in VERDICTS)
    n = len(rows)
    if n in (helps, hurts, undecided):
        answer = {helps: "Yes, here they help", hurts: "No, here they hurt", undecided: "These runs cannot tell"}[n]
    elif hurts:
        answer = "It depends" if helps else "No sign that they help"
    else:
        answer = "In part"
    span = f"{points(rows['difference'].min())} to {points(rows['difference'].max())} percentage points"
    return (
        f"**{answer}.** Comparisons of a mix with real images alone, judged by the 95 % interval of the difference in "
        f"accuracy: {n}. In {helps} the synthetic images help, in {hurts} they hurt, {undecided} undecided. "
        f"Mean differences: {span}."
    )


def _utility(metrics: Metrics) -> list[str]:
    lines = []
    for cohort, rows in accuracy_rows(metrics).groupby(COHORT, sort=False):
        lines.append(f"**{', '.join(cohort)}**\n")
        for _, row in rows.iterrows():
            test = "" if np.isnan(row["p_value"]) else f"; sign-flip test p = {row['p_value']:.3g}"
            lines.append(
                f"- {row['classifier']} with {row['mix']}: **{row['verdict']}**; accuracy "
                f"{percent(row['baseline_mean'])} to {percent(row['mix_mean'])}, {_difference(row)}; "
                f"runs: {row['n_runs']:.0f}; test patients (images where unknown): {row['n_groups']:.0f}{test}."
            )
        lines.append("")
    return lines[:-1] or ["Nothing was compared."]


def _sharing(metrics: Metrics) -> str:
    found = _copying(metrics)
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


def _limits(metrics: Metrics) -> list[str]:
    lines = [
        "- All runs of a comparison share one training cohort and one training of each generator. The intervals cover "
        "new runs and new test patients of the same source; they do not cover another draw of the training images, "
        "another training of the generator, or another hospital. Replicated samplings (`random_2`, ...) show that.",
    ]
    rows = accuracy_rows(metrics)
    rows = rows[rows["n_runs"] >= 2]
    if len(rows):
        few, floor = int(rows["n_runs"].min()), rows["p_floor"].max()
        cannot = "so it cannot reach 0.05; ten runs could (0.00195)" if floor > 0.05 else "so it can reach 0.05"
        lines.append(f"- With {few} runs the sign-flip test cannot give a p-value below {floor:.3g}, {cannot}.")
    if len(rows) > 1:
        lines.append(f"- {len(rows)} comparisons are shown without correction: some may look decided by chance.")
    return lines


def _data(metrics: Metrics) -> list[str]:
    study, cohorts, integrity = _study(metrics), metrics["cohorts"], metrics["integrity"]
    lines = [f"- Images of {study['image_size']} x {study['image_size']} px." if "image_size" in study else ""]
    for cohort, rows in cohorts.groupby(COHORT, sort=False):
        subsets = [
            f"{subset} "
            + " + ".join(f"{n:.0f} {label}" for label, n in zip(part["label"], part["n_images"], strict=True))
            for subset, part in rows.groupby("subset", sort=False)
        ]
        safe = set(rows["patient_safe"]) == {"true"}
        note = "patients are kept apart" if safe else "**not patient-safe**: a patient may be on both sides"
        lines.append(f"- {', '.join(cohort)}: {'; '.join(subsets)}; {note}.")
    found = integrity[(integrity["check"] != "images") & (integrity["count"] > 0)]
    for _, row in found.iterrows():
        label = f" ({row['label']})" if row["label"] else ""
        done = f": {row['what_was_done']}" if row["what_was_done"] else ""
        lines.append(f"- {row['dataset']}: {row['count']:.0f} {row['check'].replace('_', ' ')}{label}{done}.")
    undefined = metrics["classification"][metrics["classification"]["value"].isna()]
    for (metric, reason), rows in undefined.groupby(["metric", "reason"], sort=False):
        lines.append(f"- Evaluations in which {metric} is undefined: {len(rows)} ({reason}).")
    weights = sorted(set(metrics["classification"]["weights"]) - {""})
    if weights:
        lines.append(f"- Initial weights of the classifiers: {', '.join(weights)}.")
    return [line for line in lines if line]
