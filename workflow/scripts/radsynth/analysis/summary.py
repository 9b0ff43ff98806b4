"""What the numbers say, in words: utility, realism, copying, and what they do not say."""

import json

import numpy as np
import pandas as pd

from radsynth.analysis import summary_copying
from radsynth.analysis.summary_images import percent, realism_headline, realism_lines, recognition_lines, variety_lines
from radsynth.analysis.tidy import COHORT, OWN, TESTED, Metrics, on_real_images, place, range_text

VERDICTS = ("helps", "hurts", "undecided")
# What is said beside the accuracy where the training labels are imbalanced.
DETECTION = {"pr_auc": "PR-AUC", "sensitivity_at_95_specificity": "sensitivity at 95 % specificity"}


def points(value: float) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return "undefined" if np.isnan(value) else f"{100 * value:+.1f}".replace("-", "−")


def accuracy_rows(metrics: Metrics) -> pd.DataFrame:
    """Return the comparisons of the headline metric on the cohorts' own test sets."""
    table = metrics["comparisons"]
    return table[(table["metric"] == "accuracy") & (table["tested_on"] == OWN)]


def headline(metrics: Metrics) -> list[str]:
    """Return three lines: accuracy of the first comparison, with synthetic images if any, realism and copying."""
    lines = ["utility:  no mix besides the baseline was compared"]
    rows = accuracy_rows(metrics)
    synthetic = rows[rows["mix"].isin(_with_pools(metrics))]
    for _, row in (rows if synthetic.empty else synthetic).head(1).iterrows():
        lines = [
            f"utility:  accuracy of {row['classifier']} ({place(row[COHORT])}) {percent(row['baseline_mean'])} with "
            f"real images alone, {percent(row['mix_mean'])} with {row['mix']}; difference {_difference(row)}: "
            f"{row['verdict']}"
        ]
    return [*lines, f"realism:  {realism_headline(metrics)}", f"copying:  {summary_copying.headline(metrics)}"]


def _difference(row: pd.Series) -> str:
    if np.isnan(row["difference"]):
        return f"undefined ({row['reason']})"
    if np.isnan(row["ci_low"]):
        return f"{points(row['difference'])} points, no interval ({row['reason']})"
    return f"{points(row['difference'])} points (95 % interval {points(row['ci_low'])} to {points(row['ci_high'])})"


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
        *realism_lines(metrics),
        *variety_lines(metrics),
        *recognition_lines(metrics),
        "\nFID and KID compare distributions in the features named; they say nothing about whether a single image is "
        "right, and copies of training images make them small: read them with the copy rate. FID is biased upwards in "
        "small samples: it means something only beside its real-against-real baseline.",
        "\n## Can they be shared?\n",
        *summary_copying.sharing(metrics),
        "\n## What these numbers do not cover\n",
        *_limits(metrics),
        "\n## The data\n",
        *_data(metrics),
    ]
    return "\n".join(parts) + "\n"


def _study(metrics: Metrics) -> dict[str, str]:
    table = metrics["study"]
    return dict(zip(table["key"], table["value"], strict=True))


def _with_pools(metrics: Metrics) -> set[str]:
    """Return the mixes that hold synthetic images."""
    return {name for name, mix in json.loads(_study(metrics)["mixes"]).items() if mix["pools"]}


def _tally(rows: pd.DataFrame) -> list[int]:
    return [int((rows["verdict"] == verdict).sum()) for verdict in VERDICTS]


def _counts(rows: pd.DataFrame) -> str:
    helps, hurts, undecided = _tally(rows)
    span = f"{points(rows['difference'].min())} to {points(rows['difference'].max())} percentage points"
    return f"{len(rows)} ({helps} help, {hurts} hurt, {undecided} undecided), mean differences {span}"


def _overall(metrics: Metrics) -> str:
    rows = accuracy_rows(metrics)
    rows = rows[rows["mix"].isin(_with_pools(metrics))]
    if rows.empty:
        return "There is no mix with synthetic images to compare with the baseline."
    helps, hurts, undecided = _tally(rows)
    n = len(rows)
    if n in (helps, hurts, undecided):
        answer = {helps: "Yes, here they help", hurts: "No, here they hurt", undecided: "These runs cannot tell"}[n]
    elif hurts:
        answer = "It depends" if helps else "No sign that they help"
    else:
        answer = "In part"
    return (
        f"**{answer}.** Comparisons of a mix with synthetic images with real images alone, judged by the 95 % interval "
        f"of the difference in accuracy: {_counts(rows)}. {_holm(rows)}"
    )


def _holm(rows: pd.DataFrame) -> str:
    """Return what is left after Holm's correction, and whether anything could have been."""
    decided = int((rows["verdict_holm"] != "undecided").sum())
    text = f"After Holm's correction within each table the sign-flip test decides {decided} of them"
    floor = rows["p_holm_floor"].min()
    if not np.isnan(floor) and floor > 0.05:
        text += f" (with so few runs it could not decide any: no corrected p-value below {floor:.3g} can be reached)"
    return text + "."


