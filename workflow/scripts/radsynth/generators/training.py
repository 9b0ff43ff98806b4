"""From a training set to a finished model directory, its training curve and preview: what the rule calls."""

import logging
import shutil
from pathlib import Path
from typing import Any

from radsynth.common.files import write_json
from radsynth.generators.base import TrainingSet
from radsynth.generators.metrics import plot_training, read_metrics
from radsynth.generators.previews import write_preview
from radsynth.generators.registry import load_family

log = logging.getLogger(__name__)


def train_generator(
    family: str,
    options: dict[str, Any],
    data: TrainingSet,
    *,
    model_dir: str | Path,
    training_png: str | Path,
    preview_png: str | Path,
    seed: int,
) -> None:
    """Train one generator and write its directory: what ``save`` writes, metrics.jsonl and describe.json.

    ``state/`` (to resume; removed when all is written) and ``progress/`` (previews while it trains) lie beside
    ``model_dir``.
    """
    model_dir = Path(model_dir)
    run_dir = model_dir.parent
    counts = ", ".join(f"{n} {label}" for label, n in data.label_counts.items())
    log.info("%s learns from %s, %d x %d px", family, counts, *data.images.shape[1:])
    generator = load_family(family)(options)
    generator.fit(data, run_dir, seed)
    generator.save(model_dir)
    description = generator.describe()
    write_json(model_dir / "describe.json", description)
    log.info("%s: %s parameters", family, f"{description['parameters']:,}")
    metrics = run_dir / "progress" / "metrics.jsonl"
    if metrics.is_file():
        shutil.copyfile(metrics, model_dir / "metrics.jsonl")
    plot_training(read_metrics(metrics), training_png, title=f"{family}: {counts}")
    write_preview(generator, data, preview_png, seed)
    shutil.rmtree(run_dir / "state", ignore_errors=True)
