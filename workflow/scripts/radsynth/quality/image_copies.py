"""Copies among the images themselves, whatever the feature space.

Near copies by view (views.py) and by perceptual hash, which is coarse; images that repeat others to the pixel, and
images without content. Planted copies tell what the search for single copies could find, were it there: altered copies
of training images stand in for a pool, and the distance that 95 of 100 of them stay within, in the worst of the
alterations, is what the search must reach. A pool in which nothing was found says no more than that.
"""

import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import numpy as np
from PIL import Image

from radsynth.common.hashing import sha256_pixels
from radsynth.common.images import downsample
from radsynth.common.perceptual import perceptual_hash
from radsynth.quality.copies import THRESHOLD_QUANTILE, nearest_copy, quantile_threshold, share_below
from radsynth.quality.likeness import nearest_by_mse
from radsynth.quality.metric import CONTROL, LOWER, NONE, Meaning, OfImages, UndefinedError, any_image
from radsynth.quality.views import relative_view_distances

HASHED = 64  # side of the images whose hash is taken
AT_ONCE = 64  # images made small at once
BLOCK = 1024  # hashes compared at once
FLIPS = [(rows, columns) for rows in (np.s_[:], np.s_[::-1]) for columns in (np.s_[:], np.s_[::-1])]

PLANTED = 40  # training images that are copied, each once by every alteration
PLANTED_WITHIN = 0.95
NOISE = 5  # SD, gray values
JPEG_QUALITY = 50
BRIGHTER = 1.1
SHIFT = 0.02  # of the side


def _hashes(images: np.ndarray, flips: Sequence[tuple[slice, slice]]) -> np.ndarray:
    """Return the hashes of images (n, height, width) in each flip, uint64 (n * flips,)."""
    hashes = []
    for start in range(0, len(images), AT_ONCE):
        small = np.round(255 * downsample(images[start : start + AT_ONCE], HASHED)).astype(np.uint8)
        hashes += [perceptual_hash(one[flip]) for one in small.reshape(-1, HASHED, HASHED) for flip in flips]
    return np.array(hashes, dtype=np.uint64)


