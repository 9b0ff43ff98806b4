"""The figures of what the classifiers achieve, and the list of all figures."""

from collections.abc import Callable, Iterable

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radsynth.analysis import heat_map, image_figures, quality_figures
from radsynth.analysis.drawing import (
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
)
from radsynth.analysis.tidy import BASELINE, TESTED, Metrics, mixes_in_order, per_run, place, range_text

NAMES = {
    "accuracy": "Accuracy",
    "f1_weighted": "F1 (weighted)",
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "sensitivity_at_95_specificity": "Sensitivity at 95 % specificity",
}
# Height in mm of one mix in the rows of a classifier.
MIX_HEIGHT = 2.2


def accuracy_f1(metrics: Metrics) -> Figure:
    """Accuracy and weighted F1 of every classifier and mix (the paper's figure 8): mean, SD and the single runs."""
    return _values(metrics, ["accuracy", "f1_weighted"], same_range=True)


def detection(metrics: Metrics) -> Figure:
    """PR-AUC and sensitivity at 95 % specificity: what counts where the positive label is rare."""
    return _values(metrics, ["pr_auc", "sensitivity_at_95_specificity"], same_range=False)


def _values(metrics: Metrics, names: list[str], same_range: bool) -> Figure:
    runs = {name: per_run(metrics["classification"], name) for name in names}
    if runs[names[0]].empty:
        return nothing(f"{NAMES[names[0]]} was not measured")
    mixes = mixes_in_order(runs[names[0]]["mix"])
    styles = mix_styles(mixes)
    tests = list(runs[names[0]].groupby(TESTED, sort=False))
    with mpl.rc_context(STYLE):
        labels = [list(dict.fromkeys(rows["classifier"])) for _, rows in tests]
        figure, axes = grid([height(classifiers, 2 + MIX_HEIGHT * len(mixes)) for classifiers in labels], len(names))
        for line, (tested, rows), classifiers in zip(axes, tests, labels, strict=True):
            for axis, name in zip(line, names, strict=True):
                table = runs[name]
                table = table[(table[TESTED] == list(tested)).all(axis=1)]
                for (classifier, mix), arm in table.groupby(["classifier", "mix"], sort=False):
                    y = classifiers.index(classifier) + offset(mixes.index(mix), len(mixes))
                    _runs(axis, arm["value"].dropna(), y, *styles[mix])
                label_rows(axis, classifiers)
                axis.set_xlabel(f"{NAMES[name]}, mean ± SD")
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
    """Return the number of test images in words, from the confusion matrices."""
    rows = metrics["confusion"]
    rows = rows[(rows[TESTED] == list(tested)).all(axis=1)]
    sizes = rows.groupby(["mix", "classifier", "run", "testset"], sort=False)["count"].sum()
    n_sets = rows["testset"].nunique()
    return f"{n_sets} test sets of {range_text(sizes)} images" if n_sets > 1 else f"{range_text(sizes)} test images"


def _runs_text(numbers: Iterable[float]) -> str:
    text = range_text(numbers)
    return f"{text} run" if text == "1" else f"{text} runs"


def differences(metrics: Metrics) -> Figure:
    """Difference of every mix to the baseline with its 95 % interval: accuracy, weighted F1 and ROC-AUC."""
    table = metrics["comparisons"]
    if table.empty:
        return nothing("No mix besides the baseline")
    names = ["accuracy", "f1_weighted", "roc_auc"]
    mixes = list(dict.fromkeys(table["mix"]))
    styles = mix_styles([BASELINE, *mixes])
    tests = list(table.groupby(TESTED, sort=False))
    with mpl.rc_context(STYLE):
        labels = [list(dict.fromkeys(rows["classifier"])) for _, rows in tests]
        figure, axes = grid([height(classifiers, 2 + MIX_HEIGHT * len(mixes)) for classifiers in labels], len(names))
        for line, (tested, rows), classifiers in zip(axes, tests, labels, strict=True):
            for axis, name in zip(line, names, strict=True):
                axis.axvline(0, color="#000000", linewidth=0.8)
                for _, row in rows[rows["metric"] == name].iterrows():
                    y = classifiers.index(row["classifier"]) + offset(mixes.index(row["mix"]), len(mixes))
                    _difference(axis, row, y, *styles[row["mix"]])
                label_rows(axis, classifiers)
                axis.set_xlabel(f"Δ {NAMES[name]}")
                axis.locator_params(axis="x", nbins=5)
            n_runs, n_groups = _runs_text(rows["n_runs"]), range_text(rows["n_groups"])
            title(line[0], place(tested), f"{n_runs}, {n_groups} test patients (images where unknown)")
        handles = [marker(mix, *styles[mix]) for mix in mixes]
        handles.append(Line2D([], [], color="#777777", linewidth=1.3, label="95 % interval of Δ = mix − baseline"))
        handles.append(marker("interval holds 0", "#777777", "o", markerfacecolor="#ffffff"))
        handles.append(marker("p (Holm) < 0.05", "#777777", "o", markeredgecolor="#000000"))
        legend(figure, handles)
    return figure


def _difference(axis, row: pd.Series, y: float, colour: str, symbol: str) -> None:
    if not np.isnan(row["ci_low"]):
        axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.2)
    face = "#ffffff" if row["verdict"] == "undecided" else colour
    edge = colour if row["verdict_holm"] == "undecided" else "#000000"
    axis.plot(row["difference"], y, symbol, markerfacecolor=face, markeredgecolor=edge, markersize=4.2, zorder=3)


FIGURES: dict[str, Callable[[Metrics], Figure]] = {
    "training_loss": image_figures.training_loss,
    "heat_map": heat_map.heat_map,
    "distances": quality_figures.distances,
    "manifold": quality_figures.manifold,
    "diversity": quality_figures.diversity,
    "similarity": quality_figures.similarity,
    "memorisation": quality_figures.memorisation,
    "recognition": image_figures.recognition,
    "accuracy_f1": accuracy_f1,
    "detection": detection,
    "differences": differences,
}
