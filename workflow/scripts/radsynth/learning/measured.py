"""Training metrics: averaged on the device, flushed every few steps, kept in metrics.jsonl."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radsynth.common.files import write_text, writing

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
        import torch

        if self.sums:
            # One launch for all of them.
            before = [tensor for key in measured for tensor in self.sums[key]]
            totals = torch._foreach_add(before, [tensor for pair in measured.values() for tensor in pair])
            measured = dict(zip(measured, zip(totals[::2], totals[1::2], strict=True), strict=True))
        self.sums = measured

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
        with writing(self.path), open(self.path, "a", encoding="utf-8") as stream:
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
