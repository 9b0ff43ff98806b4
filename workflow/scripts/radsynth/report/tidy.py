"""The tidy tables of ``metrics/*.csv``: their columns, and one way to write and read them.

They are the archive's boundary: tables, figures and the summary see nothing else. An undefined value is empty, with
the reason in the column ``reason``. Floats have ten significant digits, so equal inputs give equal bytes.
"""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.files import write_text
from radsynth.common.tables import read_table

BASELINE = "baseline"
COHORT = ["dataset", "sampling", "scenario"]
# What is compared with each other: the classifiers of one cohort on its own test sets (``tested_on`` is ``test``), or
# on another dataset (``external_DATASET``). ``synthetic_GENERATOR`` are pools, see ``recognition``.
TESTED = [*COHORT, "tested_on"]
# ``common`` is the test set that all samplings of a scenario share.
OWN, COMMON, EXTERNAL, SYNTHETIC = "test", "common", "external_", "synthetic_"
# The key of study.csv that lists the generators whose model was chosen with a warning; there is none without them.
WARNINGS = "selection_warnings"

COLUMNS = {
    "study": ["key", "value"],
    "integrity": ["dataset", "label", "check", "count", "fatal", "what_was_done"],
    "cohorts": [
        *COHORT,
        *("subset", "label", "n_images", "n_patients", "mean_pairwise_distance", "extractor"),
        *("images_per_patient", "images_per_patient_available", "patient_safe", "available", "left_out", "reason"),
    ],
    "quality": [
        *COHORT,
        # Here and in the tables below ``generator`` names the pool, as in archives of before there were pools.
        *("generator", "label", "family", "metric", "extractor", "preprocessing", "weights_sha256", "reference"),
        *("value", "low", "high", "sd", "n_reference", "n_synthetic"),
        *("control", "control_sd", "control_is", "n_control_a", "n_control_b", "threshold", "reason", "note"),
        *("tail_n", "tail_k", "tail_limit", "tail_excess", "planted", "p_value", "n_comparisons", "p_holm"),
    ],
    "suspects": [
        *COHORT,
        *("generator", "label", "file", "metric", "extractor", "distance", "chance", "p_corrected"),
    ],
    "classification": [
        *TESTED,
        *("mix", "classifier", "run", "testset", "metric", "value", "reason", "architecture", "weights", "backend"),
    ],
    "test_images": [*COHORT, "testset", "image_id", "patient_id", "label"],
    "predictions": [
        *TESTED,
        *("mix", "classifier", "run", "testset", "labels", "positive_label", "threshold", "trained_on"),
        "probabilities",
    ],
    "confusion": [*TESTED, "mix", "classifier", "run", "testset", "true_label", "predicted_label", "count"],
    "roc_auc": [
        *TESTED,
        *("mix", "classifier", "run", "testset", "roc_auc", "standard_error", "ci_low", "ci_high"),
        *("n_positive", "n_negative", "reason"),
    ],
    "comparisons": [
        *TESTED,
        *("question", "classifier", "mix", "reference", "metric", "n_runs", "n_groups"),
        *("reference_mean", "reference_sd", "mix_mean", "mix_sd", "difference", "standard_error", "df"),
        *("ci_low", "ci_high", "detectable", "effect_size", "p_value", "n_comparisons", "p_holm", "verdict", "reason"),
    ],
    "verdicts": [
        *TESTED,
        *("classifier", "mix", "metric", "headline", "control"),
        *("p_value", "n_comparisons", "p_holm", "verdict", "reason"),
    ],
    "mcnemar": [
        *TESTED,
        *("question", "classifier", "mix", "reference", "run", "testset"),
        *("n_images", "n_groups", "only_mix_right", "only_reference_right", "p_value"),
    ],
    "replicates": [
        *TESTED,
        *("question", "classifier", "mix", "reference", "metric", "samplings", "n_replicates", "difference", "sd"),
        *("ci_low", "ci_high", "p_value", "n_comparisons", "p_holm", "verdict", "reason"),
    ],
    "recognition": [
        *COHORT,
        *("classifier", "run", "generator", "label", "n", "recognised", "mean_confidence"),
        *("n_real", "recognised_real", "mean_confidence_real"),
    ],
    "training": [
        *COHORT,
        *("generator", "unit", "step", "images", "resolution", "alpha", "loss", "critic_loss", "generator_loss"),
        *("real_score", "fake_score", "gradient_penalty", "images_per_s", "peak_memory_mb"),
    ],
    "costs": [
        *("stage", *COHORT, "name", "job", "seconds", "max_rss_mb", "cpu_percent", "device", "gpu_hours", "reason"),
    ],
}

NUMERIC = {
    *("value", "count", "n_images", "n_patients", "mean_pairwise_distance", "available", "left_out", "run"),
    *("images_per_patient", "images_per_patient_available"),
    *("low", "high", "n_reference", "n_synthetic", "control", "control_sd", "n_control_a", "n_control_b"),
    *("tail_n", "tail_k", "tail_limit", "tail_excess", "planted", "distance", "chance", "p_corrected"),
    *("threshold", "n_runs", "n_groups", "reference_mean", "reference_sd", "mix_mean", "mix_sd"),
    *("difference", "standard_error", "df", "ci_low", "ci_high", "detectable", "effect_size", "p_value"),
    *("n_comparisons", "p_holm", "n_images", "only_mix_right", "only_reference_right"),
    *("n_replicates", "sd", "roc_auc", "n_positive", "n_negative"),
    *("n", "recognised", "mean_confidence", "n_real", "recognised_real", "mean_confidence_real"),
    *("step", "images", "resolution", "alpha", "loss", "critic_loss", "generator_loss"),
    *("real_score", "fake_score", "gradient_penalty", "images_per_s", "peak_memory_mb"),
    *("seconds", "max_rss_mb", "cpu_percent", "gpu_hours"),
}

