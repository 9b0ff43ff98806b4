"""What a distance reads when there is nothing to find: reals against other reals, at the comparison's sample sizes."""

from collections.abc import Iterator

import numpy as np

from radsynth.quality.arrays import UndefinedError


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