def hash_distances(images: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return, per uint8 image (n, height, width), the fewest of 64 bits (n,) that differ from a training image's hash.

    Training images (m, height, width), m >= 1, are also mirrored and turned by 180 degrees.
    """
    if not len(training):
        raise UndefinedError("needs at least 1 training image, found 0")
    hashes, known = _hashes(images, FLIPS[:1]), _hashes(training, FLIPS)
    nearest = np.full(len(images), 64, np.uint8)
    for start in range(0, len(known), BLOCK):
        for row in range(0, len(hashes), BLOCK):
            rows = slice(row, row + BLOCK)
            differing = np.bitwise_count(hashes[rows, None] ^ known[start : start + BLOCK])
            np.minimum(nearest[rows], differing.min(axis=1), out=nearest[rows])
    return nearest.astype(int)


def hash_threshold(distances: np.ndarray) -> float:
    """Return the most bits that at most THRESHOLD_QUANTILE of the distances of held-out reals (n,) stay within; n >= 2.

    Bits are whole numbers with many ties, of which a plain quantile would let all pass. UndefinedError where more
    held-out reals than that have a training image's very hash: it then tells nothing of copies.
    """
    if len(distances) < 2:
        raise UndefinedError(f"needs at least 2 held-out images for a threshold, found {len(distances)}")
    bits = np.sort(distances)[int(THRESHOLD_QUANTILE * len(distances))] - 1
    if bits < 0:
        raise UndefinedError("too many held-out images have the hash of a training image")
    return float(bits)


def exact_copy_rate(hashes: Sequence[str], training: Collection[str]) -> float:
    """Return the share of images whose pixels, by hash, equal a training image's."""
    any_image(hashes)
    training = set(training)
    return sum(digest in training for digest in hashes) / len(hashes)


def duplicate_rate(hashes: Sequence[str]) -> float:
    """Return the share of images whose pixels, by hash, equal those of another image of the same set."""
    any_image(hashes)
    return sum(count for count in Counter(hashes).values() if count > 1) / len(hashes)


def constant_rate(images: np.ndarray) -> float:
    """Return the share of images (n, height, width) with a single gray value."""
    any_image(images)
    return float(np.mean(images.min(axis=(1, 2)) == images.max(axis=(1, 2))))


def _noisy(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(image + generator.normal(0, NOISE, image.shape)), 0, 255).astype(np.uint8)


def _compressed(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(stream))


def _brighter(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(BRIGHTER * image), 0, 255).astype(np.uint8)


def _shifted(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    length = max(1, round(SHIFT * min(image.shape)))
    down, right = generator.choice([-length, length], 2)
    rows, columns = (np.arange(size) for size in image.shape)
    return image[np.clip(rows - down, 0, len(rows) - 1)][:, np.clip(columns - right, 0, len(columns) - 1)]


def _mirrored(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return image[:, ::-1]


#: Alterations of a uint8 image (height, width), by the name that the reports give them.
ALTERATIONS = {
    "noise": _noisy,
    "JPEG": _compressed,
    "brighter": _brighter,
    "shifted": _shifted,
    "mirrored": _mirrored,
}


def planted_distance(training: np.ndarray, seed: int) -> float:
    """Return the relative view distance that 95 % of altered copies of training images stay within, of the worst kind.

    ``training`` are uint8 images (n, height, width), n >= 2.
    """
    generator = np.random.default_rng(seed)
    chosen = training[generator.permutation(len(training))[:PLANTED]]
    kinds = [np.stack([alter(image, generator) for image in chosen]) for alter in ALTERATIONS.values()]
    distances, _ = relative_view_distances(np.concatenate(kinds), training)
    return float(np.quantile(distances.reshape(len(kinds), -1), PLANTED_WITHIN, axis=1).max())


class Images:
    """What is known of uint8 images (n, height, width) among training images (m, height, width), for the metrics below.

    ``thresholds`` are, by metric, what held-out images set.
    """

    def __init__(self, images: np.ndarray, training: np.ndarray, thresholds: Mapping[str, float | None] | None = None):
        self.images, self.training, self.thresholds = images, training, thresholds or {}

    @cached_property
    def near(self) -> dict[str, np.ndarray]:
        """Distances (n,) by ``view`` and ``hash``, and in ``view_nearest`` the training image of the nearest view (n,).

        Empty without images or 2 training images.
        """
        if not len(self.images) or len(self.training) < 2:
            return {"view": np.empty(0), "view_nearest": np.empty(0, int), "hash": np.empty(0)}
        relative, nearest = relative_view_distances(self.images, self.training)
        return {"view": relative, "view_nearest": nearest, "hash": hash_distances(self.images, self.training)}

    @cached_property
    def hashes(self) -> list[str]:
        """The hashes of all pixels of the images."""
        return [sha256_pixels(image) for image in self.images]

    @cached_property
    def training_hashes(self) -> list[str]:
        """The hashes of all pixels of the training images."""
        return [sha256_pixels(image) for image in self.training]

    @cached_property
    def by_mse(self) -> tuple[np.ndarray, np.ndarray]:
        """``nearest_by_mse`` of the images; UndefinedError where there are none."""
        return nearest_by_mse(self.images, self.training)

    def part(self, chosen: np.ndarray, thresholds: Mapping[str, float | None] | None = None) -> "Images":
        """Return what is known of the images ``chosen`` (bool, n), whose distances are not computed again."""
        part = Images(self.images[chosen], self.training, thresholds)
        part.near = {key: values[chosen] if len(values) else values for key, values in self.near.items()}
        return part


VIEW_COPY_RATE = OfImages(
    "view_copy_rate",
    "memorisation",
    lambda images: share_below(images.near["view"], images.thresholds["view_copy_rate"]),
    Meaning(
        "view copy rate",
        LOWER,
        "above",
        "the same with flipped, turned or cropped views of the training images",
        whole=1,
    ),
    rank=0,
    lowest=0,
    highest=1,
    threshold=lambda images: quantile_threshold(images.near["view"]),
)
HASH_COPY_RATE = OfImages(
    "hash_copy_rate",
    "memorisation",
    lambda images: share_below(images.near["hash"], images.thresholds["hash_copy_rate"]),
    Meaning(
        "hash copy rate",
        LOWER,
        "above",
        "more images have almost the perceptual hash of a training image than held-out real images have",
        whole=1,
    ),
    rank=0,
    lowest=0,
    highest=1,
    threshold=lambda images: hash_threshold(images.near["hash"]),
)
VIEW_NEAREST_COPY = OfImages(
    "view_nearest_copy",
    "memorisation",
    lambda images: nearest_copy(images.near["view"]),
    Meaning(
        "nearest view",
        CONTROL,
        "nearest",
        "the same with flipped, turned, shifted or cropped views of the training images",
        decimals=3,
    ),
    rank=1,
    lowest=0,
    search=lambda images: (images.near["view"], images.near["view_nearest"]),
    planted=planted_distance,
)
EXACT_COPY_RATE = OfImages(
    "exact_copy_rate",
    "memorisation",
    lambda images: exact_copy_rate(images.hashes, images.training_hashes),
    Meaning("exact copies", LOWER, "any", "images with all the pixels of a training image", whole=1),
    rank=2,
    lowest=0,
    highest=1,
)
DUPLICATE_RATE = OfImages(
    "duplicate_rate",
    "memorisation",
    lambda images: duplicate_rate(images.hashes),
    Meaning("duplicates", LOWER, "any", "images with all the pixels of another image of the pool", whole=1),
    references=(NONE,),
    lowest=0,
    highest=1,
)
CONSTANT_RATE = OfImages(
    "constant_rate",
    "memorisation",
    lambda images: constant_rate(images.images),
    Meaning("constant images", LOWER, "any", "images of a single gray value", whole=1),
    references=(NONE,),
    lowest=0,
    highest=1,
)
