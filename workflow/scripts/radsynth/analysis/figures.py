"""The figures of a study: 180 mm wide, for print; the same bytes for the same numbers."""

import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radsynth.analysis.tidy import BASELINE, COHORT, Metrics, mixes_in_order, per_run
from radsynth.common.files import atomic_path

MM = 1 / 25.4
WIDTH = 180 * MM
# Characters in a line of a row's label.
LABEL = 28
# Okabe and Ito's palette, safe for colour-blind readers; black is kept for the baselines.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
VERDICTS = {"helps": ("#0072B2", "^"), "hurts": ("#D55E00", "v"), "undecided": ("#777777", "o")}
NAMES = {
    "accuracy": "Accuracy",
    "f1_weighted": "F1 (weighted)",
    "roc_auc": "ROC-AUC",
    "fid": "FID",
    "kid": "KID",
}
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "path.simplify": False,
}


def save(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Write a figure as PDF or PNG, by suffix, with embedded fonts and without dates."""
    for path in paths:
        metadata = {"CreationDate": None} if Path(path).suffix == ".pdf" else {"Software": None}
        with atomic_path(path) as temporary, mpl.rc_context(STYLE):
            figure.savefig(temporary, metadata=metadata)


def _grid(heights: list[float], n_columns: int) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes (rows, columns); ``heights`` are those of the rows' contents in mm."""
    extra = 13  # title, tick labels and gap of each row, in mm
    total = sum(heights) + extra * len(heights) + 14
    figure = Figure(figsize=(WIDTH, total * MM), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(heights), n_columns, squeeze=False, sharey="row", height_ratios=[height + extra for height in heights]
    )
    return figure, axes


def _height(labels: list[str], row: float) -> float:
    """Return the height in mm of rows that are ``row`` mm high, or as high as their labels need."""
    return max(10.0, len(labels) * max(row, 3.4 * max(_wrap(label, LABEL).count("\n") + 1 for label in labels)))


def _rows(axis, labels: list[str]) -> None:
    """Label rows from the top down, wrapped where they are long."""
    axis.set_yticks(range(len(labels)), [_wrap(label, LABEL) for label in labels])
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)


def _legend(figure: Figure, handles: list[Line2D]) -> None:
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)), frameon=False)


def _marker(label: str, colour: str, marker: str, **options) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, linestyle="", markersize=4.5, label=label, **options)


def _nothing(message: str) -> Figure:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 25 * MM))
        FigureCanvasAgg(figure)
        figure.text(0.5, 0.5, message, ha="center", va="center")
    return figure


def _mix_styles(mixes: list[str]) -> dict[str, tuple[str, str]]:
    others = [mix for mix in mixes if mix != BASELINE]
    styles = {mix: (COLOURS[i % len(COLOURS)], MARKERS[1 + i % (len(MARKERS) - 1)]) for i, mix in enumerate(others)}
    return {BASELINE: ("#000000", MARKERS[0])} | styles


def _wrap(text: str, width: int) -> str:
    """Wrap a text, also after underscores."""
    mark = "\0"
    wrapped = textwrap.fill(text.replace("_", f"_{mark} "), width, break_on_hyphens=False)
    return wrapped.replace(f"{mark} ", "").replace(mark, "")


def _title(axis, names: Iterable[str], counts: str) -> None:
    """Write what a row of panels shows above its first one, across all of them."""
    lines = [*_wrap(" · ".join(names), 100).splitlines(), counts]
    # The blank title reserves the height; the text itself is wider than the panel and must not push the others.
    axis.set_title("\n".join(" " for _ in lines), loc="left")
    text = axis.annotate(
        "\n".join(lines), (0, 1), xytext=(0, 5), xycoords="axes fraction", textcoords="offset points", va="bottom"
    )
    text.set_in_layout(False)


