"""The picture of a training: what metrics.jsonl holds, against the step."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from radsynth.common.files import atomic_path
from radsynth.learning.measured import SNR_EDGES

# What a training picture shows: name, the series of one panel with their captions, whether its axis is logarithmic.
# Panels of which a training has measured nothing are left out.
PANELS: list[tuple[str, dict[str, str], bool]] = [
    ("loss", {"loss": ""}, True),
    ("unweighted loss", {"loss_per_snr": ""}, True),
    ("mean difference", {"reconstruction": ""}, True),
    ("KL divergence", {"kl": ""}, True),
    ("loss", {"critic_loss": "critic", "generator_loss": "generator"}, False),
    ("score", {"real_score": "D(real)", "fake_score": "D(fake)"}, False),
    ("gradient penalty", {"gradient_penalty": ""}, True),
    ("gradient norm", {"critic_gradient_norm": "critic", "generator_gradient_norm": "generator"}, True),
    ("gradient norm", {"gradient_norm": ""}, True),
    ("learning rate", {"learning_rate": ""}, False),
    ("images / s", {"images_per_s": ""}, False),
]
COLORS = ["#0072B2", "#D55E00"]


def growth_marks(rows: list[dict[str, Any]]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return when a network grew, as (step, new resolution), and the fade-ins, as (first step, last step).

    To the precision of the rows; nothing for families that do not grow.
    """
    growth, fades = [], []
    for before, row in pairwise(rows):
        if row.get("resolution") != before.get("resolution"):
            growth.append((before["step"], row["resolution"]))
        if row.get("alpha", 1) < 1:
            # The row before ends where this one begins.
            first = fades.pop()[0] if fades and fades[-1][1] == before["step"] else before["step"]
            fades.append((first, row["step"]))
    return growth, fades


def plot_training(rows: list[dict[str, Any]], path: str | Path, title: str = "") -> None:
    """Draw what ``PANELS`` names against the step; growth is a dashed line, fade-in a shaded range."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    panels = [panel for panel in PANELS if any(row.get(key) is not None for row in rows for key in panel[1])]
    figure = Figure(figsize=(9, 2.6 * max(-(-len(panels) // 2), 1)), layout="constrained")
    if not panels:
        figure.text(0.5, 0.5, "This family was not trained step by step: no training curve.", ha="center", va="center")
    steps = [row["step"] for row in rows]
    for position, (name, series, logarithmic) in enumerate(panels):
        axes = figure.add_subplot(-(-len(panels) // 2), 2, position + 1)
        for (key, caption), color in zip(series.items(), COLORS, strict=False):
            values = [row.get(key) for row in rows]
            if isinstance(values[-1], list):
                _plot_bins(axes, steps, values)
                continue
            line = [float("nan") if value is None else value for value in values]
            axes.plot(steps, line, color=color, lw=1.2, label=caption)
        if len(series) > 1:
            axes.legend(fontsize=7)
        if logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        _mark_growth(axes, rows)
        axes.set(xlabel="step", ylabel=name)
        axes.grid(alpha=0.3, which="both")
    figure.suptitle(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _mark_growth(axes: Any, rows: list[dict[str, Any]]) -> None:
    growth, fades = growth_marks(rows)
    for step, resolution in growth:
        axes.axvline(step, color="0.4", ls="--", lw=0.8)
        axes.annotate(f"{resolution} px", (step, 1), xycoords=("data", "axes fraction"), fontsize=6, va="bottom")
    for first, last in fades:
        axes.axvspan(first, last, color="0.5", alpha=0.15, lw=0)


def _plot_bins(axes: Any, steps: list[int], values: list[list[float | None]]) -> None:
    from matplotlib import colormaps

    between = [f"{low:g} to {high:g}" for low, high in pairwise(SNR_EDGES)]
    names = [f"< {SNR_EDGES[0]:g}", *between, f"> {SNR_EDGES[-1]:g}"]
    for bin_, name in enumerate(names):
        line = [float("nan") if row is None or row[bin_] is None else row[bin_] for row in values]
        axes.plot(steps, line, lw=1.2, label=name, color=colormaps["viridis"](bin_ / len(names)))
    axes.legend(
        fontsize=7, title="signal-to-noise\nratio", title_fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5)
    )
