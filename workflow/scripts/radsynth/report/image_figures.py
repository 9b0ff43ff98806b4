"""The figures of the synthetic images: every pool's value beside its control, training, recognition."""

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from radsynth.report.drawing import STYLE, grid, height, label_rows, legend, marker, nothing, offset, styles_of, title
from radsynth.report.image_metrics import MEANINGS, distinct, main_reference, of_family, suspicious
from radsynth.report.tidy import COHORT, Metrics, labels_in_order, place, range_text

# Panels side by side, and the height in mm of one generator within a row.
ACROSS, ROW = 4, 2.8
WARNING, SIGN = "#D55E00", "$!$"
CONTROLS = {
    "real_real": "real against real (mean ± SD)",
    "held_out": "held-out real images",
    "real_pairs": "pairs of training images",
}
LOSSES = {"loss": "loss", "critic_loss": "critic loss", "generator_loss": "generator loss"}


def distances(metrics: Metrics) -> Figure:
    """FID (the paper's figure 7) and KID per sampling, class and generator, and the copy rate in the same features."""
    measured = main_reference(of_family(metrics, "distance"))
    measured = measured[measured["metric"] != "kid_subsets"]
    rates = of_family(metrics, "memorisation")
    rates = rates[(rates["metric"] == "copy_rate") & rates["features"].isin(set(measured["features"]))]
    return _figure(pd.concat([measured, rates]), "No distances were measured", bars=True)


def manifold(metrics: Metrics) -> Figure:
    """Precision, recall, density and coverage."""
    return _figure(main_reference(of_family(metrics, "manifold")), "Nothing of this kind was measured")


def diversity(metrics: Metrics) -> Figure:
    """Resemblance of pairs of images within a pool and within the training images, and the Inception score."""
    rows = of_family(metrics, "diversity")
    return _figure(rows, "No diversity was measured", by_metric=True)


def similarity(metrics: Metrics) -> Figure:
    """SSIM, PSNR and MSE to the nearest training image."""
    return _figure(of_family(metrics, "similarity"), "No similarity was measured", by_metric=True)


def memorisation(metrics: Metrics) -> Figure:
    """What the pools repeat of their training images and of themselves, beside held-out real images."""
    return _figure(of_family(metrics, "memorisation"), "Nothing of this kind was measured")


def _figure(rows: pd.DataFrame, empty: str, bars: bool = False, by_metric: bool = False) -> Figure:
    """Return a panel per metric, lines of panels per data set, scenario and features.

    With ``by_metric`` panels of different features stand in one line, and each names its own.
    """
    if rows.empty:
        return nothing(empty)
    styles = styles_of(distinct(rows["generator"]))
    blocks = []
    for names, group in rows.groupby(["dataset", "scenario"] + ["space"] * (not by_metric), sort=False):
        panels = [panel for _, panel in group.groupby(["metric", "features"], sort=False)]
        across = math.ceil(len(panels) / math.ceil(len(panels) / ACROSS))
        labels = distinct(group["sampling"] + ": " + group["label"])
        blocks += [
            (names if start == 0 else None, labels, panels[start : start + across])
            for start in range(0, len(panels), across)
        ]
    with mpl.rc_context(STYLE):
        across = max(len(panels) for _, _, panels in blocks)
        figure, axes = grid([height(labels, 2 + ROW * len(styles)) for _, labels, _ in blocks], across)
        for line, (names, labels, panels) in zip(axes, blocks, strict=True):
            for axis in line[len(panels) :]:
                axis.set_axis_off()
            for axis, panel in zip(line, panels, strict=False):
                _panel(axis, panel, labels, styles, bars)
                features = panel["features"].iloc[0]
                if features != "images" and (by_metric or not panel["space"].iloc[0]):
                    axis.set_xlabel(f"{axis.get_xlabel()}\n{features}")
            if names:
                _title(line[0], names, pd.concat(panels))
        legend(figure, _legend(rows, styles, bars))
    return figure


