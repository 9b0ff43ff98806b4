"""Pools of synthetic images: PNGs and their manifest, written so that an interrupted job goes on where it was."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from radsynth.common.errors import UserError
from radsynth.common.files import read_json, sole_writer, write_json, write_text, writing
from radsynth.common.hashing import sha256_json, sha256_pixels
from radsynth.common.images import MODES, read_gray, read_image
from radsynth.common.progress import Progress
from radsynth.common.sets import Conditions
from radsynth.pools.kind import Given, PoolKind

log = logging.getLogger(__name__)

COLUMNS = [
    *("index", "file", "sha256", "mask_file", "mask_sha256", "channels", "label", "seed", "condition", "model_hash"),
    *("sampler", "steps", "guidance", "device"),
]

# In an unfinished pool, the names of its channels.
CHANNELS = "channels.json"

#: Images that wait to be written.
MOST_WAITING = 256


def write_pool(
    kind: PoolKind,
    given: Given,
    images_dir: str | Path,
    manifest_csv: str | Path,
    *,
    label: str,
    size: int,
    seed: int,
    threads: int = 1,
) -> pd.DataFrame:
    """Write images 0 to ``size`` - 1 of a pool as ``{index:06d}.png`` and its manifest; return the manifest.

    ``kind`` draws them from what it is ``given``. Images of 1 to 4 channels are PNGs of the modes L, LA, RGB and RGBA;
    the manifest names the channels. Masks, from kinds that make them, go to ``masks/`` below. Images are collected in
    an undeclared folder beside ``images_dir`` and moved there when complete: a job that was killed finds those it had
    finished. ``threads`` workers encode PNGs while the model goes on. UserError if a file cannot be written, or another
    process writes there.
    """
    images_dir = Path(images_dir)
    conditions = kind.conditions(given, label, size, seed)
    partial = images_dir.with_name(f".{images_dir.name}.partial")
    with sole_writer(images_dir.with_name(f".{images_dir.name}.lock")):
        # By the first, so that what is done of a pool counts for one of another size.
        asked = sha256_json(list(conditions.rows[:1]))
        _claim(partial, sha256_json([given.hash, label, seed, given.entry, given.samplers, asked]))
        done = {int(file.stem) for file in partial.glob("*.png") if _is_whole(file)}
        todo = [index for index in range(size) if index not in done]
        if len(todo) < size:
            log.info("%d of %d images were finished before", size - len(todo), size)
        if todo:
            progress = Progress(f"pool of {label}", size, start=size - len(todo), unit="image")
            with ThreadPoolExecutor(max(threads, 1)) as workers:
                pending: set[Future[None]] = set()
                for batch in kind.draw(given, todo, conditions.at(todo), seed):
                    _name_channels(partial, batch.channels)
                    masks = [None] * len(batch.images) if batch.masks is None else batch.masks
                    pending |= set(
                        map(lambda *one: workers.submit(_write_png, partial, *one), batch.indices, batch.images, masks)
                    )
                    progress.update(len(batch.images))
                    pending = _settled(pending, MOST_WAITING)
                _settled(pending, 0)
        facts = _row_facts(label, seed, given) | {"device": kind.device}
        return _publish(partial, images_dir, manifest_csv, conditions, facts)


def _settled(pending: set[Future[None]], most: int) -> set[Future[None]]:
    """Return what is not written yet, once that is at most ``most`` images; raise what has failed.

    A full disk ends the job now, not after the last image, and images that are made faster than written do not pile up.
    """
    while True:
        done, pending = wait(pending, None if len(pending) > most else 0, FIRST_COMPLETED)
        for future in done:
            future.result()
        if len(pending) <= most:
            return pending


def _claim(partial: Path, fingerprint: str) -> None:
    """Make the folder for unfinished work, and empty it if it belongs to another model, seed or sampler."""
    owner = partial / "fingerprint.json"
    if owner.is_file() and read_json(owner) == fingerprint:
        return
    shutil.rmtree(partial, ignore_errors=True)
    with writing(partial):
        (partial / "masks").mkdir(parents=True)
    write_json(owner, fingerprint)


def _name_channels(partial: Path, channels: Sequence[str]) -> None:
    """Note what the channels of the images are, before the first is written; UserError if others have been before."""
    noted = partial / CHANNELS
    if not noted.is_file():
        write_json(noted, list(channels))
    elif read_json(noted) != list(channels):
        raise UserError(f"{partial}: images with the channels {channels}, expected {read_json(noted)} as of the first")


def _is_whole(file: Path) -> bool:
    """Return whether an image, and its mask if it has one, can be read: a power loss can cut off finished files."""
    mask = file.parent / "masks" / file.name
    try:
        read_image(file)
        if mask.exists():
            read_gray(mask)
    except UserError:
        return False
    return True


def _as_mode(pixels: np.ndarray) -> tuple[np.ndarray, str]:
    """Return pixels, uint8 (height, width) or (height, width, channels), as Pillow takes them, and their mode."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2]
    return np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels), MODES[channels - 1]


