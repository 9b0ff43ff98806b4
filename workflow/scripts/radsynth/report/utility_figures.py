"""The figures of what the classifiers achieve."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radsynth.report.arms import (
    CORRECTED,
    HELPS,
    HURTS,
    NO_MORE_THAN_THRESHOLD,
    NO_MORE_THAN_TRAINING,
    NO_WORSE_THAN_TRAINING,
    OTHER,
    REFERENCES,
    UNDECIDED,
    Arms,
)
from radsynth.report.drawing import (
    GREY,
    STYLE,
    grid,
    height,
    label_rows,
    legend,
    marker,
    mix_styles,
    nothing,
    offset,
    share_range,
    title,
    wrap,
)
from radsynth.report.names import capitalised, metric_names
from radsynth.report.tidy import (
    BASELINE,
    TESTED,
    Metrics,
    headline_metrics,
    per_run,
    place,
    range_text,
    study_facts,
    task_of,
)

# Height in mm of one mix in the rows of a classifier.
MIX_HEIGHT = 2.2
# How the interval of a difference is drawn, by what a mix is compared with.
LINES = {"baseline": "-", "control": (0, (4, 1.5)), "corrected": (0, (1, 1.2))}
# What the marks beside a mix's intervals say.
SAYS = {
    r"$\uparrow$": "helps",
    r"$\downarrow$": "hurts",
    r"$\approx$": "explained by a reference",
}
DRAWN = {
    HELPS: r"$\uparrow$",
    HURTS: r"$\downarrow$",
    **dict.fromkeys((NO_MORE_THAN_TRAINING, NO_MORE_THAN_THRESHOLD, NO_WORSE_THAN_TRAINING), r"$\approx$"),
}


def accuracy_f1(metrics: Metrics) -> Figure:
    """Accuracy and weighted F1 of every classifier and arm (the paper's figure 8): mean, SD and the single runs."""
    return _values(metrics, ["accuracy", "f1_weighted"], [], same_range=True)


def detection(metrics: Metrics) -> Figure:
    """PR-AUC and sensitivity at 95 % specificity: what counts where the positive label is rare.

    The sensitivity at a threshold from validation images is left out where no evaluation has one.
    """
    at_threshold = "sensitivity_at_95_specificity"
    names = ["pr_auc", at_threshold, f"{at_threshold}_on_test"]
    if per_run(metrics["classification"], at_threshold)["value"].isna().all():
        names.remove(at_threshold)
    return _values(metrics, names, [CORRECTED], same_range=False)


def _values(metrics: Metrics, names: list[str], without: list[str], same_range: bool) -> Figure:
    """Draw metrics side by side, of all arms but those ``without``."""
    shown = metric_names(metrics)
    table = metrics["classification"]
    runs = {name: per_run(table[~table["mix"].isin(without)], name) for name in names}
    if runs[names[0]].empty:
        return nothing(f"{capitalised(shown[names[0]])} was not measured")
    mixes = Arms.of(study_facts(metrics)).in_order(runs[names[0]]["mix"])
    styles = mix_styles(mixes)
    tests = list(runs[names[0]].groupby(TESTED, sort=False))
    with mpl.rc_context(STYLE):
        labels = [list(dict.fromkeys(rows["classifier"])) for _, rows in tests]
        below = {name: wrap(f"{capitalised(shown[name])}, mean ± SD", 90 // len(names)) for name in names}
        heights = [height(classifiers, 2 + MIX_HEIGHT * len(mixes)) for classifiers in labels]
        figure, axes = grid(heights, len(names), 1 + max(text.count("\n") for text in below.values()))
        for line, (tested, rows), classifiers in zip(axes, tests, labels, strict=True):
            for axis, name in zip(line, names, strict=True):
                table = runs[name]
                table = table[(table[TESTED] == list(tested)).all(axis=1)]
                for (classifier, mix), arm in table.groupby(["classifier", "mix"], sort=False):
                    y = classifiers.index(classifier) + offset(mixes.index(mix), len(mixes))
                    _runs(axis, arm["value"].dropna(), y, *styles[mix])
                label_rows(axis, classifiers)
                axis.set_xlabel(below[name])
                axis.locator_params(axis="x", nbins=6)
            n_runs = rows.groupby(["classifier", "mix"], sort=False).size()
            title(line[0], place(tested), f"{_runs_text(n_runs)}, {_n_test(metrics, tested)}")
            if same_range:
                share_range(line)
        handles = [marker(mix, *styles[mix]) for mix in mixes]
        handles.append(marker("single run", "#000000", "o", markerfacecolor="none", markeredgewidth=0.6))
        handles[-1].set_markersize(3)
        legend(figure, handles)
    return figure


def _runs(axis, values: pd.Series, y: float, colour: str, symbol: str) -> None:
    if values.empty:
        return
    axis.plot(values, [y] * len(values), "o", color=colour, markerfacecolor="none", markersize=3, markeredgewidth=0.6)
    sd = values.std() if len(values) > 1 else 0
    axis.errorbar(
        values.mean(), y, xerr=sd, color=colour, marker=symbol, markersize=4.5, elinewidth=1.1, capsize=2, zorder=3
    )


def _n_test(metrics: Metrics, tested: tuple[str, ...]) -> str:
    """Return the number of test images in words, from the confusion matrices, and of their patients."""
    rows = metrics["confusion"]
    rows = rows[(rows[TESTED] == list(tested)).all(axis=1)]
    sizes = rows.groupby(["mix", "classifier", "run", "testset"], sort=False)["count"].sum()
    n_sets = rows["testset"].nunique()
    text = f"{n_sets} test sets of {range_text(sizes)} images" if n_sets > 1 else f"{range_text(sizes)} test images"
    compared = metrics["comparisons"]
    groups = compared.loc[(compared[TESTED] == list(tested)).all(axis=1), "n_groups"]
    return f"{text} of {_patients(groups)}" if len(groups) else text


def _patients(numbers: Iterable[float]) -> str:
    return f"{range_text(numbers)} patients (images where unknown)"


def _runs_text(numbers: Iterable[float]) -> str:
    text = range_text(numbers)
    return f"{text} run" if text == "1" else f"{text} runs"


def differences(metrics: Metrics) -> Figure:
    """Difference of every mix to each of its references with its 95 % interval, and the verdict: does it help?

    Columns: the headline metric of the cohort, accuracy and weighted F1.
    """
    arms, shown = Arms.of(study_facts(metrics)), metric_names(metrics)
    table = metrics["comparisons"]
    table = table[table["question"].isin(REFERENCES) | ((table["question"] == OTHER) & table["mix"].isin(arms.mixes))]
    if table.empty:
        return nothing("No mix besides the baseline")
    kinds = table["reference"].map({BASELINE: "baseline", CORRECTED: "corrected"}).fillna("control")
    table = table.assign(kind=kinds)
    mixes = arms.in_order(table["mix"])
    styles = mix_styles([BASELINE, *mixes])
    found = set(zip(table["mix"], table["kind"], strict=True))
    places = [(mix, kind) for mix in mixes for kind in LINES if (mix, kind) in found]
    chosen, others = _shown_differences(metrics)
    tests = list(table.groupby(TESTED, sort=False))
    with mpl.rc_context(STYLE):
        labels = [list(dict.fromkeys(rows["classifier"])) for _, rows in tests]
        figure, axes = grid(
            [height(classifiers, 2 + MIX_HEIGHT * len(places)) for classifiers in labels], 1 + len(others)
        )
        for line, (tested, rows), classifiers in zip(axes, tests, labels, strict=True):
            names = [chosen[tested[:3]], *others]
            rows = rows[rows["metric"].isin(names)]
            for axis, name in zip(line, names, strict=True):
                axis.axvline(0, color="#000000", linewidth=0.8)
                for _, row in rows[rows["metric"] == name].iterrows():
                    y = classifiers.index(row["classifier"]) + offset(
                        places.index((row["mix"], row["kind"])), len(places)
                    )
                    _difference(axis, row, y, *styles[row["mix"]])
                for classifier, mix, mark in _marks(metrics, tested, name):
                    own = [index for index, (of, _) in enumerate(places) if of == mix]
                    y = classifiers.index(classifier) + offset(sum(own) / len(own), len(places))
                    axis.plot(
                        1.03,
                        y,
                        marker=mark,
                        transform=axis.get_yaxis_transform(),
                        color="#000000",
                        mew=0,
                        ms=4.5,
                        clip_on=False,
                    )
                label_rows(axis, classifiers)
                axis.set_xlabel(f"Δ {capitalised(shown[name])}")
                axis.locator_params(axis="x", nbins=5)
            n_runs = _runs_text(rows["n_runs"])
            title(line[0], place(tested), f"{n_runs}, test images of {_patients(rows['n_groups'])}")
        handles = [marker(mix, *styles[mix]) for mix in mixes]
        handles += [
            Line2D([], [], color=GREY, linewidth=1.3, linestyle=style, label=f"mix − {words}")
            for words, style in zip(("baseline", "matched control", "corrected baseline"), LINES.values(), strict=True)
        ]
        handles.append(marker("undecided", GREY, "o", markerfacecolor="#ffffff"))
        handles += [marker(words, "#000000", mark, markeredgewidth=0) for mark, words in SAYS.items()]
        legend(figure, handles)
    return figure


def _shown_differences(metrics: Metrics) -> tuple[Mapping[tuple[str, ...], str], list[str]]:
    """Return the metric that differences are shown in first, by cohort, and those that stand beside it."""
    task = task_of(study_facts(metrics))
    headline = headline_metrics(task, metrics["cohorts"])
    others = [name for name in ("accuracy", "f1_weighted") if name in task.beside]
    return defaultdict(lambda: task.headline(()), headline), others


def _marks(metrics: Metrics, tested: tuple[str, ...], metric: str) -> list[tuple[str, str, str]]:
    """Return classifier, mix and mark of every verdict on a test that decides something."""
    rows = metrics["verdicts"]
    rows = rows[(rows[TESTED] == list(tested)).all(axis=1) & (rows["metric"] == metric)]
    return [
        (row["classifier"], row["mix"], DRAWN[row["verdict"]]) for _, row in rows.iterrows() if row["verdict"] in DRAWN
    ]


def _difference(axis, row: pd.Series, y: float, colour: str, symbol: str) -> None:
    if not np.isnan(row["ci_low"]):
        axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.2, linestyle=LINES[row["kind"]])
    face = "#ffffff" if row["verdict"] == UNDECIDED else colour
    axis.plot(row["difference"], y, symbol, color=colour, markerfacecolor=face, markersize=4, zorder=3)
