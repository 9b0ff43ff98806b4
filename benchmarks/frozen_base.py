"""A frozen base seen once against one seen in every epoch, both by `train`, in one process, alternating."""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.tasks.keras_backend import prepare


def main() -> None:
    """Print a table and, on the last line, the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default="vgg16_pretrained")
    parser.add_argument("--n", type=int, default=100, help="images")
    parser.add_argument("--size", type=int, default=64, help="of the images and of the network's input, in pixels")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    backend = prepare(args.threads)
    from radsynth.tasks.jitter import AUGMENTATIONS
    from radsynth.tasks.keras_training import train

    # Images that an augmentation leaves as they are have to pass the base in every epoch.
    AUGMENTATIONS["nothing"] = lambda images, rng: images
    classifier = {
        "architecture": args.architecture,
        "weights": "random",
        "input_size": args.size,
        "epochs": args.epochs,
        "batch_size": 32,
        "learning_rate": 1e-4,
        "dropout": 0.5,
    }
    targets = np.arange(args.n) % 2
    images = np.random.default_rng(0).integers(0, 256, (args.n, args.size, args.size), dtype=np.uint8)
    held_back = max(1, args.n // 5)

    def run(augment: str | None) -> tuple[list[np.ndarray], float]:
        began = time.perf_counter()
        validation = images[:held_back], targets[:held_back]
        model, _ = train(classifier, images, targets, validation, 2, 1, augment=augment)
        return model.get_weights(), time.perf_counter() - began

    once, every = [], []
    for _ in range(args.repeats):
        cached, seconds = run(None)
        once.append(seconds)
        whole, seconds = run("nothing")
        every.append(seconds)
    result = {
        **vars(args),
        "once_s": statistics.median(once),
        "every_epoch_s": statistics.median(every),
        "ratio": statistics.median(b / a for a, b in zip(once, every, strict=True)),
        "largest_difference": max(float(np.abs(a - b).max()) for a, b in zip(cached, whole, strict=True)),
        **backend,
    }
    print(
        f"{args.architecture}, {args.n} images, {args.size} px, {args.epochs} epochs, median of {args.repeats} repeats"
    )
    print(f"  base seen once            {result['once_s']:8.2f} s")
    print(f"  base seen in every epoch  {result['every_epoch_s']:8.2f} s")
    print(f"  ratio {result['ratio']:.1f}, largest difference of a weight {result['largest_difference']:.1e}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
