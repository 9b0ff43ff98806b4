"""What the numbers say, in words, about what the synthetic images are worth to the classifiers."""

import pandas as pd

from radsynth.report.arms import (
    AGAINST_BASELINE,
    AGAINST_CONTROL,
    AGAINST_CORRECTED,
    CONTROL,
    CORRECTED,
    GENERATORS,
    OTHER,
    REFERENCES,
    SAMPLINGS,
    UNDECIDED,
    Arms,
)
from radsynth.report.names import beside, metric_names
from radsynth.report.outcomes import answer, difference, headline_outcomes, is_headline, outcomes, tally, value
from radsynth.report.render import number, signed
from radsynth.report.tidy import COHORT, COMMON, OWN, TESTED, Metrics, place, range_text, study_facts, task_of


def headline(metrics: Metrics) -> str:
    """Return the first outcome on a cohort's own test sets; without any, the first other comparison."""
    names = metric_names(metrics)
    for _, row in headline_outcomes(metrics).head(1).iterrows():
        parts = [f"{row['verdict']}; {_about(row, names)}: {_values(row)}; {_differences(row)}"]
        parts += [f"accuracy {_values(other)}" for _, other in _beside(outcomes(metrics), row, ["accuracy"]).iterrows()]
        return "; ".join(parts)
    rows = _comparisons(metrics, OTHER)
    for _, row in rows[rows["tested_on"] == OWN].head(1).iterrows():
        return (
            f"no mix of real and synthetic images was compared; {_about(row, names)}: {value(row['reference_mean'])} "
            f"with {row['reference']}, {value(row['mix_mean'])} with {row['mix']}; difference {difference(row)}: "
            f"{row['verdict']}"
        )
    return "no mix besides the baseline was compared"


def opening(metrics: Metrics) -> list[str]:
    """Return the answer, which stands before all sections."""
    return [overall(metrics)]


def overall(metrics: Metrics) -> str:
    """Return the answer to the question whether the synthetic images help, and what it rests on."""
    rows, names = headline_outcomes(metrics), metric_names(metrics)
    if rows.empty:
        return "There is no mix of real and synthetic images to compare with real images alone."
    shown = " or ".join(names[metric] for metric in dict.fromkeys(rows["metric"]))
    controlled = int((rows["control"] != "").sum())
    references = "real images alone, trained for as many epochs (the baseline)"
    if controlled:
        references += f" and for as many steps with the same class frequencies (its matched control, `{CONTROL}...`)"
    parts = [
        f"**{answer(set(rows['verdict']))}.** Each mix of real and synthetic images is compared with {references}.",
        f"By {shown}: {tally(rows)}.",
    ]
    if controlled < len(rows):
        parts.append("No control was trained" + (f" for {len(rows) - controlled} of them." if controlled else "."))
    untested = rows[rows["p_holm"].isna()]
    if len(untested):
        reasons = "; ".join(dict.fromkeys(untested["reason"]))
        parts.append(f"Without a p-value: {len(untested)} of {len(rows)} ({reasons}).")
    undecided = rows[(rows["verdict"] == UNDECIDED) & rows["p_holm"].notna()]
    needed = undecided[[f"{name}_detectable" for name in REFERENCES]].max(axis=1).dropna()
    if len(needed):
        span = " to ".join(dict.fromkeys(f"{limit:.3f}" for limit in (needed.min(), needed.max())))
        parts.append(f"The smallest difference that could have been decided where none was: {span}.")
    others = outcomes(metrics)
    others = others[(others["metric"] == "accuracy") & (others["tested_on"] == OWN)]
    if len(others):
        also = ", also against the baseline with corrected outputs" if (others["corrected_verdict"] != "").any() else ""
        parts.append(f"By accuracy{also}: {tally(others)}.")
    return " ".join(parts)


