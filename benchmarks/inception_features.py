"""Inception features against pytorch-fid, torch-fidelity and torchmetrics, in one process, alternating.

All have the same random weights; then the same images once more through the feature cache.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit"))
from inception_peers import (
    as_pytorch_fid,
    as_torch_fidelity,
    as_torchmetrics,
    ours,
    smooth_images,
    write_random_weights,
)
from radsynth.features.cache import extract_cached
from radsynth.features.inception import InceptionV3Fid, InceptionV3TorchFidelity
from radsynth.features.network import BATCH_SIZES


def timed(function: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the function's result, the images per second, and those per second of processor time.

    The latter says more where other work shares the machine.
    """
    began, cpu_began = time.perf_counter(), time.process_time()
    result = function(images)
    return result, len(images) / (time.perf_counter() - began), len(images) / (time.process_time() - cpu_began)


def in_batches(function: Callable[[np.ndarray], np.ndarray], size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function, given at most ``size`` images at a time."""
    return lambda images: np.concatenate([function(images[i : i + size]) for i in range(0, len(images), size)])


def main() -> None:
    """Print a table and, on the last line, the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=64, help="images")
    parser.add_argument("--size", type=int, default=256, help="of the images, in pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer-batch", type=int, default=50, help="pytorch-fid's default is 50")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    images = smooth_images(args.n, args.size, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.pth"
        write_random_weights(weights, smooth_images(4, 96, seed=0))
        extractors = ours(InceptionV3Fid, weights), ours(InceptionV3TorchFidelity, weights)
        fidelity, metrics = as_torch_fidelity(weights, "2048"), as_torchmetrics(weights, antialias=False)
        runs = {
            **{extractor.name: extractor.extract for extractor in extractors},
            "pytorch-fid": in_batches(as_pytorch_fid(weights), args.peer_batch),
            "torch-fidelity": in_batches(lambda batch: fidelity(batch)[0], args.peer_batch),
            "torchmetrics": in_batches(metrics, args.peer_batch),
        }
        for run in runs.values():
            run(images[: BATCH_SIZES["cpu"]])
        rates, cpu_rates, features = {name: [] for name in runs}, {name: [] for name in runs}, {}
        for _ in range(args.repeats):
            for name, run in runs.items():
                features[name], rate, cpu_rate = timed(run, images)
                rates[name].append(rate)
                cpu_rates[name].append(cpu_rate)
        cache = Path(folder) / "cache"
        first = extract_cached(extractors[0], images, cache)
        second, cached_rate, _ = timed(lambda stack: extract_cached(extractors[0], stack, cache), images)

    def difference(a: str, b: str) -> float:
        return float(np.linalg.norm(features[a] - features[b]) / np.linalg.norm(features[b]))

    def ratio(found: dict[str, list[float]]) -> float:
        """Return the median over the repeats of ours to the fastest peer."""
        mine, _, *peers = found.values()
        return statistics.median(a / max(others) for a, *others in zip(mine, *peers, strict=True))

    result = {
        **vars(args),
        "images_per_s": {name: statistics.median(values) for name, values in rates.items()},
        "images_per_cpu_s": {name: statistics.median(values) for name, values in cpu_rates.items()},
        "ratio_to_fastest_peer": ratio(rates),
        "cpu_ratio_to_fastest_peer": ratio(cpu_rates),
        "difference_pytorch_fid": difference("inception_v3_fid", "pytorch-fid"),
        "difference_torch_fidelity": difference("inception_v3_torch_fidelity", "torch-fidelity"),
        "cached_images_per_s": cached_rate,
        "cached_bits_equal": bool(np.array_equal(first, second)),
        "torch": torch.__version__,
    }
    print(f"{args.n} images of {args.size} px, {args.threads} threads, median of {args.repeats} alternating repeats")
    for name, rate in result["images_per_s"].items():
        print(f"  {name:30} {rate:8.2f} images/s {result['images_per_cpu_s'][name]:8.2f} per s of processor time")
    print(f"  {'second run, from the cache':30} {cached_rate:8.0f} images/s")
    print(f"  ratio to the fastest peer {result['ratio_to_fastest_peer']:.2f}", end=", ")
    print(f"in processor time {result['cpu_ratio_to_fastest_peer']:.2f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
