"""Preparing DICOM mammograms against a plain loop of pydicom and Pillow, both in one process' run, alternating."""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from PIL import Image, ImageOps
from pydicom.pixels import apply_modality_lut, apply_voi_lut

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))
from radsynth.data.prepare import prepare
from radsynth.data.vindr_standin import TABLES, write_standin

LABELS = ["BENIGN", "OTHER"]
CLASSES = {"by": "birads", "groups": {"BENIGN": [1, 2], "OTHER": [3, 4, 5]}, "several": "refuse"}
#: Images of the complete VinDr-Mammo.
COMPLETE = 20_000


def multiply(folder: Path, copies: int) -> None:
    """Give every image of a stand-in ``copies`` names, as links to one file, in the tables, too."""
    names = [f"c{copy}" for copy in range(1, copies)]
    for path in list(folder.glob("images/*/*.dicom")):
        for name in names:
            path.with_name(f"{path.stem}{name}.dicom").hardlink_to(path)
    for table in TABLES[:2]:
        frame = pd.read_csv(folder / table, dtype=str, keep_default_na=False)
        more = [frame.assign(image_id=frame["image_id"] + name) for name in names]
        pd.concat([frame, *more]).to_csv(folder / table, index=False)


def plain_loop(folder: Path, out: Path, size: int) -> None:
    """Read, window, pad and write every image, one after the other."""
    out.mkdir()
    for path in sorted(folder.glob("images/*/*.dicom")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # UIDs that are none
            header = pydicom.dcmread(path)
            pixels = apply_voi_lut(apply_modality_lut(header.pixel_array, header), header, index=0)
        low, high = float(pixels.min()), float(pixels.max())
        gray = (pixels - low) * (255.0 / (high - low))
        if header.PhotometricInterpretation == "MONOCHROME1":
            gray = 255.0 - gray
        image = Image.fromarray(gray.astype(np.uint8))
        ImageOps.pad(image, (size, size), method=Image.Resampling.LANCZOS).save(out / f"{path.stem}.png")


def ours(folder: Path, out: Path, size: int, processes: int) -> None:
    """Prepare the same images with all that the workflow does: crop, flip, boxes, hashes, duplicates."""
    dataset = {"source": "vindr_mammo", "path": str(folder), "fit": "pad", "classes": CLASSES, "flip_to": "left"}
    files = {name: out / name for name in ("images", "masks")}
    files |= {"manifest": out / "manifest.csv", "integrity": out / "integrity.json", "table": out / "integrity.md"}
    prepare("set", dataset | {"standin": {"studies": 1}}, LABELS, size, 1, **files, threads=processes)


def processor_time() -> float:
    """Return the seconds that this process and its ended children have computed."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def rate(work: Callable[[Path], None], images: int) -> tuple[float, float]:
    """Return the images that ``work`` writes into a new folder, per second and per second of processor time."""
    with tempfile.TemporaryDirectory() as folder:
        began, computed = time.perf_counter(), processor_time()
        work(Path(folder) / "out")
        return images / (time.perf_counter() - began), images / (processor_time() - computed)


def main() -> None:
    """Print a table and, on the last line, the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=3072, help="of the raw images, in pixels")
    parser.add_argument("--size", type=int, default=256, help="of the prepared images, in pixels")
    parser.add_argument("--studies", type=int, default=2, help="drawn studies, of four images")
    parser.add_argument("--copies", type=int, default=8, help="names of each drawn image")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        write_standin(raw, args.studies, seed=1, height=args.height)
        multiply(raw, args.copies)
        images = 4 * args.studies * args.copies
        ways = {
            "plain loop": lambda out: plain_loop(raw, out, args.size),
            "ours, 1 process": lambda out: ours(raw, out, args.size, 1),
            f"ours, {args.processes} processes": lambda out: ours(raw, out, args.size, args.processes),
        }
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(args.repeats):
            for name, way in ways.items():
                rates[name].append(rate(way, images))
    worker_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    medians = {
        name: [statistics.median(values) for values in zip(*found, strict=True)] for name, found in rates.items()
    }
    result = {"arguments": vars(args), "images": images, "largest_worker_mb": round(worker_mb)}
    for place, unit in enumerate(("images_per_s", "images_per_processor_s")):
        result[unit] = {name: round(found[place], 3) for name, found in medians.items()}
    print(f"{images} images of {args.height} x {round(0.8 * args.height)} px to {args.size} px")
    plain, plain_computed = medians["plain loop"]
    for name, (wall, computed) in medians.items():
        times = f"{wall:8.2f} images/s {wall / plain:5.2f} x   {computed:8.2f} per s of processor time"
        hours = COMPLETE / wall / 3600
        print(f"{name:20} {times} {computed / plain_computed:5.2f} x   {hours:6.2f} h for {COMPLETE:,} images")
    print(f"largest worker: {worker_mb:.0f} MB")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
