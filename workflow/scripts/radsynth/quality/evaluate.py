"""Every metric of one pool: for each extractor and reference set the distances, then what the pool repeats."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.features import FeatureSet, read_features
from radsynth.common.hashing import sha256_pixels
from radsynth.common.images import read_gray
from radsynth.common.seeds import derive_seed
from radsynth.common.tables import read_table
from radsynth.quality import frechet, kernel, memorisation
from radsynth.quality.arrays import UndefinedError
from radsynth.quality.baseline import draw_parts, part_sizes
from radsynth.quality.feature_sets import check_comparable, reference_sets

DISTANCES = {"fid": frechet, "kid": kernel}

log = logging.getLogger(__name__)


def _attempt(compute: Callable, *arguments: Any) -> tuple[Any, str]:
    """Return (value, "") or, where the metric is undefined, (None, reason)."""
    try:
        return compute(*arguments), ""
    except UndefinedError as error:
        return None, str(error)


def _distance(metric: ModuleType, a: np.ndarray, b: np.ndarray) -> float:
    return metric.value(metric.statistics(a), metric.statistics(b))


def _baseline(
    metric: ModuleType, real: np.ndarray, n_reference: int, n_synthetic: int, draws: int, seed: int
) -> dict[str, Any]:
    """Return mean, SD and sample sizes of the metric between random disjoint parts of the reals (n, d)."""
    sizes, _ = _attempt(part_sizes, len(real), n_reference, n_synthetic)
    if sizes is None or not draws:
        return {"real_real_mean": None, "real_real_sd": None, "real_real_n": None}
    values = [_distance(metric, real[a], real[b]) for a, b in draw_parts(len(real), sizes, draws, seed)]
    return {
        "real_real_mean": float(np.mean(values)),
        "real_real_sd": float(np.std(values, ddof=1)) if draws > 1 else None,
        "real_real_n": list(sizes),
    }


def distances(
    real: FeatureSet, pool: FeatureSet, references: dict[str, pd.DataFrame], draws: int, seed: int
) -> list[dict[str, Any]]:
    """Return a row per (metric, reference set) for one extractor; ``seed`` decides the parts of the baseline."""
    check_comparable(real, pool)
    originals = real.of(references["all"]["image_id"])
    n_synthetic, dim = pool.features.shape
    rows = []
    for reference, table in references.items():
        features, n_reference = real.of(table["image_id"]), len(table)
        parts_seed = derive_seed(seed, "baseline", reference)
        for name, metric in DISTANCES.items():
            value, reason = _attempt(_distance, metric, features, pool.features)
            few = name == "fid" and value is not None and min(n_reference, n_synthetic) <= dim
            rows.append(
                {
                    "metric": name,
                    "extractor": real.extractor["name"],
                    "preprocessing": real.extractor["preprocessing"],
                    "weights_sha256": (real.extractor["weights"] or {}).get("sha256"),
                    "reference": reference,
                    "value": value,
                    "n_reference": n_reference,
                    "n_synthetic": n_synthetic,
                    **_baseline(metric, originals, n_reference, n_synthetic, draws, parts_seed),
                    "reason": reason,
                    "note": f"no more images than dimensions ({dim}): mostly bias" if few else "",
                }
            )
    return rows


def copies(real: FeatureSet, pool: FeatureSet, references: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """Return the row of the copy rate for one extractor.

    One half of the held-out reals sets the threshold, the other half is the control.
    """
    train = real.of(references["train"]["image_id"])
    held_out = real.of(references["held_out"]["image_id"])
    calibration, control_images = held_out[::2], held_out[1::2]
    value = control = None
    threshold, reason = _attempt(memorisation.copy_threshold, calibration, train)
    if threshold is not None:
        value, reason = _attempt(memorisation.copy_rate, pool.features, train, threshold)
        control, _ = _attempt(memorisation.copy_rate, control_images, train, threshold)
    return {
        "metric": "copy_rate",
        "extractor": real.extractor["name"],
        "value": value,
        "control": control,
        "n_reference": len(train),
        "n_synthetic": len(pool.features),
        "n_control": len(control_images),
        "threshold": threshold,
        "reason": reason,
    }


def repeats(pool_hashes: Sequence[str], references: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Return the rows about equal pixels, which need no extractor: with training images, and inside the pool."""
    train, held_out = list(references["train"]["sha256"]), list(references["held_out"]["sha256"])
    rows = []
    for name, rate, arguments in (
        ("exact_copy_rate", memorisation.exact_copy_rate, [train]),
        ("duplicate_rate", memorisation.duplicate_rate, []),
    ):
        value, reason = _attempt(rate, pool_hashes, *arguments)
        rows.append(
            {
                "metric": name,
                "extractor": None,
                "value": value,
                "control": _attempt(rate, held_out, *arguments)[0],
                "n_reference": len(train) if arguments else None,
                "n_synthetic": len(pool_hashes),
                "n_control": len(held_out),
                "threshold": None,
                "reason": reason,
            }
        )
    return rows


def evaluate_pool(
    real: Sequence[str | Path],
    pool: Sequence[str | Path],
    data_manifest: str | Path,
    train: str | Path,
    pool_manifest: str | Path,
    *,
    label: str,
    baseline_draws: int,
    seed: int,
) -> dict[str, Any]:
    """Return all metrics of one pool as a JSON-serialisable dict.

    ``real`` and ``pool`` are features files, one per extractor in the same order; ``train`` is the cohort that the
    generator learned from; the pool's images lie beside its manifest.
    """
    manifest, cohort, synthetic = (read_table(path) for path in (data_manifest, train, pool_manifest))
    references = reference_sets(manifest, cohort, label)
    if references["all"].empty:
        raise UserError(f"{data_manifest}: no image of the class {label}")
    metrics, rates = [], []
    for real_path, pool_path in zip(real, pool, strict=True):
        real_set, pool_set = (read_features(path, np.float64) for path in (real_path, pool_path))
        metrics += distances(real_set, pool_set, references, baseline_draws, seed)
        rates.append(copies(real_set, pool_set, references))
        log.info("%s: distances and copy rate done", real_set.extractor["name"])
    hashes = [sha256_pixels(read_gray(Path(pool_manifest).parent / file)) for file in synthetic["file"]]
    return {"n_synthetic": len(synthetic), "metrics": metrics, "memorisation": rates + repeats(hashes, references)}
