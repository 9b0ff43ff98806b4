"""What a distance reads when there is nothing to find: reals against other reals, at the comparison's sample sizes."""

from collections.abc import Iterator

import numpy as np

from radsynth.quality.arrays import UndefinedError


def part_sizes(n_real: int, n_reference: int, n_synthetic: int) -> tuple[int, int]:
    """Return the sizes of two disjoint parts of ``n_real`` images.

    They are the comparison's own (n_reference, n_synthetic) if the data reach, else both are shrunk by one factor,
    which keeps their ratio. UndefinedError if a part has fewer than 2 images.
    """
    whole = max(n_reference + n_synthetic, n_real, 1)
    a, b = n_reference * n_real // whole, n_synthetic * n_real // whole
    if min(a, b) < 2:
        raise UndefinedError(f"{n_real} real images are too few for two parts in the ratio {n_reference}:{n_synthetic}")
    return a, b


def draw_parts(n_real: int, sizes: tuple[int, int], draws: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ``draws`` random pairs of disjoint index arrays into ``n_real`` images, of the given sizes."""
    generator = np.random.default_rng(seed)
    for _ in range(draws):
        order = generator.permutation(n_real)
        yield order[: sizes[0]], order[sizes[0] : sum(sizes)]