def sentences(metrics: Metrics) -> list[str]:
    """Return the section of the summary: by cohort every outcome and comparison, then other tests and replicates."""
    lines: list[str] = []
    table = metrics["comparisons"]
    for cohort, rows in table[table["tested_on"] == OWN].groupby(COHORT, sort=False):
        rows = rows[rows["metric"] == task_of(study_facts(metrics)).compared()[0]]
        counts = (
            f"runs: {range_text(rows['n_runs'])}; test patients, images where unknown: {range_text(rows['n_groups'])}"
        )
        lines.append(f"**{place(cohort)}** ({counts})\n")
        lines += [*_outcomes(metrics, cohort), *_longer_training(metrics, cohort), *_threshold(metrics, cohort)]
        lines += [*_generators(metrics, cohort), *_other_arms(metrics, cohort)]
    lines += [*_samplings(metrics), *_other_tests(metrics), *_replicates(metrics)]
    return ["\n## Does it help?\n", *(lines or ["Nothing was compared."])]


def _about(row: pd.Series, names: dict[str, str]) -> str:
    return f"{names[row['metric']]} of {row['classifier']} ({place(row[COHORT])})"


def _values(row: pd.Series) -> str:
    """Return the values of an outcome's arms: real images alone, its control, the corrected baseline, the mix."""
    words = {
        AGAINST_BASELINE: "with real images alone",
        AGAINST_CORRECTED: "with their outputs corrected",
        AGAINST_CONTROL: f"with {row['control']}",
    }
    found = {name: row[f"{name}_reference_mean"] for name in words}
    parts = [f"{value(mean)} {words[name]}" for name, mean in found.items() if pd.notna(mean)]
    return ", ".join([*parts, f"{value(row['mix_mean'])} with {row['mix']}"])


def _short(row: pd.Series) -> str:
    words = {AGAINST_BASELINE: "baseline", AGAINST_CORRECTED: "corrected", AGAINST_CONTROL: "control"}
    found = {words[name]: row[f"{name}_reference_mean"] for name in words} | {"mix": row["mix_mean"]}
    return ", ".join(f"{name} {value(mean)}" for name, mean in found.items() if pd.notna(mean))


def _differences(row: pd.Series) -> str:
    text = f"against real images alone {difference(row, AGAINST_BASELINE)}"
    if not row["control"]:
        return f"{text}; no control was trained"
    return f"{text}, against {row['control']} {difference(row, AGAINST_CONTROL)}"


def _beside(table: pd.DataFrame, row: pd.Series, names: list[str]) -> pd.DataFrame:
    """Return the outcomes in ``table`` of the same arm on the same test in other metrics, in the order of ``names``."""
    keys = [*TESTED, "classifier", "mix"]
    table = table[(table[keys] == row[keys]).all(axis=1) & table["metric"].isin(names)]
    return table.sort_values("metric", key=lambda column: column.map(names.index))


def _outcomes(metrics: Metrics, cohort: tuple[str, str, str]) -> list[str]:
    names, lines = metric_names(metrics), []
    table = _of(outcomes(metrics), cohort)
    for _, row in table[table["headline"]].iterrows():
        lines.append(
            f"- {row['classifier']} with {row['mix']}: **{row['verdict']}**; {names[row['metric']]} {_values(row)}; "
            f"{_differences(row)}."
        )
        others = [
            f"{names[other['metric']]} {_short(other)}: {other['verdict']}"
            for _, other in _beside(table, row, list(beside(metrics))).iterrows()
        ]
        lines += [f"    - {'; '.join(others)}."] if others else []
    return [*lines, ""] if lines else []


def _comparisons(metrics: Metrics, question: str) -> pd.DataFrame:
    """Return the comparisons of one question in the headline metrics."""
    table = metrics["comparisons"]
    table = table[table["question"] == question]
    return table[is_headline(table, metrics)]


def _of(rows: pd.DataFrame, cohort: tuple[str, str, str]) -> pd.DataFrame:
    """Return the rows of a cohort's own test sets."""
    return rows[(rows[TESTED] == [*cohort, OWN]).all(axis=1)]


def _listed(title: str, rows: pd.DataFrame, metrics: Metrics, pair: str = "{mix} against {reference}") -> list[str]:
    """Return a titled list of comparisons, each with its difference and what it says."""
    names = metric_names(metrics)
    lines = [
        f"- {row['classifier']}, {pair.format(**row)}: {names[row['metric']]} {difference(row)}: **{row['verdict']}**."
        for _, row in rows.iterrows()
    ]
    return [f"*{title}*\n", *lines, ""] if lines else []


