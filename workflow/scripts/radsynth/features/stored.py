"""From a manifest to a file of features."""

import logging
from pathlib import Path

import numpy as np

from radsynth.common.arrays import read_arrays
from radsynth.common.errors import UserError
from radsynth.common.features import read_image_set, write_features
from radsynth.common.registry import find
from radsynth.features.cache import extract_cached
from radsynth.features.interface import Extractor, describe

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
    entry = find("extractors", name, "extractor")
    if entry.needs_weights:
        if weights is None:
            raise UserError(f"extractor {name}: needs the weights {entry.needs_weights}, none were given")
        return entry.load().from_file(weights, device)
    extractor = entry.load()()
    if entry.fitted and reference is None:
        extractor.fit(images)
    elif entry.fitted:
        extractor.restore(read_arrays(reference))
    return extractor


def features_of_manifest(
    manifest: str | Path,
    output: str | Path,
    name: str,
    *,
    weights: str | Path | None = None,
    reference: str | Path | None = None,
    device: str = "cpu",
    cache: str | Path | None = None,
) -> None:
    """Write the features of the images in a dataset's or a pool's manifest, in its order.

    With a ``cache`` (a folder), networks see only the images that it does not know.
    """
    image_ids, images = read_image_set(manifest)
    extractor = create_extractor(name, images, weights=weights, reference=reference, device=device)
    is_network = find("extractors", name, "extractor").needs_weights is not None
    features = extract_cached(extractor, images, cache) if is_network and cache else extractor.extract(images)
    logits = extractor.logits(features) if is_network else None
    arrays = extractor.state() | ({} if logits is None else {"logits": logits})
    write_features(output, image_ids, features, describe(extractor), arrays)
    log.info("%s: %d images, %d features each", name, len(images), extractor.dim)
