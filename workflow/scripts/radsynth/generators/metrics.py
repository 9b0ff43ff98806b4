"""Training metrics: averaged on the device, flushed every few steps, kept in metrics.jsonl, drawn as training.png."""

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radsynth.common.files import atomic_path, write_text

if TYPE_CHECKING:
    import torch

# By name, the sum of the values and their number, or one such pair per bin: two tensors of equal shape.
Measured = dict[str, tuple["torch.Tensor", "torch.Tensor"]]

# Bounds of the bins of signal-to-noise ratio in which diffusion losses are averaged.
SNR_EDGES = [0.01, 0.1, 1.0, 10.0, 100.0]


class Window:
    """Sums of what the steps since the last flush measured. Adding does not wait for the device."""

    def __init__(self) -> None:
        self.sums: Measured = {}

    def add(self, measured: Measured) -> None:
        """Add the (sum, count) pairs of one step."""
        for key, (total, count) in measured.items():
            before = self.sums.get(key)
            self.sums[key] = (total, count) if before is None else (before[0] + total, before[1] + count)

    def flush(self) -> dict[str, Any]:
        """Return the means (None where nothing was counted) and start anew."""
        means = {}
        for key, (total, count) in self.sums.items():
            values = [
                t / c if c and abs(t) != float("inf") and t == t else None
                for t, c in zip(total.reshape(-1).tolist(), count.reshape(-1).tolist(), strict=True)
            ]
            means[key] = values if total.dim() else values[0]
        self.sums = {}
        return means


class MetricsLog:
    """metrics.jsonl: one JSON object per flush, with ``step`` ascending and no step twice."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def truncate(self, step: int) -> None:
        """Drop what was written after ``step``, when training goes on from there."""
        rows = [row for row in self.rows() if row["step"] <= step]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))

    def append(self, row: dict[str, Any]) -> None:
        """Add one row."""
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, allow_nan=False) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows; a last line that was cut off by a kill is left out."""
        return read_metrics(self.path)


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics.jsonl, none if there is no file."""
    rows = []
    if Path(path).is_file():
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


def plot_training(rows: list[dict[str, Any]], path: str | Path, title: str = "") -> None:
    """Draw loss, loss per bin, gradient norm, learning rate and speed against the step."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    panels = [
        ("loss", "loss"),
        ("loss_per_snr", "unweighted loss"),
        ("gradient_norm", "gradient norm"),
        ("learning_rate", "learning rate"),
        ("images_per_s", "images / s"),
    ]
    panels = [(key, name) for key, name in panels if any(row.get(key) is not None for row in rows)]
    figure = Figure(figsize=(9, 2.6 * max(-(-len(panels) // 2), 1)), layout="constrained")
    if not panels:
        figure.text(0.5, 0.5, "This family was not trained step by step: no training curve.", ha="center", va="center")
    steps = [row["step"] for row in rows]
    for position, (key, name) in enumerate(panels):
        axes = figure.add_subplot(-(-len(panels) // 2), 2, position + 1)
        values = [row.get(key) for row in rows]
        if isinstance(values[-1], list):
            _plot_bins(axes, steps, values)
        else:
            axes.plot(steps, [float("nan") if value is None else value for value in values], color="#0072B2", lw=1.2)
        if key.startswith("loss") or key == "gradient_norm":
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="step", ylabel=name)
        axes.grid(alpha=0.3, which="both")
    figure.suptitle(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


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