def accuracy_f1(metrics: Metrics) -> Figure:
    """Accuracy and weighted F1 of every classifier and mix (the paper's figure 8): mean, SD and the single runs."""
    names = ["accuracy", "f1_weighted"]
    runs = {name: per_run(metrics["classification"], name) for name in names}
    mixes = mixes_in_order(runs["accuracy"]["mix"])
    styles = _mix_styles(mixes)
    cohorts = list(runs["accuracy"].groupby(COHORT, sort=False))
    with mpl.rc_context(STYLE):
        labels = [list(dict.fromkeys(rows["classifier"])) for _, rows in cohorts]
        figure, axes = _grid([_height(classifiers, 3.5 * len(mixes)) for classifiers in labels], len(names))
        for line, (cohort, rows), classifiers in zip(axes, cohorts, labels, strict=True):
            for axis, name in zip(line, names, strict=True):
                table = runs[name]
                table = table[(table[COHORT] == list(cohort)).all(axis=1)]
                for (classifier, mix), arm in table.groupby(["classifier", "mix"], sort=False):
                    offset = (mixes.index(mix) - (len(mixes) - 1) / 2) * 0.8 / len(mixes)
                    _runs(axis, arm["value"].dropna(), classifiers.index(classifier) + offset, *styles[mix])
                _rows(axis, classifiers)
                axis.set_xlabel(f"{NAMES[name]}, mean ± SD")
            n_runs = rows.groupby(["classifier", "mix"], sort=False).size()
            n_test = _n_test(metrics["cohorts"], cohort)
            _title(line[0], cohort, f"{_runs_text(n_runs)}, {n_test}")
            _same_range(line)
        handles = [_marker(mix, *styles[mix]) for mix in mixes]
        handles.append(_marker("single run", "#000000", "o", markerfacecolor="none", markeredgewidth=0.6))
        handles[-1].set_markersize(3)
        _legend(figure, handles)
    return figure


def _runs(axis, values: pd.Series, y: float, colour: str, marker: str) -> None:
    if values.empty:
        return
    axis.plot(values, [y] * len(values), "o", color=colour, markerfacecolor="none", markersize=3, markeredgewidth=0.6)
    sd = values.std() if len(values) > 1 else 0
    axis.errorbar(
        values.mean(), y, xerr=sd, color=colour, marker=marker, markersize=4.5, elinewidth=1.1, capsize=2, zorder=3
    )


def _same_range(axes: np.ndarray) -> None:
    """Give the panels of a row the same range, with a margin and ticks that do not collide."""
    low = min(axis.get_xlim()[0] for axis in axes)
    high = max(axis.get_xlim()[1] for axis in axes)
    for axis in axes:
        axis.set_xlim(low, high)
        axis.locator_params(axis="x", nbins=6)


def _n_test(cohorts: pd.DataFrame, cohort: tuple[str, ...]) -> str:
    rows = cohorts[(cohorts[COHORT] == list(cohort)).all(axis=1) & cohorts["subset"].str.startswith("test")]
    sizes = rows.groupby("subset", sort=False)["n_images"].sum()
    if sizes.empty:
        return "test images unknown"
    sets = f"{len(sizes)} test sets of " if len(sizes) > 1 else ""
    return f"{sets}{_range(sizes)} test images"


def _runs_text(numbers: Iterable[float]) -> str:
    text = _range(numbers)
    return f"{text} run" if text == "1" else f"{text} runs"


def _range(numbers: Iterable[float]) -> str:
    low, high = int(min(numbers)), int(max(numbers))
    return f"{low}" if low == high else f"{low} to {high}"