def _utility(metrics: Metrics) -> list[str]:
    lines, with_pools = [], _with_pools(metrics)
    for cohort, rows in accuracy_rows(metrics).groupby(COHORT, sort=False):
        counts = (
            f"runs: {range_text(rows['n_runs'])}; test patients, images where unknown: {range_text(rows['n_groups'])}"
        )
        lines.append(f"**{place(cohort)}** ({counts})\n")
        detection = _detection_rows(metrics, cohort)
        for _, row in rows.iterrows():
            real = "" if row["mix"] in with_pools else " (no synthetic images)"
            test = "" if np.isnan(row["p_value"]) else f"; sign-flip test p = {row['p_value']:.3g}"
            test += "" if np.isnan(row["p_holm"]) else f", corrected {row['p_holm']:.3g}: {row['verdict_holm']}"
            size = "" if np.isnan(row["effect_size"]) else f", effect size {row['effect_size']:+.2f}".replace("-", "−")
            lines.append(
                f"- {row['classifier']} with {row['mix']}{real}: **{row['verdict']}**; accuracy "
                f"{percent(row['baseline_mean'])} to {percent(row['mix_mean'])}, {_difference(row)}{size}{test}."
            )
            same = detection[(detection["classifier"] == row["classifier"]) & (detection["mix"] == row["mix"])]
            lines += [
                f"    - {DETECTION[other['metric']]}: {_change(other)}: {other['verdict']}."
                for _, other in same.iterrows()
            ]
        lines.append("")
    return [*lines, *_external(metrics), *_replicates(metrics)][:-1] or ["Nothing was compared."]


def _detection_rows(metrics: Metrics, cohort: tuple[str, str, str]) -> pd.DataFrame:
    """Return the comparisons of DETECTION, none for a cohort whose training labels are balanced."""
    subsets = metrics["cohorts"]
    train = subsets[(subsets[COHORT] == list(cohort)).all(axis=1) & (subsets["subset"] == "train")]
    table = metrics["comparisons"]
    chosen = (table[TESTED] == [*cohort, OWN]).all(axis=1) & table["metric"].isin(DETECTION)
    return table[chosen & (train["n_images"].nunique() > 1)]


def _change(row: pd.Series) -> str:
    values = f"{row['baseline_mean']:.3f} to {row['mix_mean']:.3f}, " if not np.isnan(row["difference"]) else ""
    return values + _difference(row)


def _external(metrics: Metrics) -> list[str]:
    table = metrics["comparisons"]
    table = table[(table["metric"] == "accuracy") & (table["tested_on"] != OWN)]
    lines = [f"- {place(tested)}: {_counts(rows)}." for tested, rows in table.groupby(TESTED, sort=False)]
    return ["**Other datasets as test sets** (comparisons of a mix with the baseline)\n", *lines, ""] if lines else []


def _replicates(metrics: Metrics) -> list[str]:
    table = metrics["replicates"]
    table = table[table["metric"] == "accuracy"]
    lines = [
        f"- {row['classifier']} with {row['mix']} ({place(row[TESTED])}) over {row['samplings'].replace(';', ',')}: "
        f"**{row['verdict']}**; {_difference(row)}"
        + ("." if np.isnan(row["sd"]) else f", SD between replicates {100 * row['sd']:.1f} points.")
        for _, row in table.iterrows()
    ]
    return (
        ["**Replicated samplings** (each with its own training images and generators)\n", *lines, ""] if lines else []
    )


def _limits(metrics: Metrics) -> list[str]:
    lines = [
        "- All runs of a comparison share one training cohort and one training of each generator. The intervals cover "
        "new runs and new test patients of the same source, not another draw of the training images or another "
        "training of the generator: replicated samplings (`random_2`, ...) show these, though they share most test "
        "patients and, in a small set, some training images. Nor do they cover another hospital: a dataset with "
        "`role: external_test` does.",
        "- The generators have seen the validation images of the classifiers. Nothing is chosen by these: every "
        "classifier is that of its last epoch.",
    ]
    rows = accuracy_rows(metrics)
    rows = rows[rows["n_runs"] >= 2]
    if len(rows):
        few, floor, n = int(rows["n_runs"].min()), rows["p_floor"].max(), int(rows["n_comparisons"].max())
        cannot = "so it cannot reach 0.05; ten runs could (0.00195)" if floor > 0.05 else "so it can reach 0.05"
        lines.append(f"- With {few} runs the sign-flip test cannot give a p-value below {floor:.3g}, {cannot}.")
        if n > 1:
            ten = min(1.0, n * 2 / 2**10)
            lines.append(
                f"- Holm's correction for the {n} comparisons of a table raises that to "
                f"{rows['p_holm_floor'].max():.3g} (ten runs: {ten:.3g}). The verdicts above are those of single "
                "intervals, without correction: some may look decided by chance."
            )
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
        what = ", ".join(filter(None, [row["dataset"], row["label"], row["check"].replace("_", " ")]))
        done = f" ({row['what_was_done']})" if row["what_was_done"] else ""
        lines.append(f"- {what}: {row['count']:.0f}{done}.")
    classified = on_real_images(metrics["classification"])
    undefined = classified[classified["value"].isna()]
    for (metric, reason), rows in undefined.groupby(["metric", "reason"], sort=False):
        lines.append(f"- Evaluations in which {metric} is undefined: {len(rows)} ({reason}).")
    weights = sorted(set(metrics["classification"]["weights"]) - {""})
    if weights:
        lines.append(f"- Initial weights of the classifiers: {', '.join(weights)}.")
    return [line for line in lines if line]
