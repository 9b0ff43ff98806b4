"""Sets of images in one feature space, and how two of them meet: a reference set and a pool, or two parts of one set.

What concerns a reference set alone is computed once for all pools, and can be kept. What a distance reads when there is
nothing to find are reals against other reals: parts of the originals, at the comparison's sizes, without a patient in
common. A ball of the k-th neighbour within a part, and all that it holds of another part, lies among an image's nearest
neighbours in the whole set: from lists of these one pass over its distances serves many pairs of parts, exactly.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from radsynth.common.errors import UserError
from radsynth.quality import frechet, kernel
from radsynth.quality.metric import Estimate, UndefinedError, blocks, checked
from radsynth.quality.neighbourhoods import (
    K_COVERAGE,
    K_PRECISION,
    TIE,
    Encounter,
    Points,
    block_rows,
    encounter,
    nearest_others,
)

KERNEL = "kernel_"  # followed by the size of the subsets
LISTED = 256  # nearest neighbours of each image that are kept; where these are too few, distances are measured again
ROWS = 4096  # images whose lists are looked at at once


class Sample(Points):
    """Features (n, d) of one set, its nearest neighbours, its Gaussian and its draws; it can be kept.

    ``seed`` settles the draws, and must differ from that of the set that it is compared with; ``groups`` (n,) are the
    patients or the like of the images, each its own without them.
    """

    def __init__(self, features: np.ndarray, seed: int, groups: np.ndarray | None = None):
        super().__init__(features)
        self.seed, self.groups = seed, groups

    @cached_property
    def resampled(self) -> kernel.Resampled:
        """The draws behind the interval of the kernel distance; UndefinedError for fewer than 2 images or groups."""
        return kernel.Resampled(self.features, self.seed, self.groups)

    def kept(self, partner: int) -> dict[str, np.ndarray]:
        """Return all that is known of this set alone where it meets one of ``partner`` images, as plain arrays."""
        arrays = {}
        try:
            arrays |= {
                "seed": np.array(self.seed),
                "mean": self.gaussian.mean,
                "root": self.gaussian.root,
                "within": self.within,
            }
            size = kernel.subset_size(len(self), partner)
            arrays[f"{KERNEL}{size}"] = self.resampled.within(size)
        except UndefinedError:
            pass  # it is so again where it is asked for
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray]) -> "Sample":
        """Take over what ``kept`` returned for the same features, seed and groups; UserError if it is of others."""
        if not arrays:
            return self
        mean = self.features.mean(axis=0)
        if int(arrays["seed"]) != self.seed or not np.array_equal(arrays["mean"], mean):
            raise UserError("what was kept of the real images is of other images; measure the controls again")
        self.within = arrays["within"]
        self.gaussian = frechet.Gaussian(arrays["mean"], arrays["root"])
        for name, values in arrays.items():
            if name.startswith(KERNEL):
                self.resampled.known[int(name.removeprefix(KERNEL))] = values
        return self


class Meeting(Encounter):
    """An encounter of two Samples."""

    @cached_property
    def kernel(self) -> dict[str, Estimate]:
        """The kernel distances; UndefinedError for fewer than 2 images or groups on either side."""
        return kernel.estimates(self.reference.resampled, self.candidate.resampled)


def meet(reference: Sample, candidate: Sample) -> Meeting:
    """Return the encounter that metrics of sets and of copies read; UndefinedError if either set is empty."""
    return Meeting(**vars(encounter(reference, candidate, (K_PRECISION, K_COVERAGE))))


class Neighbourhoods:
    """The nearest neighbours of each image of a set with features (n, d), n >= 2. Memory O(n)."""

    def __init__(self, features: np.ndarray):
        features = self.features = checked(features)
        self.centred = features - features.mean(axis=0)
        self.norms = np.sum(self.centred**2, axis=1)
        self.tie = TIE * self.norms.max()
        count = min(LISTED, len(features) - 1)
        self.nearest = np.empty((len(features), count), np.int32)
        self.squares = np.empty(self.nearest.shape)
        everything = np.arange(len(features))
        for block in blocks(len(features), block_rows(len(features))):
            rows = everything[block]
            self.nearest[rows], self.squares[rows] = nearest_others(self.centred, self.norms, rows, count)

    def balls(self, part: np.ndarray, other: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return how many balls of ``part`` hold each image of ``other``, and which balls hold any.

        Balls go to the k-th neighbour within the part. UndefinedError as of ``Points.radii``.
        """
        n = len(self.centred)
        if len(part) <= k:
            raise UndefinedError(f"needs more than {k} images on either side, found {len(part)}")
        inside, outside = np.zeros((2, n), bool)
        inside[part], outside[other] = True, True
        holding, held = np.zeros(n, int), np.zeros(len(part), bool)
        for places, nearest, squares in self._lists(part, inside, k):
            kth = (np.cumsum(inside[nearest], axis=1) >= k).argmax(axis=1)
            radii = squares[np.arange(len(places)), kth]
            if (radii <= self.tie).any():
                raise UndefinedError(f"an image with {k} identical others: a ball without size")
            hits = outside[nearest] & (squares < radii[:, None] - self.tie)
            holding += np.bincount(nearest[hits], minlength=n)
            held[places] = hits.any(axis=1)
        return holding[other], held

    def _lists(
        self, part: np.ndarray, inside: np.ndarray, k: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield places in ``part``, and their nearest images and squared distances, among which k are of the part."""
        for block in blocks(len(part), ROWS):
            places = np.arange(block.start, block.stop)
            nearest, squares = self.nearest[part[places]], self.squares[part[places]]
            enough = np.count_nonzero(inside[nearest], axis=1) >= k
            yield places[enough], nearest[enough], squares[enough]
            missing = places[~enough]
            for again in (missing[block] for block in blocks(len(missing), block_rows(len(inside)))):
                yield again, *nearest_others(self.centred, self.norms, part[again], len(inside) - 1)


class PartsMeeting:
    """What metrics of sets read of a Meeting, of candidates ``b`` and a reference ``a``, index arrays into one set.

    ``estimates`` returns the kernel distances.
    """

    def __init__(
        self, whole: Neighbourhoods, a: np.ndarray, b: np.ndarray, estimates: Callable[[], dict[str, Estimate]]
    ):
        self.whole, self.a, self.b, self.estimates = whole, a, b, estimates
        self.known: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    @cached_property
    def reference(self) -> Points:
        """The part ``a``."""
        return Points(self.whole.features[self.a])

    @cached_property
    def candidate(self) -> Points:
        """The part ``b``."""
        return Points(self.whole.features[self.b])

    @cached_property
    def kernel(self) -> dict[str, Estimate]:
        """The kernel distances, without intervals."""
        return self.estimates()

    def _balls(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        if k not in self.known:
            self.known[k] = self.whole.balls(self.a, self.b, k)
        return self.known[k]

    def holding(self, k: int) -> np.ndarray:
        """As of an Encounter."""
        return self._balls(k)[0]

    def reached(self, k: int) -> np.ndarray:
        """As of an Encounter."""
        return self.whole.balls(self.b, self.a, k)[0] > 0

    def covered(self, k: int) -> np.ndarray:
        """As of an Encounter."""
        return self._balls(k)[1]


def meetings_of_parts(
    features: np.ndarray, groups: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]], seed: int
) -> Iterator[PartsMeeting]:
    """Yield how pairs of parts (index arrays) of one set meet.

    ``features`` (n, d), ``groups`` (n,): the patients or the like of the images. All together: one pass over the
    distances and one over the kernel serve all pairs.
    """
    if not parts:
        return
    whole, kids = Neighbourhoods(features), kernel.of_parts(features, groups, parts, seed)
    for pair, estimates in zip(parts, kids, strict=True):
        yield PartsMeeting(whole, *pair, estimates)


def part_sizes(groups: np.ndarray, n_reference: int, n_synthetic: int) -> tuple[int, int]:
    """Return the sizes of two parts of real images, of which none of one part shares a group with one of the other.

    ``groups`` are the group numbers of the images (n,), from 0 on. The sizes are the comparison's own (n_reference,
    n_synthetic) if the data reach, else both are shrunk by one factor, which keeps their ratio: a group that lies
    across the end of the first part loses up to all but one of its images. UndefinedError if a part has fewer than 2.
    """
    n_real = len(groups) - max(0, int(np.bincount(groups).max(initial=0)) - 1)
    whole = max(n_reference + n_synthetic, n_real, 1)
    a, b = n_reference * n_real // whole, n_synthetic * n_real // whole
    if min(a, b) < 2:
        raise UndefinedError(
            f"{len(groups)} real images in {len(np.unique(groups))} groups (patients, near duplicates) are too few for "
            f"two parts in the ratio {n_reference}:{n_synthetic}"
        )
    return a, b


def draw_parts(
    groups: np.ndarray, sizes: tuple[int, int], draws: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ``draws`` random pairs of index arrays into the images, of the given ``part_sizes``, that share no group.

    Whole groups are drawn, since images of one patient or near duplicates on both sides would make reals look closer
    to each other than other reals are.
    """
    generator = np.random.default_rng(seed)
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    for _ in range(draws):
        order = np.concatenate([members[group] for group in generator.permutation(len(members))])
        first, rest = order[: sizes[0]], order[sizes[0] :]
        yield first, rest[groups[rest] != groups[first[-1]]][: sizes[1]]
