"""Tables of what the classifiers achieve: that of the paper, all mixes, all metrics, and single models."""

import math

import pandas as pd

from radsynth.report.arms import (
    ABOVE,
    AGAINST_BASELINE,
    BELOW,
    CORRECTED,
    HELPS,
    HURTS,
    NO_CONTROL,
    NO_MORE_THAN_THRESHOLD,
    NO_MORE_THAN_TRAINING,
    NO_WORSE_THAN_TRAINING,
    OTHER,
    Arms,
)
from radsynth.report.names import capitalised, metric_names
from radsynth.report.render import Cell, Columns, Section, Table, limits, mean_sd, number, section
from radsynth.report.tidy import (
    BASELINE,
    COHORT,
    OWN,
    TESTED,
    Metrics,
    headline_metrics,
    per_run,
    place,
    study_facts,
    task_of,
)

# The columns of the paper's tables: mixes by name, and how they are called there.
PAPER = {BASELINE: "baseline", "ddpm": "DDPM", "pggan": "PGGAN"}
# Metrics of one section each in the table of scores.
SCORES = {
    "Weighted averages": ["accuracy", "balanced_accuracy", "precision_weighted", "recall_weighted", "f1_weighted"],
    "Positive label": ["precision_positive", "recall_positive", "f1_positive"],
    "Ranking": ["roc_auc", "pr_auc"],
    "Threshold": [
        *("sensitivity_at_95_specificity", "specificity_at_that_threshold", "sensitivity_at_95_specificity_on_test"),
    ],
    "Calibration": ["brier", "ece", "calibration_slope", "calibration_intercept"],
}
NOTES = {
    "Threshold": (
        "The threshold of the first two comes from validation images of other patients, where there are any: its "
        "specificity on the test set need not be 95 %. The last one is read off the ROC curve of the test images "
        "themselves, which is too optimistic."
    ),
    "Calibration": (
        "Lower is better in the first two; probabilities that can be taken at their word have a slope of 1 and an "
        "intercept of 0. Slope below 1: too sure of itself."
    ),
}
# How a verdict, or a comparison with the baseline, is marked behind a value.
MARKS = {HELPS: " ↑", HURTS: " ↓", ABOVE: " ↑", BELOW: " ↓", NO_CONTROL: " (↑)"}
MARKS |= dict.fromkeys((NO_MORE_THAN_TRAINING, NO_MORE_THAN_THRESHOLD, NO_WORSE_THAN_TRAINING), " ≈")


def arms(metrics: Metrics, metric: str) -> pd.DataFrame:
    """Return n_runs, n_testsets, mean and sd of every TESTED, classifier and mix."""
    groups = per_run(metrics["classification"], metric).groupby([*TESTED, "classifier", "mix"], sort=False)
    return groups.agg(
        n_runs=("value", "count"), n_testsets=("n_testsets", "max"), mean=("value", "mean"), sd=("value", "std")
    ).reset_index()


def against_baseline(table: pd.DataFrame, metrics: Metrics, metric: str) -> pd.DataFrame:
    """Add difference, interval and verdict (above, below, undecided) of the comparison with the baseline alone."""
    keys = [*TESTED, "classifier", "mix"]
    rows = metrics["comparisons"]
    chosen = rows["question"].isin((AGAINST_BASELINE, OTHER)) & (rows["reference"] == BASELINE)
    rows = rows.loc[chosen & (rows["metric"] == metric), [*keys, "difference", "ci_low", "ci_high", "verdict"]]
    table = table.merge(rows, on=keys, how="left")
    return table.assign(verdict=table["verdict"].fillna(""))


