"""Features of images that a network has seen before, kept between jobs and studies.

Below the cache's folder, one folder per extractor and image size; in it one file per extraction, with the images that
were new to it. Files are never changed and have unique names, so jobs on several machines may write at the same time.
Every file may be deleted at any time: its images are extracted again.
"""

import inspect
import logging
import uuid
from pathlib import Path

import numpy as np

from radsynth.common.code import code_hash
from radsynth.common.errors import UserError
from radsynth.common.files import atomic_path
from radsynth.common.hashing import sha256_json, sha256_pixels
from radsynth.features.interface import Extractor, check_images, describe

log = logging.getLogger(__name__)


def extractor_key(extractor: Extractor, shape: tuple[int, int]) -> str:
    """Return a hash of all that decides an image's features but its pixels.

    These are the extractor's description (preprocessing, SHA-256 of the weights), its code, and the size of the image,
    which the hash of the pixels leaves out. Device and library versions are not: they change the last digits only.
    """
    code = code_hash(inspect.getfile(type(extractor)))
    return sha256_json({"extractor": describe(extractor), "code": code, "shape": list(shape)})[:32]


def read_known(folder: Path, wanted: set[str], dim: int) -> dict[str, np.ndarray]:
    """Return the features (dim,) of those wanted images (SHA-256 of their pixels) that the folder's files hold.

    A file that is damaged, or not of this cache, is ignored with a warning.
    """
    known: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("[!.]*.npz")):
        try:
            with np.load(path, allow_pickle=False) as arrays:
                hashes = arrays["sha256"].tolist()
                if wanted.isdisjoint(hashes):
                    continue
                features = arrays["features"]
            if features.shape != (len(hashes), dim) or features.dtype != np.float32 or not np.isfinite(features).all():
                raise ValueError(f"features of shape {features.shape}, {features.dtype}")
        except Exception as error:  # of nearly any kind, depending on the bytes that are wrong
            log.warning("%s: ignored, not a whole file of cached features (%s)", path, error)
            continue
        known.update((key, row) for key, row in zip(hashes, features, strict=True) if key in wanted)
    return known


def write_known(folder: Path, hashes: list[str], features: np.ndarray) -> None:
    """Add the features (n, dim) of new images; a cache that cannot be written costs time later, not the job."""
    try:
        with atomic_path(folder / f"{uuid.uuid4().hex}.npz") as temporary:
            np.savez(temporary, sha256=np.array(hashes), features=features)
    except UserError as error:
        log.warning("features not cached: %s", error)


def extract_cached(extractor: Extractor, images: np.ndarray, root: str | Path) -> np.ndarray:
    """Return what ``extractor.extract(images)`` would, float32 (n, dim), and extract only what ``root`` lacks.

    Equal images are extracted once. The values are the same bits as without a cache where the same device, number of
    threads and library versions filled it; otherwise they agree to about 1e-6.
    """
    folder = Path(root) / extractor_key(extractor, check_images(images).shape[1:])
    hashes = [sha256_pixels(image) for image in images]
    known = read_known(folder, set(hashes), extractor.dim)
    log.info("%s: %d of %d images from the cache", extractor.name, sum(key in known for key in hashes), len(images))
    new = {key: row for row, key in enumerate(hashes) if key not in known}
    if new:
        features = extractor.extract(images[list(new.values())])
        known.update(zip(new, features, strict=True))
        if np.isfinite(features).all():
            write_known(folder, list(new), features)
    return np.stack([known[key] for key in hashes])