# Columns that are texts in one table, and numbers in the others.
CONTROLS = ("verdicts", "control")
TEXTS = {("study", "value"), CONTROLS, ("predictions", "threshold")}

# Texts of any kind, and lists. Every other text is a name, of the characters that the configuration allows.
FREE = {
    *("reason", "note", "what_was_done", "preprocessing", "device", "file", "samplings", "labels", "positive_label"),
    *("verdict", "job", "trained_on", "probabilities"),
}
NAME = re.compile(r"[A-Za-z0-9_-]*")
# The facts of a study that stand in sentences.
NAMED_FACTS = ("study", "positive_label", "image_size")

# A training cohort counts as balanced up to this ratio of its most frequent label to its rarest.
BALANCED = 1.5

Metrics = dict[str, pd.DataFrame]


def as_text(value: Any) -> str:
    """Return a value as it stands in a csv: ten significant digits, ``true``/``false``, empty for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _texts(columns: list[str], rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([[as_text(row.get(column)) for column in columns] for row in rows], columns=columns, dtype=str)


def write_csv(path: str | Path, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as csv with exactly these columns; a key that is missing from a row is left empty."""
    write_text(path, _texts(columns, rows).to_csv(index=False, lineterminator="\n"))


def as_table(name: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as the table that ``read_metrics`` reads after they were written."""
    return _typed(name, _texts(COLUMNS[name], rows))


def read_metrics(files: Mapping[str, str | Path]) -> Metrics:
    """Return the metrics tables by name. Numeric columns are floats (NaN where empty), the others strings.

    ``files`` gives the path of each table. Raises UserError if a file is missing or lacks a column, or if something
    else stands in place of a name, which is written into pages and tables as it is.
    """
    return {name: _read(name, Path(path)) for name, path in files.items()}


def _read(name: str, path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"{path}: not found, expected the table `{name}` of the metrics")
    table = read_table(path, COLUMNS[name])
    _check_names(name, path, table)
    try:
        return _typed(name, table)
    except ValueError as error:
        raise UserError(f"{path}: a text in place of a number ({str(error)[:80]!r})") from None


def _check_names(name: str, path: Path, table: pd.DataFrame) -> None:
    """Raise UserError if anything else stands in place of a name."""
    columns = [column for column in COLUMNS[name] if column not in FREE | NUMERIC or (name, column) == CONTROLS]
    cells = [(column, value) for column in columns for value in table[column].unique()]
    if name == "study":
        cells += [("value", value) for value in table.loc[table["key"].isin(NAMED_FACTS), "value"]]
    for column, value in cells:
        if not NAME.fullmatch(value):
            raise UserError(f"{path}: {value[:60]!r} in column {column}, expected a name of letters, digits, _ and -")


def _typed(name: str, table: pd.DataFrame) -> pd.DataFrame:
    for column in table.columns:
        if column in NUMERIC and (name, column) not in TEXTS:
            table[column] = pd.to_numeric(table[column].replace("", None)).astype(float)
    return table


def headline_metrics(cohorts: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Return by cohort the metric in which it is asked whether a mix helps; ``cohorts`` are the rows of cohorts.csv.

    None of them moves with a threshold: ROC-AUC with two labels that are about as frequent in training, PR-AUC where
    one is rarer, the macro average of one-against-the-rest ROC-AUC with more labels.
    """
    train = cohorts[cohorts["subset"] == "train"]
    return {
        cohort: "pr_auc" if len(n) == 2 and n.max() > BALANCED * n.min() else "roc_auc"
        for cohort, n in train.groupby(COHORT, sort=False)["n_images"]
    }


def study_facts(metrics: Metrics) -> dict[str, str]:
    """Return the facts of the study, by key."""
    table = metrics["study"]
    return dict(zip(table["key"], table["value"], strict=True))


def labels_in_order(metrics: Metrics, names: Iterable[str]) -> list[str]:
    """Return distinct labels in the order of the study; others, of a study that does not tell, as they appear."""
    labels = study_facts(metrics).get("labels", "").split(", ")
    names = list(dict.fromkeys(names))
    return [label for label in labels if label in names] + [name for name in names if name not in labels]


def place(names: Iterable[str]) -> str:
    """Return dataset, sampling, scenario and, if given, what was tested on, as words."""
    *cohort, tested_on = names if len(names := tuple(names)) > len(COHORT) else (*names, OWN)
    where = {OWN: [], COMMON: ["tested on the images that no sampling has drawn"]}
    return ", ".join([*cohort, *where.get(tested_on, [f"tested on {tested_on.removeprefix(EXTERNAL)}"])])


def range_text(numbers: Iterable[float]) -> str:
    """Return ``5``, or ``5 to 7`` where the numbers differ."""
    low, high = int(min(numbers)), int(max(numbers))
    return f"{low}" if low == high else f"{low} to {high}"


def on_real_images(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of evaluations on real images, without those on pools."""
    return table[~table["tested_on"].str.startswith(SYNTHETIC)]


def per_run(classification: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return one value per run on real images: the mean over its test sets, NaN if one of them is undefined.

    Columns: dataset, sampling, scenario, tested_on, classifier, mix, run, value, n_testsets; order of appearance.
    """
    keys = [*TESTED, "classifier", "mix", "run"]
    chosen = on_real_images(classification[classification["metric"] == metric])
    groups = chosen.groupby(keys, sort=False)["value"]
    return groups.agg(value=lambda values: values.mean(skipna=False), n_testsets="size").reset_index()