def accuracy(metrics: Metrics) -> Table:
    """Accuracy in the layout of tables 4 to 7 of the paper, with the published values below ours in italics.

    It is the paper's own comparison: equal epochs, against the baseline alone. One section per data set, sampling and
    scenario; rows are classifiers, columns the baseline and those of the paper's two mixes that the study has, or that
    the paper prints for its cohorts. What was not run, or not printed, is empty. What it prints stands beside the tidy
    tables as ``published`` (``published.read_published``).
    """
    published = metrics["published"]
    ours = arms(metrics, "accuracy")
    ours = against_baseline(ours[ours["tested_on"] == OWN], metrics, "accuracy").drop(columns="tested_on")
    printed = published[published["metric"] == "accuracy"].rename(
        columns={"mean": "published_mean", "sd": "published_sd", "table": "published_table"}
    )
    printed = printed.merge(ours[COHORT].drop_duplicates(), on=COHORT)  # only cohorts of this study
    keys = [*COHORT, "classifier"]
    known = pd.concat([ours[[*keys, "mix"]], printed[[*keys, "mix"]]])
    mixes = [mix for mix in PAPER if mix in set(known["mix"])]
    cells = known[keys].drop_duplicates().merge(pd.DataFrame({"mix": mixes}, dtype=str), "cross")
    table = cells.merge(ours, on=[*keys, "mix"], how="left")
    table = table.merge(printed.drop(columns="metric"), on=[*keys, "mix"], how="left")
    texts = ["verdict", "published_mean", "published_sd", "published_table"]
    table[texts] = table[texts].fillna("")
    sections = [_paper_section(cohort, rows) for cohort, rows in table.groupby(COHORT, sort=False)]
    return "Accuracy: the paper's own comparison", table, sections


def _paper_section(cohort: tuple[str, str, str], rows: pd.DataFrame) -> Section:
    columns = [PAPER[mix] for mix in rows["mix"].unique()]
    lines: list[list[Cell | str]] = []
    for classifier, cells in rows.groupby("classifier", sort=False):
        cells = cells.set_index("mix")
        best = _best(cells)
        lines.append([classifier, *(_cell(cell, "bold" if mix == best else "") for mix, cell in cells.iterrows())])
        if cells["published_mean"].any():
            values = [
                f"{mean} ± {sd}" if mean else "" for mean, sd in cells[["published_mean", "published_sd"]].to_numpy()
            ]
            lines.append([Cell("published", "italic"), *(Cell(value, "italic") for value in values)])
    number_of_table = "".join(f" (the paper's Table {n})" for n in sorted(set(rows["published_table"]) - {""}))
    note = (
        f"The paper's own comparison: equal epochs, against the baseline alone; see the verdicts for the controlled "
        f"one. Mean ± SD ({_runs(rows)}). Bold: the best column where its difference to the baseline is decided (p < "
        "0.05 after Holm's correction), or the baseline where every other is decided to lie below it."
    )
    note += " In italics: what the paper prints." if number_of_table else ""
    return Section(f"Accuracy: {place(cohort)}{number_of_table}", ["classifier", *columns], lines, note)


def _cell(arm: pd.Series, style: str = "") -> Cell:
    return Cell("" if math.isnan(arm["n_runs"]) else mean_sd(arm["mean"], arm["sd"]), style)


def _runs(rows: pd.DataFrame) -> str:
    rows = rows.dropna(subset="n_runs")
    if rows.empty:
        return "no runs"
    low, high = int(rows["n_runs"].min()), int(rows["n_runs"].max())
    runs = f"{low}" if low == high else f"{low} to {high}"
    return f"runs: {runs}; test sets averaged in each run: {int(rows['n_testsets'].max())}"


def _best(cells: pd.DataFrame) -> str | None:
    """Return the mix with the highest mean if it can be told from the baseline."""
    cells = cells.dropna(subset="mean")
    if cells.empty:
        return None
    best = cells["mean"].idxmax()
    if best == BASELINE:
        others = cells["verdict"].drop(BASELINE)
        return best if len(others) and (others == BELOW).all() else None
    return best if cells.loc[best, "verdict"] == ABOVE else None


