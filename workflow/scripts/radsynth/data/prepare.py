"""Raw images in; prepared images, masks, manifest and integrity report out."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from radsynth.common.errors import UserError
from radsynth.common.files import atomic_folder, write_json, write_text, writing
from radsynth.common.hashing import sha256_pixels
from radsynth.common.progress import Progress
from radsynth.common.seeds import derive_seed
from radsynth.data.convert import Geometry, Window, is_two_valued, range_in_use, to_gray
from radsynth.data.duplicates import duplicate_groups, near_duplicate_pairs, thumbnail
from radsynth.data.examination import Prepared, examine
from radsynth.data.facts import border_facts, file_facts, told_by_facts
from radsynth.data.integrity import LOOK, to_markdown
from radsynth.data.listing import printable
from radsynth.data.manifest import image_ids, write_manifest
from radsynth.data.source import RawRecord, load_source

log = logging.getLogger(__name__)

#: Gray levels below which hardly anything is left of a deep image.
FEWEST_LEVELS = 16


def prepare_one(
    record: RawRecord,
    image_id: str,
    size: int,
    fit: str,
    window: Window | None,
    words: Sequence[str],
    images: Path,
    masks: Path,
) -> Prepared:
    """Read, convert and write one image and its mask; boxes are [xmin, ymin, xmax, ymax, category, ...] then.

    ``window`` is that of deep images, ``words`` are the classes' names, which tell nothing in file names.
    """
    try:
        raw = record.load()
        facts = file_facts(raw.image, record.source, words)
        gray, notes = to_gray(raw.image, window)
    except UserError as error:
        return Prepared(error=str(error))
    except Exception as error:  # Pillow's decoders raise many kinds for broken files
        return Prepared(error=f"not a readable image ({type(error).__name__}: {error})")
    notes |= raw.notes
    if raw.mask is not None and raw.mask.size != gray.size:
        return Prepared(error=f"its mask has {raw.mask.size} pixels, the image {gray.size}")
    geometry = Geometry(*gray.size, size, fit, raw.crop, raw.mirror)
    left, upper, right, lower = geometry.cut
    if min(right - left, lower - upper) < size / 2:
        notes.add("too_small")
    low, high = gray.crop(geometry.cut).getextrema()
    if low == high:
        return Prepared(notes | {"constant"})
    if "converted_16_bit" in notes and high - low < FEWEST_LEVELS:
        notes.add("narrow_range")
    elif is_two_valued(gray):
        notes.add("two_valued")
    square = geometry.of_image(gray, Image.Resampling.LANCZOS)
    with writing(images / f"{image_id}.png"):
        square.save(images / f"{image_id}.png")
    mask_sha256 = ""
    if raw.mask is not None:
        mask = geometry.of_image(raw.mask, Image.Resampling.NEAREST)
        mask_sha256 = sha256_pixels(np.asarray(mask))
        with writing(masks / f"{image_id}.png"):
            mask.save(masks / f"{image_id}.png")
    boxes = []
    for box in raw.boxes:
        corners, whole = geometry.visible(box)
        if not whole:
            notes.add("box_cropped")
        if corners:
            boxes.append([*corners, *box.categories])
    pixels = np.asarray(square)
    facts["border"] = border_facts(np.asarray(gray))
    return Prepared(notes, "", sha256_pixels(pixels), mask_sha256, thumbnail(pixels), boxes, facts)


def _range_of(record: RawRecord) -> Window | None:
    """Return the range that a deep image uses; None of others, and of those that preparing will find broken."""
    try:
        return range_in_use(record.load().image)
    except Exception:  # Pillow's decoders raise many kinds for broken files
        return None


# What a worker process does: set once when it starts, so that a task is only a number.
_task: Callable[[int], Any] | None = None


def _start_worker(work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], options: Mapping[str, Any]) -> None:
    global _task

    def task(index: int) -> Any:
        return work(*arguments[index], **options)

    _task = task


def _run_task(index: int) -> Any:
    return _task(index)


def _each(
    work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], options: Mapping[str, Any], what: str, threads: int
) -> list[Any]:
    """Return what ``work`` makes of each of the arguments, in processes: decoders of DICOM hold Python's lock."""
    progress, results = Progress(what, len(arguments), unit="image"), []
    with ProcessPoolExecutor(threads, initializer=_start_worker, initargs=(work, arguments, options)) as pool:
        for result in pool.map(_run_task, range(len(arguments)), chunksize=4):
            results.append(result)
            progress.update()
    return results