def differences(metrics: Metrics) -> Figure:
    """Difference of every mix to the baseline with its 95 % interval: accuracy, weighted F1 and ROC-AUC."""
    table = metrics["comparisons"]
    if table.empty:
        return _nothing("No mix besides the baseline")
    names = ["accuracy", "f1_weighted", "roc_auc"]
    cohorts = list(table.groupby(COHORT, sort=False))
    with mpl.rc_context(STYLE):
        arms = [list(dict.fromkeys(zip(rows["classifier"], rows["mix"], strict=True))) for _, rows in cohorts]
        texts = [[f"{classifier}: {mix}" for classifier, mix in labels] for labels in arms]
        figure, axes = _grid([_height(labels, 5.0) for labels in texts], len(names))
        for line, (cohort, rows), labels, names_shown in zip(axes, cohorts, arms, texts, strict=True):
            for axis, name in zip(line, names, strict=True):
                axis.axvline(0, color="#000000", linewidth=0.8)
                for _, row in rows[rows["metric"] == name].iterrows():
                    colour, marker = VERDICTS[row["verdict"]]
                    y = labels.index((row["classifier"], row["mix"]))
                    if not np.isnan(row["ci_low"]):
                        axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.3)
                    axis.plot(row["difference"], y, marker, color=colour, markersize=4.5)
                _rows(axis, names_shown)
                axis.set_xlabel(f"Δ {NAMES[name]}")
                axis.locator_params(axis="x", nbins=5)
            n_runs, n_groups = _runs_text(rows["n_runs"]), _range(rows["n_groups"])
            _title(line[0], cohort, f"{n_runs}, {n_groups} test patients (images where unknown)")
        handles = [_marker(name, *style) for name, style in VERDICTS.items()]
        handles.append(Line2D([], [], color="#777777", linewidth=1.3, label="95 % interval of Δ = mix − baseline"))
        _legend(figure, handles)
    return figure


def fid(metrics: Metrics) -> Figure:
    """FID (the paper's figure 7) and KID per sampling, class and generator, with real against real beside them."""
    table = metrics["quality"]
    table = table[table["metric"].isin(["fid", "kid"])]
    # The paper compares with all originals of a class; a study without that reference shows its first one.
    reference = "all" if (table["reference"] == "all").any() else next(iter(table["reference"]), "")
    table = table[table["reference"] == reference]
    if table.empty:
        return _nothing("No distances were measured")
    generators = list(dict.fromkeys(table["generator"]))
    styles = {name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(generators)}
    panels = list(table.groupby(["dataset", "scenario", "extractor"], sort=False))
    with mpl.rc_context(STYLE):
        bars = [list(dict.fromkeys(zip(rows["sampling"], rows["label"], strict=True))) for _, rows in panels]
        texts = [[f"{sampling}: {label}" for sampling, label in labels] for labels in bars]
        figure, axes = _grid([_height(labels, 2 + 4.0 * len(generators)) for labels in texts], 2)
        for line, (names, rows), labels, names_shown in zip(axes, panels, bars, texts, strict=True):
            for axis, metric in zip(line, ("fid", "kid"), strict=True):
                axis.axvline(0, color="#000000", linewidth=0.6)
                for _, row in rows[rows["metric"] == metric].iterrows():
                    height = 0.8 / len(generators)
                    offset = (generators.index(row["generator"]) - (len(generators) - 1) / 2) * height
                    _distance(axis, row, labels.index((row["sampling"], row["label"])) + offset, height, styles)
                _rows(axis, names_shown)
                axis.set_xlabel(NAMES[metric])
                axis.locator_params(axis="x", nbins=6)
            counts = f"n real = {_range(rows['n_reference'])}, synthetic = {_range(rows['n_synthetic'])}"
            a, b = rows["real_real_n_a"].dropna(), rows["real_real_n_b"].dropna()
            counts += f"; real against real: n = {_range(a)} and {_range(b)}" if len(a) else ""
            _title(line[0], [*names[:2], f"features: {names[2]}"], counts)
        handles = [_marker(name, colour, "s") for name, (colour, _) in styles.items()]
        _legend(figure, [*handles, _marker("real against real (mean ± SD)", "#000000", "D")])
    return figure


def _distance(axis, row: pd.Series, y: float, height: float, styles: dict[str, tuple[str, str]]) -> None:
    if not np.isnan(row["value"]):
        axis.barh(y, row["value"], height * 0.9, color=styles[row["generator"]][0])
    if not np.isnan(row["real_real_mean"]):
        sd = 0 if np.isnan(row["real_real_sd"]) else row["real_real_sd"]
        axis.errorbar(
            row["real_real_mean"],
            y,
            xerr=sd,
            color="#000000",
            marker="D",
            markersize=3.5,
            elinewidth=1,
            capsize=1.5,
            markeredgecolor="#ffffff",
            markeredgewidth=0.5,
        )


FIGURES: dict[str, Callable[[Metrics], Figure]] = {
    "accuracy_f1": accuracy_f1,
    "fid": fid,
    "differences": differences,
}
