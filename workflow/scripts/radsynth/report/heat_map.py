"""The heat map: every pool and every metric at once, coloured by better or worse than the control."""

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from radsynth.report.drawing import MM, STYLE, WIDTH, nothing, title, wrap
from radsynth.report.image_metrics import MEANINGS, distinct, goodness, main_reference, of_family, suspicious
from radsynth.report.tidy import Metrics

FAMILIES = ["distance", "manifold", "diversity", "similarity", "memorisation"]
COLOURS = mpl.colormaps["RdBu"]
# Height in mm of a line, which holds a name of two lines of CHARACTERS, and of what stands around those of a panel.
LINE, AROUND, CHARACTERS = 5.8, 33.0, 32


def heat_map(metrics: Metrics) -> Figure:
    """Return a panel per data set, scenario and features: a line per pool, a column per metric, the numbers inside."""
    rows = pd.concat(_measured(metrics, family) for family in FAMILIES)
    if rows.empty:
        return nothing("No image quality was measured")
    rows["pool"] = rows["sampling"] + ": " + rows["label"] + ": " + rows["generator"]
    panels = list(rows.groupby(["dataset", "scenario", "space"], sort=False))
    across = max(panel["column"].nunique() for _, panel in panels)
    with mpl.rc_context(STYLE):
        heights = [LINE * panel["pool"].nunique() + AROUND for _, panel in panels]
        figure = Figure(figsize=(WIDTH, (sum(heights) + 8) * MM), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (names, panel) in zip(axes, panels, strict=True):
            _panel(axis, panel, across)
            dataset, scenario, space = names
            shown = f"features: {space}" if space else "on the images themselves"
            title(axis, f"{dataset}, generators trained on {scenario}", shown)
        figure.legend(handles=_legend(), loc="outside upper center", ncols=5, frameon=False, handlelength=1.4)
    return figure


def _measured(metrics: Metrics, family: str) -> pd.DataFrame:
    rows = of_family(metrics, family)
    rows = rows[rows["metric"] != "kid_subsets"]
    if family in ("distance", "manifold"):
        rows = main_reference(rows)
    # What needs no extractor stands together; there each column names its own preprocessing.
    suffix = ("\n" + rows["features"]).where((rows["space"] == "") & (rows["features"] != "images"), "")
    return rows.assign(column=rows["metric"].map(lambda metric: MEANINGS[metric].axis) + suffix)


def _panel(axis, rows: pd.DataFrame, across: int) -> None:
    pools, columns = distinct(rows["pool"]), distinct(rows["column"])
    for _, row in rows.iterrows():
        _cell(axis, row, columns.index(row["column"]), pools.index(row["pool"]))
    classes = (rows["sampling"] + rows["label"]).groupby(rows["pool"], sort=False).first()
    for y in range(1, len(pools)):
        if classes[pools[y]] != classes[pools[y - 1]]:
            axis.plot([-0.5, len(columns) - 0.5], [y - 0.5] * 2, color="#000000", linewidth=0.6)
    axis.set_yticks(range(len(pools)), [wrap(pool, CHARACTERS) for pool in pools])
    axis.set_xlim(-0.5, across - 0.5)
    axis.set_ylim(len(pools) - 0.5, -0.5)
    axis.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)


def _cell(axis, row: pd.Series, x: int, y: int) -> None:
    good, value = goodness(row), MEANINGS[row["metric"]].text(row["value"])
    # Full colour from a threefold difference on.
    shade = COLOURS(0.5 + 0.8 * max(-0.5, min(0.5, good))) if not math.isnan(good) else "#ffffff"
    options = {"hatch": "////", "edgecolor": "#cccccc"} if not value else {"edgecolor": "#ffffff"}
    axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=shade, linewidth=0.8, **options))
    dark = not math.isnan(good) and abs(good) > 0.4
    text = (value or "–") + ("!" if suspicious(row) else "")
    axis.text(
        *(x, y, text),
        ha="center",
        va="center",
        fontsize=7,
        color="#ffffff" if dark else "#000000",
        weight="bold" if text.endswith("!") else "normal",
    )


def _legend() -> list[Patch]:
    steps = {"worse than the control": -0.5, "not told apart": 0.0, "better": 0.5}
    handles = [
        Patch(facecolor=COLOURS(0.5 + 0.8 * good), edgecolor="#aaaaaa", label=text) for text, good in steps.items()
    ]
    handles.append(Patch(facecolor="#ffffff", hatch="////", edgecolor="#cccccc", label="– undefined"))
    handles.append(Patch(facecolor="none", edgecolor="none", label="! calls for a look"))
    return handles
