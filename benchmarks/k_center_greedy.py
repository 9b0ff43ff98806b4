"""k-center greedy against the plain loop over scikit-learn's `pairwise_distances`, both in one process, alternating."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sklearn
from sklearn.metrics import pairwise_distances

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.cohorts.orders import farthest_first


def plain_loop(features: np.ndarray, first: int, k: int) -> np.ndarray:
    """Return the first k centres of farthest-first traversal, as a plain loop finds them."""
    centres = [first]
    nearest = pairwise_distances(features, features[[first]]).ravel()
    while len(centres) < k:
        centres.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, pairwise_distances(features, features[centres[-1:]]).ravel())
    return np.array(centres)


def timed(function: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """Return the function's result and the seconds it took."""
    began = time.perf_counter()
    return function(), time.perf_counter() - began


def main() -> None:
    """Print a table and, on the last line, the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="images")
    parser.add_argument("--d", type=int, default=512, help="features")
    parser.add_argument("--k", type=int, default=200, help="centres")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    # Like pooled ReLU features: not negative, in clusters.
    clusters = rng.gamma(1.0, 0.8, (50, args.d))
    features = clusters[rng.integers(50, size=args.n)].astype(np.float32)
    features += rng.gamma(1.0, 0.4, features.shape).astype(np.float32)

    ours, peer = [], []
    for _ in range(args.repeats):
        order, seconds = timed(lambda: farthest_first(features, 0, limit=args.k))
        ours.append(seconds)
        centres, seconds = timed(lambda: plain_loop(features, 0, args.k))
        peer.append(seconds)
    result = {
        "n": args.n,
        "d": args.d,
        "k": args.k,
        "radsynth_s": statistics.median(ours),
        "plain_loop_s": statistics.median(peer),
        "ratio": statistics.median(b / a for a, b in zip(ours, peer, strict=True)),
        "same_centres": bool(np.array_equal(order[: args.k], centres)),
        "scikit_learn": sklearn.__version__,
    }
    print(f"{args.k} of {args.n:,} x {args.d}, median of {args.repeats} alternating repeats")
    print(f"  radsynth farthest_first             {result['radsynth_s']:8.2f} s")
    print(f"  plain loop over pairwise_distances  {result['plain_loop_s']:8.2f} s")
    print(f"  ratio {result['ratio']:.1f}, same centres: {result['same_centres']}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
