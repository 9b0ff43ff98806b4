"""Tables of what was compared: verdicts, every comparison, single models against each other, replicated samplings."""

import pandas as pd

from radsynth.report.arms import (
    AGAINST_BASELINE,
    AGAINST_CONTROL,
    AGAINST_CORRECTED,
    GENERATORS,
    OTHER,
    SAMPLINGS,
)
from radsynth.report.names import beside, capitalised, metric_names
from radsynth.report.outcomes import is_headline, outcomes, value
from radsynth.report.render import Columns, Section, Table, limits, number, section, signed
from radsynth.report.tidy import TESTED, Metrics, place, range_text

# What is shown of a comparison, beside the headline metric.
COMPARED = ["accuracy", "balanced_accuracy", "f1_weighted", "roc_auc", "pr_auc", "sensitivity_at_95_specificity"]
ASKED = {
    AGAINST_BASELINE: "mixes against real images alone, equal epochs",
    AGAINST_CONTROL: "mixes against their matched controls, equal steps",
    AGAINST_CORRECTED: "mixes against the baseline with corrected outputs",
    GENERATORS: "generators against each other",
    SAMPLINGS: "samplings against each other",
    OTHER: "other arms",
}


def _difference(question: str):
    """Return how the difference to a reference and its interval stand in a cell."""

    def shown(row: pd.Series) -> str:
        text = signed(row[f"{question}_difference"])
        interval = limits(row[f"{question}_ci_low"], row[f"{question}_ci_high"], signed)
        return f"{text} ({interval})" if interval else text

    return shown


def _value(column: str):
    return lambda row: "" if pd.isna(row[column]) else value(row[column])


def verdicts(metrics: Metrics) -> Table:
    """Does a mix help, in the headline metric and beside it: values, differences to all references, and the word."""
    names = metric_names(metrics)
    table = outcomes(metrics)
    table = table[table["headline"] | table["metric"].isin(beside(metrics))]
    columns: Columns = {
        "classifier": lambda row: row["classifier"],
        "mix": lambda row: row["mix"],
        "metric": lambda row: names[row["metric"]],
        "verdict": lambda row: row["verdict"],
        "baseline": _value("baseline_reference_mean"),
        "control": _value("control_reference_mean"),
        "corrected baseline": _value("corrected_reference_mean"),
        "with the mix": _value("mix_mean"),
        "Δ baseline (95 % interval)": _difference(AGAINST_BASELINE),
        "Δ control (95 % interval)": _difference(AGAINST_CONTROL),
        "Δ corrected baseline (95 % interval)": _difference(AGAINST_CORRECTED),
        "p (Holm)": lambda row: number(row["p_holm"]),
        "remark": lambda row: row["reason"],
    }
    sections = []
    for tested, rows in table.groupby(TESTED, sort=False):
        metrics_in_order = [*rows.loc[rows["headline"], "metric"].unique(), *beside(metrics)]
        keys = ["classifier", "mix", "metric"]
        first = {name: {item: index for index, item in enumerate(rows[name].unique())} for name in keys[:2]}
        first["metric"] = {metric: index for index, metric in reversed(list(enumerate(metrics_in_order)))}
        rows = rows.sort_values(keys, key=lambda column: column.map(first[column.name]), kind="stable")
        controls = ", ".join(dict.fromkeys(rows["control"])) or "none"
        note = (
            f"{_counts(rows)}; matched control: {controls}. The headline metric stands first. A mix helps where it "
            "beats the baseline, its control and, in metrics that a threshold changes, the corrected baseline; it "
            "hurts where it is below baseline and control. p: the largest of these comparisons' (1 where they disagree "
            f"in sign), after Holm's correction for all of one metric, n = {number(rows['n_comparisons'].max()) or 0}."
        )
        sections.append(section(f"Does it help? {place(tested)}", rows, columns, note, 4))
    return "Verdicts", table, sections


def _counts(rows: pd.DataFrame) -> str:
    return f"Runs: {range_text(rows['n_runs'])}; test patients, images where unknown: {range_text(rows['n_groups'])}"


COMPARISON: Columns = {
    "classifier": lambda row: row["classifier"],
    "mix": lambda row: row["mix"],
    "reference": lambda row: row["reference"],
    "says": lambda row: row["verdict"],
    "runs": lambda row: number(row["n_runs"]),
    "difference": lambda row: signed(row["difference"]),
    "95 % interval": lambda row: limits(row["ci_low"], row["ci_high"], signed),
    "df": lambda row: number(row["df"], 2),
    "effect size": lambda row: signed(row["effect_size"], 2),
    "p": lambda row: number(row["p_value"]),
    "p (Holm)": lambda row: number(row["p_holm"]),
    "detectable": lambda row: number(row["detectable"]),
    "remark": lambda row: row["reason"],
}
MODEL_NOTE = (
    "Differences mix − reference, paired by run. Interval, degrees of freedom (df) and p: crossed model of runs and "
    "test patients, for new runs and new patients. Effect size: mean / SD of the paired differences with Hedges' "
    "correction."
)