def _panel(axis, rows: pd.DataFrame, labels: list[str], styles: dict[str, tuple[str, str]], bars: bool) -> None:
    """Draw one metric: a row per sampling and class, in it the generators."""
    generators = list(styles)
    meaning = MEANINGS[rows["metric"].iloc[0]]
    if bars:
        axis.axvline(0, color="#000000", linewidth=0.6)
    for _, row in rows.iterrows():
        y = labels.index(f"{row['sampling']}: {row['label']}") + offset(generators.index(row["generator"]), len(styles))
        _value(axis, row, y, 0.8 / len(styles), *styles[row["generator"]], bars)
    label_rows(axis, labels)
    axis.set_xlabel(meaning.axis)
    axis.locator_params(axis="x", nbins=4)
    axis.margins(x=0.14)
    if meaning.whole:  # from 0 and at least to 1 %, so that next to nothing does not fill the panel
        high = max(axis.get_xlim()[1], 1.1)
        axis.set_xlim(-0.03 * high, high)
    if rows["value"].isna().all():
        axis.set_xticks([])


def _value(axis, row: pd.Series, y: float, width: float, colour: str, symbol: str, bars: bool) -> None:
    """Draw a value with its 95 % interval and its control with its SD; a dash where the value is undefined."""
    scaled = MEANINGS[row["metric"]].scaled
    value, low, high, control, sd = (scaled(row[key]) for key in ("value", "low", "high", "control", "control_sd"))
    if math.isnan(value):
        axis.text(0.02, y, "– undefined", transform=axis.get_yaxis_transform(), va="center", fontsize=7, color=colour)
    elif bars:
        axis.barh(y, value, width * 0.9, color=colour)
    else:
        if not math.isnan(control):
            axis.plot([control, value], [y, y], color="#bbbbbb", linewidth=1, zorder=1)
        axis.plot(value, y, symbol, color=colour, markersize=4.5, zorder=3)
    if not math.isnan(low) and not math.isnan(high):
        axis.plot([low, high], [y, y], color="#555555" if bars else colour, linewidth=1.1, zorder=3)
    if not math.isnan(control):
        if row["control_is"] == "real_real" and not math.isnan(sd):
            axis.plot([control - sd, control + sd], [y, y], color="#000000", linewidth=1, zorder=4)
        edge = {"markeredgecolor": "#ffffff", "markeredgewidth": 0.4}
        axis.plot(control, y, "D", color="#000000", markersize=4, zorder=4, **edge)
    if suspicious(row):
        axis.plot(0.975, y, marker=SIGN, color=WARNING, markersize=5, transform=axis.get_yaxis_transform())


def _title(axis, names: tuple[str, ...], rows: pd.DataFrame) -> None:
    dataset, scenario, *space = names
    known = rows.loc[rows["metric"] == rows["metric"].iloc[0], "n_reference"].dropna()
    counts = f"n real = {range_text(known)}, " if len(known) else ""
    counts += f"synthetic = {range_text(rows['n_synthetic'])}"
    for control, part in rows.groupby("control_is", sort=False):
        a, b = part["n_control_a"].dropna(), part["n_control_b"].dropna()
        if control and len(a):
            both = f"{range_text(a)} and {range_text(b)}" if control == "real_real" else range_text(a)
            counts += f"; {CONTROLS[control].removesuffix(' (mean ± SD)')}: n = {both}"
    shown = [f"features: {name}" if name else "on the images themselves" for name in space]
    title(axis, ", ".join([dataset, f"generators trained on {scenario}", *shown]), counts)


def _legend(rows: pd.DataFrame, styles: dict[str, tuple[str, str]], bars: bool) -> list[Line2D]:
    handles = [marker(name, colour, "s" if bars else symbol) for name, (colour, symbol) in styles.items()]
    controls = [CONTROLS[name] for name in distinct(rows["control_is"]) if name]
    if controls:
        handles.append(marker(", ".join(controls), "#000000", "D"))
    if rows["low"].notna().any():
        handles.append(Line2D([], [], color="#555555", linewidth=1.1, label="95 % interval"))
    if any(suspicious(row) for _, row in rows.iterrows()):
        handles.append(marker("calls for a look", WARNING, SIGN))
    return handles


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
