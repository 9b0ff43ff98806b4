"""From a manifest to a file of features."""

import json
import logging
from pathlib import Path

import numpy as np

from radsynth.common.errors import UserError
from radsynth.common.files import atomic_path
from radsynth.common.images import read_gray_stack
from radsynth.common.tables import read_table
from radsynth.features.cache import extract_cached
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


def write_features(
    path: str | Path,
    image_ids: list[str],
    features: np.ndarray,
    extractor: Extractor,
    logits: np.ndarray | None = None,
) -> None:
    """Write an npz without pickles.

    It holds ``features`` (n, d), ``image_id`` (n,), ``extractor`` (JSON), the fitted state, and, where the extractor
    has a classifier on top, its ``logits`` (n, classes) without bias.
    """
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        first = image_ids[finite.argmin()]
        raise UserError(f"{path}: extractor {extractor.name} gave values that are not finite for the image {first}")
    optional = {} if logits is None else {"logits": logits}
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            features=features,
            image_id=np.array(image_ids, dtype=str),
            extractor=np.array(json.dumps(describe(extractor))),
            **extractor.state(),
            **optional,
        )


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
    """Write the features of the images in a manifest (a dataset's or a pool's, files relative to it), in its order.

    A pool's images have no ids: the stem of the file name serves. With a ``cache`` (a folder), networks see only
    the images that it does not know.
    """
    table = read_table(manifest)
    image_ids = table["image_id"] if "image_id" in table else table["file"].map(lambda file: Path(file).stem)
    images = read_gray_stack(Path(manifest).parent, table["file"])
    extractor = create_extractor(name, images, weights=weights, reference=reference, device=device)
    is_network = extractor_entry(name).needs_weights is not None
    features = extract_cached(extractor, images, cache) if is_network and cache else extractor.extract(images)
    logits = extractor.logits(features) if is_network else None
    write_features(output, list(image_ids), features, extractor, logits)
    log.info("%s: %d images, %d features each", name, len(images), extractor.dim)