def comparisons(metrics: Metrics) -> Table:
    """Every comparison: one section per test, question and metric, within which Holm's correction is made.

    Metrics that are undefined throughout stand in the csv alone.
    """
    table, names = metrics["comparisons"], metric_names(metrics)
    shown = table[table["metric"].isin(COMPARED) | is_headline(table, metrics)]
    sections = []
    for (*tested, question, metric), rows in shown.groupby([*TESTED, "question", "metric"], sort=False):
        if rows["difference"].isna().all():
            continue
        n = rows["n_comparisons"].max()
        note = f"{_counts(rows)}. {MODEL_NOTE} "
        note += (
            "No p-value could be given."
            if pd.isna(n)
            else f"Holm's correction is for all of this table, n = {number(n)}; detectable is the smallest "
            "difference that could have been decided among them."
        )
        title = f"{capitalised(names[metric])}, {ASKED[question]}: {place(tested)}"
        sections.append(section(title, rows, COMPARISON, note, 4))
    return "Comparisons", table, sections


def mcnemar(metrics: Metrics) -> Table:
    """Two trained models image by image: one row per pair of arms, over its runs."""
    rows = metrics["mcnemar"]
    keys = [*TESTED, "question", "classifier", "mix", "reference"]
    table = (
        rows.assign(below=(rows["p_value"] < 0.05).astype(int))
        .groupby(keys, sort=False)
        .agg(
            n_pairs=("p_value", "size"),
            n_images=("n_images", "max"),
            n_groups=("n_groups", "max"),
            **{
                f"{name}_{how}": (name, how)
                for name in ("only_mix_right", "only_reference_right")
                for how in ("median", "min", "max")
            },
            median_p=("p_value", "median"),
            n_below=("below", "sum"),
        )
        .reset_index()
    )

    def spread(name: str):
        def shown(row: pd.Series) -> str:
            low, high = row[f"{name}_min"], row[f"{name}_max"]
            text = f"{row[f'{name}_median']:g}"
            return text if low == high else f"{text} ({low:.0f} to {high:.0f})"

        return shown

    columns: Columns = {
        "classifier": lambda row: row["classifier"],
        "mix": lambda row: row["mix"],
        "reference": lambda row: row["reference"],
        "pairs of models": lambda row: number(row["n_pairs"]),
        "only the mix right": spread("only_mix_right"),
        "only the reference right": spread("only_reference_right"),
        "median p": lambda row: number(row["median_p"], 2),
        "pairs with p < 0.05": lambda row: number(row["n_below"]),
    }
    sections = []
    for tested, part in table.groupby(TESTED, sort=False):
        note = (
            f"Two trained models, images as independent: up to {part['n_images'].max():.0f} test images of "
            f"{part['n_groups'].max():.0f} patients (images where unknown). Images that one model of a pair alone gets "
            "right (median and range over runs and test sets), and the exact test of McNemar for each pair. It is "
            "about these very models: not about new runs, and too sure where patients have several images; without "
            "Holm's correction."
        )
        sections.append(section(f"McNemar's test, two trained models: {place(tested)}", part, columns, note, 3))
    return "Single models against each other", table, sections


def replicates(metrics: Metrics) -> Table:
    """The mean difference over samplings that differ in their draw alone."""
    table, names = metrics["replicates"], metric_names(metrics)
    columns: Columns = {
        "classifier": lambda row: row["classifier"],
        "mix": lambda row: row["mix"],
        "reference": lambda row: row["reference"],
        "metric": lambda row: names[row["metric"]],
        "says": lambda row: row["verdict"],
        "replicates": lambda row: number(row["n_replicates"]),
        "difference": lambda row: signed(row["difference"]),
        "SD between replicates": lambda row: number(row["sd"], 2),
        "95 % interval": lambda row: limits(row["ci_low"], row["ci_high"], signed),
        "p (Holm)": lambda row: number(row["p_holm"]),
        "remark": lambda row: row["reason"],
    }
    chosen = is_headline(table, metrics) | table["metric"].isin(beside(metrics))
    sections: list[Section] = []
    for (*tested, question), rows in table[chosen].groupby([*TESTED, "question"], sort=False):
        note = (
            f"Replicated samplings: {', '.join(dict.fromkeys(rows['samplings']))}. Mean difference, its SD between "
            "replicates, and Student's 95 % interval and p-value with the replicates as units: other training images "
            "and another training of the generators. Holm's correction is for the comparisons of one metric."
        )
        sections.append(section(f"Replicates, {ASKED[question]}: {place(tested)}", rows, columns, note, 5))
    return "Replicated samplings", table, sections
