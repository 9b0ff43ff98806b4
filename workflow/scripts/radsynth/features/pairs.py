"""Similarities of random pairs of images of one class: how alike the images of a pool are to each other."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from radsynth.common.files import atomic_path
from radsynth.common.images import read_gray_stack
from radsynth.common.tables import read_table
from radsynth.features.similarities import create_similarity

BATCH_SIZE = 16

log = logging.getLogger(__name__)


def draw_pairs(n: int, limit: int, seed: int) -> np.ndarray:
    """Return ``limit`` distinct unordered pairs of n images, int64 (m, 2), drawn uniformly; all if there are fewer.

    The second index of a pair is smaller than the first, so no image is paired with itself.
    """
    total = n * (n - 1) // 2
    numbers = np.random.default_rng(seed).choice(total, min(limit, total), replace=False)
    # Pair number j (j - 1) / 2 + i is (j, i); the root is exact where it is an integer.
    first = ((1 + np.sqrt(1 + 8 * numbers)) / 2).astype(np.int64)
    return np.stack([first, numbers - first * (first - 1) // 2], axis=1)


def compare_pairs(
    manifest: str | Path,
    images: str | Path,
    output: str | Path,
    *,
    label: str,
    similarities: Sequence[str],
    limit: int,
    seed: int,
    weights: str | Path | None = None,
    device: str = "cpu",
) -> None:
    """Write an npz of random pairs of the images of ``label`` in a table of images, whose files lie in ``images``.

    ``pairs``: int64 (m, 2), rows of the table; per name in ``similarities`` ("ms_ssim", "lpips") the values, float32
    (m,); ``about``: JSON, per name {"preprocessing", "weights"}. m is ``limit``, or the number of all pairs if smaller
    (none for a single image). ``weights`` is the backbone that LPIPS needs.
    """
    table = read_table(manifest)
    rows = np.flatnonzero(table["label"] == label)
    stack = read_gray_stack(Path(images).parent, table.iloc[rows])
    pairs = draw_pairs(len(rows), limit, seed)
    values, about = {}, {}
    for name in similarities:
        similarity = create_similarity(name, stack.shape[1:], weights, device)
        values[name] = np.empty(len(pairs), np.float32)
        with torch.inference_mode():
            for start in range(0, len(pairs), BATCH_SIZE):
                batch = torch.from_numpy(stack[pairs[start : start + BATCH_SIZE]]).to(device) / 255
                found = similarity(batch[:, :1], batch[:, 1:])
                values[name][start : start + len(found)] = found.cpu().numpy()
        about[name] = {"preprocessing": similarity.preprocessing, "weights": similarity.weights}
        log.info("%s: %d pairs of %d images of %s", name, len(pairs), len(rows), label)
    with atomic_path(output) as temporary:
        np.savez(temporary, pairs=rows[pairs], about=np.array(json.dumps(about)), **values)