def mixes(metrics: Metrics) -> Table:
    """Accuracy (of labels) and headline metric of every arm on every real test set: rows arms, columns classifiers."""
    names, order = metric_names(metrics), Arms.of(study_facts(metrics))
    task = task_of(study_facts(metrics))
    headline, first = headline_metrics(task, metrics["cohorts"]), task.beside[:1]
    found = [_marked(metrics, metric) for metric in dict.fromkeys([*first, *headline.values()])]
    table = pd.concat(found, ignore_index=True)
    sections = []
    for tested, of_test in table.groupby(TESTED, sort=False):
        for metric, rows in of_test.groupby("metric", sort=False):
            if metric not in (*first, headline.get(tested[:3])):
                continue
            classifiers = list(dict.fromkeys(rows["classifier"]))
            lines: list[list[Cell | str]] = []
            for mix in order.in_order(rows["mix"]):
                if mix == CORRECTED and metric not in task.thresholded():
                    continue
                cells = rows[rows["mix"] == mix].set_index("classifier").reindex(classifiers)
                texts = [_cell(cell).text + MARKS.get(cell["verdict"], "") for _, cell in cells.iterrows()]
                lines.append([mix, order.describe(mix, tested[2]), *texts])
            note = (
                f"Mean ± SD ({_runs(rows)}). ↑ and ↓ behind a mix of real and synthetic images: it helps or hurts; ≈: "
                "its difference to the baseline is no more than longer training or a shifted threshold makes; (↑): "
                "above the baseline, without a control. Behind other arms: above or below the baseline. All after "
                "Holm's correction."
            )
            title = f"{capitalised(names[metric])} of all arms: {place(tested)}"
            sections.append(Section(title, ["mix", "what it is", *classifiers], lines, note, 2))
    return "All arms", table, sections


def _marked(metrics: Metrics, metric: str) -> pd.DataFrame:
    """Return the arms in a metric, with their verdict: of a mix that may help that word, else above or below."""
    keys = [*TESTED, "classifier", "mix"]
    table = against_baseline(arms(metrics, metric), metrics, metric).assign(metric=metric)
    words = metrics["verdicts"]
    words = words[words["metric"] == metric].set_index(keys)["verdict"]
    found = [words.get(tuple(row[keys]), row["verdict"]) for _, row in table.iterrows()]
    return table.assign(verdict=pd.Series(found, table.index, dtype=str))


def scores(metrics: Metrics) -> Table:
    """What the labels, the ranking, the threshold and the probabilities of every arm are worth."""
    shown, order = metric_names(metrics), Arms.of(study_facts(metrics))
    task = task_of(study_facts(metrics))
    groups = SCORES if task.of_labels else {"Metrics": list(task.titles())}
    names = [name for group in groups.values() for name in group]
    table = pd.concat([arms(metrics, name).assign(metric=name) for name in names], ignore_index=True)
    sections = []
    for tested, rows in table.groupby(TESTED, sort=False):
        cells = {(row["classifier"], row["mix"], row["metric"]): _cell(row) for _, row in rows.iterrows()}
        arms_of = {name: order.in_order(part["mix"]) for name, part in rows.groupby("classifier", sort=False)}
        for title, group in groups.items():
            hidden = {CORRECTED} if title in ("Ranking", "Threshold") else set()  # as the baseline's, or undefined
            lines = [
                [classifier, mix, *(cells.get((classifier, mix, name), "") for name in group)]
                for classifier, of_classifier in arms_of.items()
                for mix in of_classifier
                if mix not in hidden
            ]
            header = ["classifier", "mix", *(shown[name] for name in group)]
            note = f"Mean ± SD ({_runs(rows)}). {NOTES.get(title, '')}".rstrip()
            sections.append(Section(f"{title}: {place(tested)}", header, lines, note, 2))
    return "Scores", table, sections


SINGLE: Columns = {
    "classifier": lambda row: row["classifier"],
    "mix": lambda row: row["mix"],
    "run": lambda row: number(row["run"]),
    "test set": lambda row: row["testset"],
    "ROC-AUC": lambda row: f"{row['roc_auc']:.3f}" if not math.isnan(row["roc_auc"]) else "",
    "95 % interval": lambda row: limits(row["ci_low"], row["ci_high"], "{:.3f}".format),
    "remark": lambda row: row["reason"],
}


def roc_auc(metrics: Metrics) -> Table:
    """The ROC-AUC of every single model with DeLong's interval."""
    table = metrics["roc_auc"]
    sections = []
    for tested, rows in table.groupby(TESTED, sort=False):
        note = (
            "DeLong's 95 % interval, which takes the images as independent: too narrow where patients have several. "
            "It covers new images for this one trained model, not another run."
        )
        sections.append(section(f"ROC-AUC of single models: {place(tested)}", rows, SINGLE, note, 4))
    return "ROC-AUC of single models", table, sections
