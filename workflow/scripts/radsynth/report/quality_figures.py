"""The figures of image quality, one per family of metrics: every pool's value beside its control."""

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radsynth.report.drawing import STYLE, grid, height, label_rows, legend, marker, nothing, offset, styles_of, title
from radsynth.report.image_metrics import MEANINGS, distinct, main_reference, of_family, suspicious
from radsynth.report.tidy import Metrics, range_text

# Panels side by side, and the height in mm of one generator within a row.
ACROSS, ROW = 4, 2.8
WARNING, SIGN = "#D55E00", "$!$"
CONTROLS = {
    "real_real": "real against real (mean ± SD)",
    "held_out": "held-out real images",
    "real_pairs": "pairs of training images",
}


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
