"""Inception features against pytorch-fid, torch-fidelity and torchmetrics, in one process, alternating.

All have the same random weights; then the same images once more through the feature cache. On the CPU: that is where
torch-fidelity and torchmetrics keep their networks here.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alternating import in_turn

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


def in_batches(function: Callable[[np.ndarray], np.ndarray], size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function, given at most ``size`` images at a time."""
    return lambda images: np.concatenate([function(images[i : i + size]) for i in range(0, len(images), size)])


def random_weights(folder: str | Path) -> Path:
    """Write calibrated random weights into ``folder`` and return their file."""
    weights = Path(folder) / "random.pth"
    write_random_weights(weights, smooth_images(4, 96, seed=0))
    return weights


def measure(
    sides: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    images: np.ndarray,
    pairs: Mapping[str, str],
    repeats: int,
    deadline: float = math.inf,
) -> dict[str, Any]:
    """Return what ``in_turn`` does of the seconds per image, with the same of processor time (``cpu_seconds``).

    ``sides`` turn uint8 images (n, height, width) into features (n, 2048); ours is the first. ``differences`` of the
    ``pairs``, which name our side for a peer, are those of the features as a share of the peer's norm.
    """
    cpu_seconds: dict[str, list[float]] = {name: [] for name in sides}
    features = {}

    def seconds(name: str) -> float:
        began, cpu_began = time.perf_counter(), time.process_time()
        features[name] = sides[name](images)
        cpu_seconds[name].append((time.process_time() - cpu_began) / len(images))
        return (time.perf_counter() - began) / len(images)

    for side in sides.values():
        side(images[: BATCH_SIZES["cuda" if torch.cuda.is_available() else "cpu"]])
    found = in_turn({name: lambda name=name: seconds(name) for name in sides}, repeats, deadline)
    differences = {
        peer: float(np.linalg.norm(features[mine] - features[peer]) / np.linalg.norm(features[peer]))
        for peer, mine in pairs.items()
    }
    facts = {"images": len(images), "size": images.shape[1]}
    return {**facts, **found, "cpu_seconds": cpu_seconds, "differences": differences}


def measure_pytorch_fid(
    count: int, size: int, batch: int, device: str, repeats: int, deadline: float = math.inf
) -> dict[str, Any]:
    """Return what ``measure`` does of ours and pytorch-fid on ``count`` images of ``size`` px, both on ``device``.

    pytorch-fid takes ``batch`` images at a time.
    """
    with tempfile.TemporaryDirectory() as folder:
        weights = random_weights(folder)
        sides = {
            "ours": ours(InceptionV3Fid, weights, device).extract,
            "pytorch-fid": in_batches(as_pytorch_fid(weights, device), batch),
        }
        found = measure(sides, smooth_images(count, size, seed=1), {"pytorch-fid": "ours"}, repeats, deadline)
    return {"device": device, "batches": {"ours": BATCH_SIZES[device], "pytorch-fid": batch}, **found}


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
        weights = random_weights(folder)
        mine, other = (ours(extractor, weights) for extractor in (InceptionV3Fid, InceptionV3TorchFidelity))
        fidelity, metrics = as_torch_fidelity(weights, "2048"), as_torchmetrics(weights, antialias=False)
        sides = {
            mine.name: mine.extract,
            other.name: other.extract,
            "pytorch-fid": in_batches(as_pytorch_fid(weights), args.peer_batch),
            "torch-fidelity": in_batches(lambda batch: fidelity(batch)[0], args.peer_batch),
            "torchmetrics": in_batches(metrics, args.peer_batch),
        }
        pairs = {"pytorch-fid": mine.name, "torch-fidelity": other.name}
        found = measure(sides, images, pairs, args.repeats)
        cache = Path(folder) / "cache"
        first = extract_cached(mine, images, cache)
        began = time.perf_counter()
        second = extract_cached(mine, images, cache)
        found["cached_images_per_s"] = len(images) / (time.perf_counter() - began)
    found["cached_bits_equal"] = bool(np.array_equal(first, second))
    cpu = {name: statistics.median(values) for name, values in found["cpu_seconds"].items()}
    peers = ("pytorch-fid", "torch-fidelity", "torchmetrics")
    found["ratio_to_fastest_peer"] = min(found["ratios"][peer] for peer in peers)
    found["cpu_ratio_to_fastest_peer"] = min(cpu[peer] for peer in peers) / cpu[mine.name]
    print(f"{args.n} images of {args.size} px, {args.threads} threads, median of {args.repeats} alternating repeats")
    for name, seconds in found["medians"].items():
        print(f"  {name:30} {1 / seconds:8.2f} images/s {1 / cpu[name]:8.2f} per s of processor time")
    print(f"  {'second run, from the cache':30} {found['cached_images_per_s']:8.0f} images/s")
    print(f"  ratio to the fastest peer {found['ratio_to_fastest_peer']:.2f}", end=", ")
    print(f"in processor time {found['cpu_ratio_to_fastest_peer']:.2f}")
    print(json.dumps({"threads": args.threads, "torch": torch.__version__, **found}))


if __name__ == "__main__":
    main()