def _longer_training(metrics: Metrics, cohort: tuple[str, str, str]) -> list[str]:
    controls = set(Arms.of(study_facts(metrics)).controls.get(cohort[2], {}).values())
    rows = _of(_comparisons(metrics, OTHER), cohort)
    title = "What longer training alone did: matched controls, real images only, against real images for equal epochs"
    return _listed(title, rows[rows["mix"].isin(controls)], metrics)


def _threshold(metrics: Metrics, cohort: tuple[str, str, str]) -> list[str]:
    rows = _of(metrics["comparisons"], cohort)
    rows = rows[(rows["mix"] == CORRECTED) & (rows["metric"] == "accuracy")]
    title = (
        "What a shifted threshold alone did: the baseline, its outputs corrected for the test set's class frequencies"
    )
    return _listed(title, rows, metrics)


def _generators(metrics: Metrics, cohort: tuple[str, str, str]) -> list[str]:
    return _listed("Generators against each other", _of(_comparisons(metrics, GENERATORS), cohort), metrics)


def _other_arms(metrics: Metrics, cohort: tuple[str, str, str]) -> list[str]:
    rows = _of(_comparisons(metrics, OTHER), cohort)
    title = "Other arms, of which it is not asked whether they help"
    return _listed(title, rows[rows["mix"].isin(Arms.of(study_facts(metrics)).mixes)], metrics)


def _samplings(metrics: Metrics) -> list[str]:
    """Return the samplings against each other, on the test set that they share alone."""
    rows, lines, arms = _comparisons(metrics, SAMPLINGS), [], Arms.of(study_facts(metrics))
    rows = rows[rows["mix"].isin(arms.mixes)]
    for (dataset, scenario), part in metrics["cohorts"].groupby(["dataset", "scenario"], sort=False):
        methods = [arms.method(sampling) for sampling in part["sampling"].unique()]
        if all(method == methods[0] for method in methods):
            continue
        common = part[(part["subset"] == COMMON) & (part["sampling"] == part["sampling"].iloc[0])]
        if not common["n_images"].sum():
            lines += [f"{dataset}, {scenario}: no image is left that no sampling has drawn: nothing can be said.", ""]
            continue
        compared = rows[(rows["dataset"] == dataset) & (rows["scenario"] == scenario)]
        title = f"{dataset}, {scenario}: tested on {images(common)}"
        lines += _listed(title, compared, metrics, "{mix}: {sampling} against {reference}") or [f"*{title}*", ""]
    title = "**Samplings against each other** (on the images that none of them has drawn: their own tests differ)\n"
    return [title, *lines] if lines else []


def images(subset: pd.DataFrame) -> str:
    """Return ``200 NORMAL (165 patients) + 200 PNEUMONIA (150 patients)`` of the rows of a subset in cohorts.csv."""
    return " + ".join(
        f"{row['n_images']:.0f} {row['label']} ({number(row['n_patients']) or 'unknown'} patients)"
        for _, row in subset.iterrows()
    )


def _other_tests(metrics: Metrics) -> list[str]:
    names, table = metric_names(metrics), outcomes(metrics)
    table = table[table["headline"] & (table["tested_on"] != OWN)]
    lines = []
    for tested, rows in table.groupby(TESTED, sort=False):
        span = " to ".join(signed(limit) for limit in rows["baseline_difference"].agg(["min", "max"]))
        lines.append(
            f"- {place(tested)} (test patients, images where unknown: {range_text(rows['n_groups'])}): {tally(rows)}; "
            f"differences in {names[rows['metric'].iloc[0]]} to real images alone {span or 'undefined'}."
        )
    return ["**Other test sets**\n", *lines, ""] if lines else []


def _replicates(metrics: Metrics) -> list[str]:
    names, table = metric_names(metrics), metrics["replicates"]
    table = table[table["question"].isin((AGAINST_BASELINE, AGAINST_CONTROL)) & is_headline(table, metrics)]
    lines = [
        f"- {row['classifier']} with {row['mix']} against {row['reference']} ({place(row[TESTED])}) over "
        f"{row['samplings'].replace(';', ',')}: {names[row['metric']]} {difference(row)}"
        + ("" if pd.isna(row["sd"]) else f", SD between replicates {row['sd']:.3f}")
        + f": **{row['verdict']}**."
        for _, row in table.iterrows()
    ]
    title = "**Replicated samplings** (each with its own training images and generators)\n"
    return [title, *lines, ""] if lines else []
