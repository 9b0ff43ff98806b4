"""From a manifest to a file of features."""

import logging
from pathlib import Path

import numpy as np

from radsynth.common.errors import UserError
from radsynth.common.features import read_image_set, write_features
from radsynth.features.interface import Extractor, describe
from radsynth.features.registry import extractor_entry

log = logging.getLogger(__name__)


def create_extractor(
    name: str,
    images: np.ndarray,
    *,
    weights: str | Path | None = None,
    reference: str | Path | None = None,
    device: str = "cpu",
) -> Extractor:
    """Return an extractor ready for use.

    A fitted extractor takes its basis from the features file ``reference``, or, where there is none, from ``images``;
    a network reads its ``weights`` and runs on ``device`` ("cpu" or "cuda").
    """
    entry = extractor_entry(name)
    if entry.needs_weights:
        if weights is None:
            raise UserError(f"extractor {name}: needs the weights {entry.needs_weights}, none were given")
        return entry.load().from_file(weights, device)
    extractor = entry.load()()
    if entry.fitted and reference is None:
        extractor.fit(images)
    elif entry.fitted:
        with np.load(reference, allow_pickle=False) as arrays:
            extractor.restore(arrays)
    return extractor


def features_of_manifest(
    manifest: str | Path,
    output: str | Path,
    name: str,
    *,
    weights: str | Path | None = None,
    reference: str | Path | None = None,
    device: str = "cpu",
) -> None:
    """Write the features of the images in a dataset's or a pool's manifest, in its order."""
    image_ids, images = read_image_set(manifest)
    extractor = create_extractor(name, images, weights=weights, reference=reference, device=device)
    write_features(output, image_ids, extractor.extract(images), describe(extractor), extractor.state())
    log.info("%s: %d images, %d features each", name, len(images), extractor.dim)
