"""What comparing inputs with their sums and records costs, as a share of the job that does the least beside it."""

import argparse
import os
import runpy
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from conftest import stand_in
from radsynth.common import images as reading
from radsynth.common import made
from radsynth.common.hashing import sha256_pixels

ROOT = Path(__file__).resolve().parents[1]
spent = 0.0


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, whose CPU seconds are added up."""

    @wraps(function)
    def wrapped(*args: Any, **options: Any) -> Any:
        global spent
        before = time.process_time()
        try:
            return function(*args, **options)
        finally:
            spent += time.process_time() - before

    return wrapped


def write_images(folder: Path, count: int, size: int) -> None:
    """Write smooth images with noise, about as large as radiographs, and their manifest, as a job would."""
    (folder / "images").mkdir(parents=True)
    rng, slope = np.random.default_rng(0), np.linspace(0, 200, size)
    rows = []
    for index in range(count):
        pixels = (slope[:, None] / 2 + slope / 2 + rng.normal(0, 8, (size, size))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{index}.png")
        rows.append({"image_id": index, "file": f"images/{index}.png", "sha256": sha256_pixels(pixels)})
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)


def main() -> None:
    """Run the job `features_real` by pixels, from its imports on, and print the share of the checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--size", type=int, default=128, help="in pixels")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        data = Path("results/speed/data/phantom")
        write_images(data, options.images, options.size)
        made.write_record("prepare_data", {}, [], [str(data / "images"), str(data / "manifest.csv")])
        reading.sha256_pixels = timed(reading.sha256_pixels)
        for name in ("remove_record", "check_inputs", "write_record"):
            setattr(made, name, timed(getattr(made, name)))
        job = stand_in(
            "features_real",
            "log",
            {"manifest": str(data / "manifest.csv"), "images": str(data / "images")},
            {"features": "results/speed/phantom.npz"},
            {"extractor": "pixels", "cache": None},
        )
        before = time.process_time()
        runpy.run_path(str(ROOT / "workflow/scripts/features.py"), {"snakemake": job})
        total = time.process_time() - before
    print(f"{options.images} images of {options.size} px: {spent:.2f} of {total:.2f} CPU seconds, {spent / total:.1%}")


if __name__ == "__main__":
    main()
