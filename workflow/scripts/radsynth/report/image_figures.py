"""The figures of the synthetic images: training of the generators, recognition by classifiers."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from radsynth.report.drawing import (
    STYLE,
    grid,
    height,
    label_rows,
    legend,
    marker,
    nothing,
    offset,
    styles_of,
    title,
)
from radsynth.report.tidy import COHORT, Metrics, labels_in_order, place, range_text

LOSSES = {"loss": "loss", "critic_loss": "critic loss", "generator_loss": "generator loss"}


def training_loss(metrics: Metrics) -> Figure:
    """The losses of every generator while it learned (the paper's figure 4); dashed lines where the images grow."""
    table = metrics["training"]
    panels = [
        (names, loss, rows[rows[loss].notna()])
        for names, rows in table.groupby(["dataset", "scenario", "generator"], sort=False)
        for loss in LOSSES
        if rows[loss].notna().any()
    ]
    if not panels:
        return nothing("No generator was trained step by step")
    units, samplings = (list(dict.fromkeys(table[column])) for column in ("unit", "sampling"))
    styles = styles_of(samplings)
    with mpl.rc_context(STYLE):
        figure, axes = grid([30.0] * len(panels), len(units))
        for line, (names, loss, rows) in zip(axes, panels, strict=True):
            for axis, unit in zip(line, units, strict=True):
                curves = rows[rows["unit"] == unit]
                if curves.empty:
                    axis.set_axis_off()
                    continue
                for sampling, curve in curves.groupby("sampling", sort=False):
                    axis.plot(curve["step"], curve[loss], color=styles[sampling][0], linewidth=0.7)
                if loss == "loss" and (rows[loss] > 0).all():
                    axis.set_yscale("log")
                    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                    axis.yaxis.set_major_formatter("{x:g}")
                    axis.yaxis.set_minor_formatter(NullFormatter())
                axis.set_xlabel(f"step ({unit})")
                axis.locator_params(axis="x", nbins=6)
                axis.margins(x=0.02)
                _growth(axis, curves)
            line[0].set_ylabel(LOSSES[loss])
            dataset, scenario, generator = names
            title(line[0], generator, f"{dataset}, trained on {scenario}")
        handles = [Line2D([], [], color=styles[name][0], label=name) for name in samplings]
        if table["resolution"].nunique() > 1:
            handles.append(
                Line2D([], [], color="#555555", linestyle="--", linewidth=0.7, label="a larger resolution (px)")
            )
        legend(figure, handles)
    return figure


def _growth(axis, curves: pd.DataFrame) -> None:
    """Mark the first step of every resolution but the smallest."""
    first = curves[curves["sampling"] == curves["sampling"].iloc[0]].groupby("resolution")["step"].min()
    for resolution, step in first.iloc[1:].items():
        axis.axvline(step, color="#555555", linestyle="--", linewidth=0.7)
        axis.annotate(
            f"{resolution:.0f}",
            (step, 1),
            xytext=(2, -1),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            fontsize=7,
        )


def recognition(metrics: Metrics) -> Figure:
    """How classifiers trained on real images alone recognise the pools of each class, beside real test images."""
    table = metrics["recognition"]
    if table.empty:
        return nothing("No classifier was asked to judge the synthetic images")
    generators, labels = list(dict.fromkeys(table["generator"])), labels_in_order(metrics, table["label"])
    styles = styles_of(generators) | {"real test images": ("#000000", "D")}
    cohorts = list(table.groupby(COHORT, sort=False))
    with mpl.rc_context(STYLE):
        names = [list(dict.fromkeys(rows["classifier"])) for _, rows in cohorts]
        figure, axes = grid([height(classifiers, 2 + 3.0 * len(styles)) for classifiers in names], len(labels))
        for line, (cohort, rows), classifiers in zip(axes, cohorts, names, strict=True):
            for axis, label in zip(line, labels, strict=True):
                for (classifier, generator), runs in rows[rows["label"] == label].groupby(
                    ["classifier", "generator"], sort=False
                ):
                    shown = {generator: runs["recognised"]}
                    if generator == generators[0]:
                        shown["real test images"] = runs["recognised_real"]
                    for name, values in shown.items():
                        y = classifiers.index(classifier) + offset(list(styles).index(name), len(styles))
                        colour, symbol = styles[name]
                        sd = 0 if len(values) < 2 else values.std()
                        axis.errorbar(values.mean(), y, xerr=sd, color=colour, marker=symbol, markersize=4.5, capsize=2)
                label_rows(axis, classifiers)
                axis.set_xlabel(f"share of {label} recognised, mean ± SD")
                axis.set_xlim(-0.02, 1.02)
            n_runs = rows.groupby(["classifier", "generator", "label"], sort=False).size()
            counts = f"runs: {range_text(n_runs)}; synthetic images of a class: {range_text(rows['n'])}"
            title(line[0], place(cohort), counts)
        legend(figure, [marker(name, *style) for name, style in styles.items()])
    return figure
