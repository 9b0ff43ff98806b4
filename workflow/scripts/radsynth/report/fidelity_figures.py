"""The figure of conditions: every pool beside real images and chance."""

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radsynth.report.drawing import STYLE, grid, height, label_rows, legend, marker, nothing, offset, styles_of, title
from radsynth.report.fidelity_words import MEASURES, asked, named
from radsynth.report.tidy import COHORT, Metrics, place, range_text

ROW = 3.0  # mm for each pool within the row of a condition
CHANCE = "#c8c8c8"


def fidelity(metrics: Metrics) -> Figure:
    """Return a panel per cohort and measure: a row per condition, in it the pools, real images and chance."""
    rows = metrics["fidelity"]
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return nothing("No condition of a pool was measured")
    rows = rows.assign(
        series=[named(row) for _, row in rows.iterrows()], row=[asked(row) for _, row in rows.iterrows()]
    )
    styles = styles_of(list(dict.fromkeys(rows["series"])))
    panels = list(rows.groupby([*COHORT, "measure"], sort=False))
    labels = [list(dict.fromkeys(part["row"])) for _, part in panels]
    with mpl.rc_context(STYLE):
        figure, axes = grid([height(names, 2 + ROW * len(styles)) for names in labels], 1)
        for (axis,), ((*cohort, measure), part), names in zip(axes, panels, labels, strict=True):
            for _, row in part.iterrows():
                y = names.index(row["row"]) + offset(list(styles).index(row["series"]), len(styles))
                _condition(axis, row, y, 0.7 / len(styles), *styles[row["series"]])
            label_rows(axis, names)
            axis.set_xlabel(MEASURES[measure])
            axis.use_sticky_edges = False
            axis.margins(x=0.04)
            counts = f"n synthetic = {range_text(part['n'])}"
            counts += f", real = {range_text(part['n_real'].dropna())}" if part["n_real"].notna().any() else ""
            title(axis, place(cohort), counts)
        legend(figure, _legend(styles))
    return figure


def _condition(axis, row: pd.Series, y: float, width: float, colour: str, symbol: str) -> None:
    """Draw one condition of one pool: a bar where chance lies, the real images, the pool, both with their intervals."""
    if not math.isnan(row["chance_low"]):
        axis.barh(y, row["chance_high"] - row["chance_low"], width, row["chance_low"], color=CHANCE, zorder=1)
    for value, low, high, shade, sign in (
        ("real", "real_low", "real_high", "#000000", "D"),
        ("value", "low", "high", colour, symbol),
    ):
        if math.isnan(row[value]):
            continue
        # The two intervals beside each other, not upon each other.
        at = y + (width / 6 if value == "real" else -width / 6)
        axis.plot([row[low], row[high]], [at, at], color=shade, linewidth=1.1, zorder=2)
        axis.plot(row[value], at, sign, color=shade, markersize=4.5 if value == "value" else 3.5, zorder=3)


def _legend(styles: dict[str, tuple[str, str]]) -> list[Line2D]:
    return [
        *(marker(name, colour, symbol) for name, (colour, symbol) in styles.items()),
        marker("real images", "#000000", "D"),
        Line2D([], [], color="#555555", linewidth=1.1, label="95 % interval"),
        Line2D([], [], color=CHANCE, linewidth=5, label="chance (95 % of deals)"),
    ]
