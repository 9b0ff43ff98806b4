"""A dataset for people: counts by what its manifest tells, and images before and after preparation."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from radsynth.common.files import atomic_path
from radsynth.common.images import read_gray
from radsynth.common.schema import read_schema
from radsynth.data.convert import to_gray
from radsynth.data.source import RawRecord

#: A column with more distinct values is no property to count by.
MOST_VALUES = 12
TILE, GAP, TITLE = 256, 6, 16
FRAME = (255, 160, 0)


def counts_markdown(name: str, manifest: pd.DataFrame, labels: Sequence[str]) -> str:
    """Return a table per column of the source's own that takes few values: images of each label by value."""
    lines = [f"# Images of {name}", "", f"{len(manifest):,} images, {_patients(manifest)}"]
    own = [column for column in manifest.columns if column not in (*read_schema("manifest")["required"], "boxes")]
    for column in own:
        counts = pd.crosstab(manifest[column], manifest["label"]).reindex(columns=list(labels), fill_value=0)
        if len(counts) > MOST_VALUES:
            continue
        lines += ["", f"| {column} | {' | '.join(labels)} | all |", "|---|" + "---:|" * (len(labels) + 1)]
        for value, row in counts.iterrows():
            cells = " | ".join(f"{count:,}" for count in (*row, row.sum()))
            lines.append(f"| {value or '(none)'} | {cells} |")
    return "\n".join(lines) + "\n"


def _patients(manifest: pd.DataFrame) -> str:
    known = set(manifest["patient_id"]) - {""}
    return f"{len(known):,} patients" if known else "patients not known"


def write_samples(
    path: str | Path,
    manifest: pd.DataFrame,
    images: str | Path,
    records: Sequence[RawRecord],
    window: Sequence[float] | None,
    labels: Sequence[str],
    each: int = 3,
) -> None:
    """Write ``each`` images of every label, raw and prepared side by side, with their boxes, as a PNG.

    ``images`` is the folder of the prepared images, ``window`` (low, high) what became black and white of deep ones.
    """
    by_name = {record.source: record for record in records}
    width, height = 2 * each * (TILE + GAP) - GAP, len(labels) * (TILE + TITLE)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(labels):
        top = row * (TILE + TITLE)
        draw.text((2, top + 2), f"{label}: raw | prepared", fill="black")
        for place, sample in enumerate(_choose(manifest[manifest["label"] == label], each).itertuples()):
            raw = by_name[sample.source].load()
            gray, _ = to_gray(raw.image, window)
            framed = [(box.xmin, box.ymin, box.xmax, box.ymax) for box in raw.boxes]
            prepared = Image.fromarray(read_gray(Path(images).parent / sample.file, sample.sha256))
            kept = [box[:4] for box in json.loads(getattr(sample, "boxes", "") or "[]")]
            for side, tile in enumerate((_tile(gray, framed), _tile(prepared, kept))):
                sheet.paste(tile, ((2 * place + side) * (TILE + GAP), top + TITLE))
    with atomic_path(path) as temporary:
        sheet.save(temporary)


def _choose(images: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return some images, those with boxes first, otherwise in an order that looks random and stays the same."""
    boxes = images.get("boxes", pd.Series("", index=images.index))
    return images.assign(no_box=boxes.isin(["", "[]"])).sort_values(["no_box", "sha256"]).head(count)


def _tile(image: Image.Image, boxes: Sequence[Sequence[float]]) -> Image.Image:
    """Return an image fitted into a tile, with its boxes."""
    scale = TILE / max(image.size)
    # Small images as the squares that their pixels are, as on all other sheets.
    resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    small = image.convert("L").resize([max(1, round(side * scale)) for side in image.size], resample)
    tile = Image.new("RGB", (TILE, TILE), (40, 40, 40))
    corner = ((TILE - small.width) // 2, (TILE - small.height) // 2)
    tile.paste(small.convert("RGB"), corner)
    for box in boxes:
        framed = np.asarray(box) * scale + np.array([*corner, *corner])
        ImageDraw.Draw(tile).rectangle(framed.tolist(), outline=FRAME)
    return tile
