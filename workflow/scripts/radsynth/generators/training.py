"""From a training set to a finished model directory, its training curve and preview: what the rule calls."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radsynth.common.files import atomic_folder, sole_writer, write_json
from radsynth.common.registry import find
from radsynth.common.sets import ImageSet
from radsynth.common.tables import write_table
from radsynth.generators.previews import write_preview
from radsynth.learning.candidates import CHECKPOINTS, WITHHELD
from radsynth.learning.curves import plot_training
from radsynth.learning.measured import read_metrics

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def train_generator(
    family: str,
    options: dict[str, Any],
    data: ImageSet,
    *,
    model_dir: str | Path,
    training_png: str | Path,
    preview_png: str | Path,
    seed: int,
    selection: Mapping[str, Any] | None = None,
    withheld: "pd.DataFrame | None" = None,
    processes: int = 1,
    start: str | Path | None = None,
    pretraining_on: str | None = None,
    weights: str | Path | None = None,
) -> None:
    """Train one generator and write its directory: what ``save`` writes, metrics.jsonl and describe.json.

    If ``selection`` (of the configuration) chooses among the models of the training, these are in ``checkpoints/``.
    The rows of the training images that were ``withheld`` for it stand in withheld.csv. More than one of ``processes``
    take every step together, each on a GPU (families that are ``data_parallel``). ``state/`` and ``candidates/`` (to
    resume; removed when all is written) and ``progress/`` (previews while it trains) lie beside ``model_dir``.
    ``start`` is the folder of a model that the training begins from. One that others begin from names the dataset
    that it is ``pretraining_on``, and keeps also what makes no image. ``weights`` is the file that the family needs, if
    any. UserError if another process trains there.
    """
    model_dir = Path(model_dir)
    run_dir = model_dir.parent
    with sole_writer(run_dir / ".training.lock"):
        counts = ", ".join(f"{n} {label}" for label, n in data.label_counts.items())
        log.info("%s learns from %s, %d x %d px", family, counts, *data.images.shape[1:3])
        generator = find("families", family, "family").load()(options)
        generator.weights = None if weights is None else Path(weights)
        if processes > 1:
            from radsynth.generators.parallel import fit_together

            log.info("%d processes train together", processes)
            fit_together(family, options, data, run_dir, seed, selection, processes, start)
        generator.fit(data, run_dir, seed, selection, start)
        if pretraining_on is not None:
            generator.facts["pretrained_on"] = pretraining_on
        metrics = run_dir / "progress" / "metrics.jsonl"
        description = generator.describe() | {"processes": processes}
        log.info("%s: %s parameters", family, f"{description['parameters']:,}")
        with atomic_folder(model_dir) as partial:
            generator.save(partial)
            if pretraining_on is not None:
                generator.write_rest(partial)
            if withheld is not None:
                write_table(partial / WITHHELD, withheld[["image_id", "label"]])
            write_json(partial / "describe.json", description)
            if metrics.is_file():
                shutil.copyfile(metrics, partial / "metrics.jsonl")
            # Copied, not moved: a job that is stopped from here on finds them again together with the state.
            if (run_dir / "candidates").is_dir():
                shutil.copytree(run_dir / "candidates", partial / CHECKPOINTS, ignore=shutil.ignore_patterns(".*"))
        plot_training(read_metrics(metrics), training_png, title=f"{family}: {counts}")
        write_preview(generator, data, preview_png, seed)
        for folder in (*run_dir.glob("*/state"), run_dir / "state", run_dir / "candidates"):
            shutil.rmtree(folder, ignore_errors=True)