def _write_png(folder: Path, index: int, image: np.ndarray, mask: np.ndarray | None) -> None:
    """Write the mask, then the image, each whole or not at all: an image that is there has its mask."""
    parts = (
        [(f"{index:06d}.png", image)]
        if mask is None
        else [(f"masks/{index:06d}.png", mask), (f"{index:06d}.png", image)]
    )
    for name, pixels in parts:
        unfinished = folder / f"{name}.tmp"
        with writing(folder / name):
            Image.fromarray(*_as_mode(pixels)).save(unfinished, format="png")
            unfinished.replace(folder / name)


def _row_facts(label: str, seed: int, given: Given) -> dict[str, Any]:
    # That of the one generator; of several, each has its own.
    sampler = next(iter(given.samplers.values())) if len(given.samplers) == 1 else {}
    return {
        "label": label,
        "seed": seed,
        "model_hash": given.hash,
        "sampler": sampler.get("name", ""),
        "steps": sampler.get("steps", ""),
        "guidance": sampler.get("guidance", ""),
    }


def _publish(
    partial: Path, images_dir: Path, manifest_csv: str | Path, conditions: Conditions, facts: Mapping[str, Any]
) -> pd.DataFrame:
    """Move the finished images into place and write their manifest."""
    size, folder, masks = len(conditions), images_dir.name, partial / "masks"
    for file in [*partial.glob("*.png"), *masks.glob("*.png")]:
        if int(file.stem) >= size:
            file.unlink()
    facts = {**facts, "channels": " ".join(read_json(partial / CHANNELS))}
    for file in [*partial.glob("*.json"), *partial.rglob("*.tmp")]:
        file.unlink()
    rows = []
    for index, condition in enumerate(conditions.rows):
        name = f"{index:06d}.png"
        mask = masks / name
        files = {"file": f"{folder}/{name}", "sha256": sha256_pixels(read_image(partial / name))}
        files |= {"mask_file": "", "mask_sha256": ""}
        if mask.is_file():
            files |= {"mask_file": f"{folder}/masks/{name}", "mask_sha256": sha256_pixels(read_gray(mask))}
        rows.append({"index": index, "condition": json.dumps(condition), **files, **facts})
    if not any(masks.iterdir()):
        masks.rmdir()
    shutil.rmtree(images_dir, ignore_errors=True)
    partial.replace(images_dir)
    manifest = pd.DataFrame(rows, columns=COLUMNS)
    write_text(manifest_csv, manifest.to_csv(index=False))
    return manifest


def count_duplicates(manifest: pd.DataFrame) -> int:
    """Return how many images have the pixels of an earlier one, and say so in the log."""
    duplicates = int(manifest["sha256"].duplicated().sum())
    message = "%d of %d images repeat the pixels of another"
    (log.warning if duplicates else log.info)(message, duplicates, len(manifest))
    return duplicates