def window_of(records: Sequence[RawRecord], how: str | Sequence[float], name: str, threads: int) -> Window | None:
    """Return which raw values of deep images become black and white, as ``sixteen_bit`` says: None if they are refused.

    ``scale`` is the range that all deep images together use.
    """
    if how == "refuse":
        return None
    if how != "scale":
        return float(how[0]), float(how[1])
    what = f"the range in use of {name}"
    ranges = [found for found in _each(_range_of, [(record,) for record in records], {}, what, threads) if found]
    return (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None


def _refuse_unreadable(records: Sequence[RawRecord], results: Sequence[Prepared], options: Mapping[str, Any]) -> None:
    failed = [(record, result) for record, result in zip(records, results, strict=True) if result.error]
    for record, result in failed:
        log.info("%s: %s", record.source, printable(result.error))
    if failed:
        record, result = failed[0]
        more = f" (and {len(failed) - 1} further images, listed in the log)" if len(failed) > 1 else ""
        file = Path(options.get("path") or "") / record.source
        way_out = "; skip_unreadable leaves such images out" if "skip_unreadable" in options else ""
        raise UserError(f"{file}: {printable(result.error).removeprefix(f'{file}: ')}{more}{way_out}")


def prepare(
    name: str,
    dataset: Mapping[str, Any],
    labels: Sequence[str],
    image_size: int,
    seed: int,
    images: str | Path,
    masks: str | Path,
    manifest: str | Path,
    integrity: str | Path,
    table: str | Path,
    threads: int = 1,
) -> dict[str, Any]:
    """Prepare a dataset and return its integrity report.

    ``dataset`` is its entry of the configuration, ``seed`` the study's, ``image_size`` in pixels; ``images`` and
    ``masks`` are the folders, the others the files to write. UserError names the file or folder that is wrong.
    """
    source = load_source(dataset, labels)
    records = source.records(image_size, derive_seed(seed, "data", name))
    ids = image_ids([record.source for record in records])
    window = window_of(records, source.options.get("sixteen_bit", "refuse"), name, threads)
    options = {
        "size": image_size,
        "fit": source.options["fit"],
        "window": window,
        "words": [*labels, *map(str, source.options.get("classes", {}).values())],
    }
    with atomic_folder(images, durable=False) as images, atomic_folder(masks, durable=False) as masks:
        folders = {"images": images, "masks": masks}
        pairs = list(zip(records, ids, strict=True))
        results = _each(prepare_one, pairs, options | folders, f"preparing {name}", threads)
        if not source.options.get("skip_unreadable", False):
            _refuse_unreadable(records, results, source.options)

    kept = [row for row in zip(records, ids, results, strict=True) if row[2].kept]
    for label in labels:
        if not any(record.label == label for record, _, _ in kept):
            raise UserError(f"datasets: {name} has no usable image of label {label}")

    patients = [record.patient_id for record, _, _ in kept]
    pairs = near_duplicate_pairs(np.stack([result.thumbnail for _, _, result in kept]), patients)
    groups = duplicate_groups([result.sha256 for _, _, result in kept], pairs)
    rows = _manifest_rows(kept, groups, "boxes" in source.columns)
    told = told_by_facts(
        [result.facts for _, _, result in kept],
        [record.label for record, _, _ in kept],
        [record.patient_id or image_id for record, image_id, _ in kept],
        derive_seed(seed, "facts", name),
    )
    report = examine(records, results, groups, source, window, told)
    for row in report["checks"]:
        if row["check"] in LOOK and row["count"]:
            where = " ".join(filter(None, [name, row["label"]]))
            log.warning("%s: %s, %d: %s", where, row["check"].replace("_", " "), row["count"], row["what_was_done"])
    write_manifest(manifest, rows, source.columns)
    write_json(integrity, report)
    write_text(table, to_markdown(name, report))
    log.info("%s: %d images prepared, %d left out", name, len(rows), len(records) - len(rows))
    return report


def _manifest_rows(
    kept: Sequence[tuple[RawRecord, str, Prepared]], groups: np.ndarray, boxes: bool
) -> list[dict[str, Any]]:
    """Return the rows of the manifest; a group of duplicates is called after its first image."""
    group_names: dict[int, str] = {-1: ""}
    return [
        {
            "image_id": image_id,
            "file": f"images/{image_id}.png",
            "mask_file": f"masks/{image_id}.png" if result.mask_sha256 else "",
            "mask_sha256": result.mask_sha256,
            "label": record.label,
            "patient_id": record.patient_id,
            "source": record.source,
            "sha256": result.sha256,
            "near_duplicate_group": group_names.setdefault(int(group), f"dup_{image_id}"),
            **record.extra,
            **({"boxes": json.dumps(result.boxes)} if boxes else {}),
        }
        for (record, image_id, result), group in zip(kept, groups, strict=True)
    ]
