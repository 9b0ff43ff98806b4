"""How all figures are drawn: 180 mm wide, for print; the same bytes for the same numbers."""

import textwrap
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radsynth.common.files import atomic_path
from radsynth.report.arms import CONTROL, CORRECTED
from radsynth.report.tidy import BASELINE

MM = 1 / 25.4
WIDTH = 180 * MM
# Characters in a line of a row's label.
LABEL = 28
# Okabe and Ito's palette, safe for colour-blind readers; black is kept for the baselines.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"]
# Of what is real images only, beside the baseline.
GREY = "#8a8a8a"
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
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


def grid(heights: list[float], n_columns: int, label_lines: int = 1) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes (rows, columns).

    ``heights`` are those of the rows' contents in mm, ``label_lines`` the lines of the longest label below an axis.
    """
    extra = 13 + 3.4 * (label_lines - 1)  # title, tick labels and gap of each row, in mm
    total = sum(heights) + extra * len(heights) + 14
    figure = Figure(figsize=(WIDTH, total * MM), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(heights), n_columns, squeeze=False, sharey="row", height_ratios=[height + extra for height in heights]
    )
    return figure, axes


def height(labels: list[str], row: float) -> float:
    """Return the height in mm of rows that are ``row`` mm high, or as high as their labels need."""
    return max(10.0, len(labels) * max(row, 3.4 * max(wrap(label, LABEL).count("\n") + 1 for label in labels)))


def label_rows(axis, labels: list[str]) -> None:
    """Label rows from the top down, wrapped where they are long, with a fine line between them."""
    for row in range(1, len(labels)):
        axis.axhline(row - 0.5, color="#dddddd", linewidth=0.4, zorder=0)
    axis.set_yticks(range(len(labels)), [wrap(label, LABEL) for label in labels])
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)


def legend(figure: Figure, handles: list[Line2D]) -> None:
    """Put one legend above all panels."""
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)), frameon=False)


def marker(label: str, colour: str, symbol: str, **options) -> Line2D:
    """Return the legend entry of a marker."""
    return Line2D([], [], color=colour, marker=symbol, linestyle="", markersize=4.5, label=label, **options)


def nothing(message: str) -> Figure:
    """Return a figure that only says why it is empty."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 25 * MM))
        FigureCanvasAgg(figure)
        figure.text(0.5, 0.5, message, ha="center", va="center")
    return figure


def offset(index: int, n: int) -> float:
    """Return where the ``index``-th of n things stands within a row of height 1."""
    return (index - (n - 1) / 2) * 0.8 / n


def styles_of(names: list[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of every name."""
    return {name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)}


def mix_styles(mixes: list[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of every mix.

    The baseline is a black circle, with corrected outputs a grey one; a matched control has the marker of the mix that
    it is named after, in grey.
    """
    others = [mix for mix in mixes if mix not in (BASELINE, CORRECTED) and not mix.startswith(CONTROL)]
    styles = {mix: (COLOURS[i % len(COLOURS)], MARKERS[1 + i % (len(MARKERS) - 1)]) for i, mix in enumerate(others)}
    controls = [mix for mix in mixes if mix.startswith(CONTROL)]
    styles |= {mix: (GREY, styles.get(mix.removeprefix(CONTROL), (GREY, MARKERS[0]))[1]) for mix in controls}
    return {BASELINE: ("#000000", MARKERS[0]), CORRECTED: (GREY, MARKERS[0])} | styles


def wrap(text: str, width: int) -> str:
    """Wrap a text, also after underscores, but not before a per cent sign."""
    mark = "\0"
    wrapped = textwrap.fill(text.replace(" %", "\u00a0%").replace("_", f"_{mark} "), width, break_on_hyphens=False)
    return wrapped.replace(f"{mark} ", "").replace(mark, "")


def title(axis, names: str, counts: str) -> None:
    """Write what a row of panels shows above its first one, across all of them."""
    lines = [line for text in (names, counts) for line in wrap(text, 100).splitlines()]
    # The blank title reserves the height; the text itself is wider than the panel and must not push the others.
    axis.set_title("\n".join(" " for _ in lines), loc="left")
    text = axis.annotate(
        "\n".join(lines), (0, 1), xytext=(0, 5), xycoords="axes fraction", textcoords="offset points", va="bottom"
    )
    text.set_in_layout(False)


def share_range(axes: np.ndarray) -> None:
    """Give the panels of a row the same range."""
    low = min(axis.get_xlim()[0] for axis in axes)
    high = max(axis.get_xlim()[1] for axis in axes)
    for axis in axes:
        axis.set_xlim(low, high)
