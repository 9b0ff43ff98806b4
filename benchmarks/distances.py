"""Frechet distance, kernel distance and PRDC against the peers' code, on the same features, alternating in one process.

The peers get the features (and, for the Frechet distance, compute means and covariances from them, as they do).
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.common.torchvision import import_torchvision
from radsynth.quality import frechet, kernel, neighbourhoods
from radsynth.quality.neighbourhoods import Points, encounter

Method = Callable[[np.ndarray, np.ndarray], float]


def ours_fid(a: np.ndarray, b: np.ndarray) -> float:
    return frechet.value(frechet.statistics(a), frechet.statistics(b))


def ours_kid(a: np.ndarray, b: np.ndarray) -> float:
    return kernel.value(kernel.statistics(a), kernel.statistics(b))


def ours_prdc(a: np.ndarray, b: np.ndarray) -> float:
    meeting = encounter(Points(a), Points(b), (5,))
    return sum(getattr(neighbourhoods, metric)(meeting, 5) for metric in ("precision", "recall", "density", "coverage"))


def load_peers(threads: int) -> dict[str, dict[str, Method]]:
    """Import the peers and return their methods by task."""
    import_torchvision()
    import torch
    from cleanfid.fid import frechet_distance as clean_fid
    from prdc import compute_prdc
    from pytorch_fid.fid_score import calculate_frechet_distance as pytorch_fid
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torchmetrics.image.fid import _compute_fid as torchmetrics_fid

    torch.set_num_threads(threads)

    def by_moments(distance: Callable) -> Method:
        return lambda a, b: distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))

    def torch_fidelity_fid(a: np.ndarray, b: np.ndarray) -> float:
        moments = (fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b))
        return fid_statistics_to_metric(*moments, verbose=False)["frechet_inception_distance"]

    def torchmetrics(a: np.ndarray, b: np.ndarray) -> float:
        moments = [part for x in map(torch.from_numpy, (a, b)) for part in (x.mean(0), torch.cov(x.T))]
        return float(torchmetrics_fid(*moments))

    def torch_fidelity_kid(a: np.ndarray, b: np.ndarray) -> float:
        options = {"kid_subsets": 100, "kid_subset_size": min(1000, len(a), len(b)), "verbose": False}
        found = kid_features_to_metric(torch.from_numpy(a), torch.from_numpy(b), **options)
        return found["kernel_inception_distance_mean"]

    return {
        "frechet": {
            "pytorch-fid": by_moments(pytorch_fid),
            "clean-fid": by_moments(clean_fid),
            "torch-fidelity": torch_fidelity_fid,
            "torchmetrics": torchmetrics,
        },
        "kid": {"torch-fidelity, 100 subsets of 1,000": torch_fidelity_kid},
        "prdc": {"prdc": lambda a, b: sum(compute_prdc(a, b, nearest_k=5).values())},
    }


def timed(method: Method, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return the method's value and the seconds it took, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.perf_counter()
        return method(a, b), time.perf_counter() - began


def main() -> None:
    """Print a table and, on the last line, the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=200, help="real images of the Frechet distance")
    parser.add_argument("--n", type=int, default=2000, help="images of every other set")
    parser.add_argument("--d", type=int, default=2048, help="features")
    parser.add_argument("--threads", type=int, default=1, help="of torch; BLAS takes OMP_NUM_THREADS")
    parser.add_argument("--tasks", nargs="+", default=["frechet", "kid", "prdc"])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    peers = load_peers(args.threads)
    # Like pooled ReLU features: not negative, correlated, of a falling spectrum.
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(args.d, args.d)) / (1 + np.arange(args.d))[:, None] ** 0.7
    real, synthetic = (np.maximum(rng.normal(size=(args.n, args.d)) @ mixing + 0.3, 0) for _ in range(2))

    ours = {"frechet": ours_fid, "kid": ours_kid, "prdc": ours_prdc}
    result = {"n": args.n, "few": args.few, "d": args.d, "threads": args.threads, "repeats": args.repeats}
    for task in args.tasks:
        a = real[: args.few] if task == "frechet" else real
        methods = {"radsynth": ours[task], **peers[task]}
        print(f"{task}: {len(a)} against {len(synthetic)} x {args.d}, median of {args.repeats} alternating repeats")
        seconds, values = {name: [] for name in methods}, {}
        for _ in range(args.repeats):
            for name, method in methods.items():
                values[name], took = timed(method, a, synthetic)
                seconds[name].append(took)
        result[task] = {}
        for name in seconds:
            ratio = statistics.median(peer / own for own, peer in zip(seconds["radsynth"], seconds[name], strict=True))
            found = {"s": statistics.median(seconds[name]), "ratio": ratio, "value": float(values[name])}
            result[task][name] = found
            print(f"  {name:40s} {found['s']:8.2f} s   ratio {ratio:6.1f}   value {found['value']:.6f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
