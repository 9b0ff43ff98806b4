"""The picture of a choice: KID and copy rate of every model of a training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radsynth.common.files import atomic_path

PASSED, FAILED, CONTROL = "#0072B2", "#D55E00", "0.4"


def plot_selection(selection: Mapping[str, Any], path: str | Path, title: str) -> None:
    """Draw ``selection`` (what selection.json holds) against the step, with the chosen one marked."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    figure.suptitle(title)
    step, rows = selection["step"], selection.get("candidates", [])
    if not rows:
        text = f"The model after step {step} is taken, as configured: nothing was measured."
        figure.text(0.5, 0.5, text, ha="center", va="center")
    panels = [
        ("kid", "KID to the withheld images", "kid_of_training_images", "training images"),
        ("copy_rate", "copy rate", "control", "withheld images"),
    ]
    steps = [row["step"] for row in rows]
    for axes, (key, caption, control, name) in zip(figure.subplots(1, 2) if rows else (), panels, strict=False):
        axes.plot(steps, [row[key] for row in rows], color="0.8", lw=1, zorder=1)
        for passed, color, marker, verdict in [(True, PASSED, "o", "passes"), (False, FAILED, "X", "copies")]:
            points = [(row["step"], row[key]) for row in rows if row["passed"] == passed]
            if points:
                axes.scatter(*zip(*points, strict=True), color=color, marker=marker, s=40, label=verdict, zorder=3)
        axes.axhline(selection[control], color=CONTROL, ls="--", lw=1, label=name)
        axes.axvline(step, color="black", lw=1, ls=":", label=f"taken: step {step}", zorder=2)
        axes.set_xscale("log")
        axes.set_xticks(steps, [str(value) for value in steps], rotation=45)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="step", ylabel=caption)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
