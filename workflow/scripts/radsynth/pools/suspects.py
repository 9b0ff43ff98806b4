"""All images of a study that are too near to a training image for chance, each beside that image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from radsynth.common.errors import UserError
from radsynth.common.files import atomic_path, read_json
from radsynth.common.images import read_gray
from radsynth.common.tables import read_table

ALPHA = 0.05
PAIRS = 3  # in a line
KEYS = ["dataset", "sampling", "scenario", "pool", "label"]


def read_suspects(metrics: str | Path, quality: str) -> list[dict[str, Any]]:
    """Return the suspects of a study, one entry per image, the least likely first, with their ``nearest_image_id``.

    ``metrics`` is suspects.csv, which corrects for all comparisons of the study, ``quality`` the pattern of the JSON
    files that name the training images.
    """
    table = read_table(metrics).rename(columns={"generator": "pool"})
    table = table.assign(p=table["p_corrected"].astype(float)).sort_values("p", kind="stable")
    table = table[table["p"] < ALPHA].drop_duplicates([*KEYS, "file"])
    known: dict[str, dict[tuple[str, ...], str]] = {}
    for row in table.to_dict("records"):
        path = quality.format(**row)
        if path not in known:
            known[path] = {
                (suspect["file"], suspect["metric"], suspect["extractor"] or ""): suspect["nearest_image_id"]
                for suspect in read_json(path)["suspects"]
            }
    return [
        row
        | {"distance": float(row["distance"])}
        | {"nearest_image_id": known[quality.format(**row)][row["file"], row["metric"], row["extractor"]]}
        for row in table.to_dict("records")
    ]


def _read_listed(folder: str, column: str, value: str) -> np.ndarray:
    """Return the image that the manifest in a folder lists with this value in a column, uint8 (height, width)."""
    manifest = read_table(f"{folder}/manifest.csv")
    found = manifest[manifest[column] == value]
    if found.empty:
        raise UserError(f"{folder}/manifest.csv: no {column} {value}; measure the quality of the pool again")
    return read_gray(f"{folder}/{found['file'].iloc[0]}", found["sha256"].iloc[0])


def write_suspects(
    path: str | Path, suspects: Sequence[dict[str, Any]], pool: str, data: str, n_pools: int, shown: int
) -> None:
    """Write a PNG of the first ``shown`` suspects, each with its training image; without any it says so in words.

    ``pool`` and ``data`` are the patterns of the folders of pools and datasets. UserError names a broken image.
    """
    chosen = suspects[:shown]
    lines = -(-len(chosen) // PAIRS)
    figure = Figure(figsize=(9, 0.7 + 1.9 * lines), layout="constrained")
    if not chosen:
        figure.suptitle(
            f"No single image of {n_pools} pools is nearer to a training image than chance allows.\n"
            "What this search could have found stands in the summary.",
            fontsize=10,
        )
    else:
        more = f" (the first {len(chosen)} of them)" if len(chosen) < len(suspects) else ""
        figure.suptitle(
            f"Synthetic images that are too near to a training image for chance: {len(suspects)}{more}", fontsize=10
        )
        axes = figure.subplots(lines, 2 * PAIRS, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for suspect, pair in zip(chosen, axes.reshape(-1, 2), strict=False):
            images = [
                _read_listed(pool.format(**suspect), "file", suspect["file"]),
                _read_listed(data.format(**suspect), "image_id", suspect["nearest_image_id"]),
            ]
            where = f"{suspect['pool']} {suspect['label']}\n{suspect['sampling']} {Path(suspect['file']).stem}"
            measure = suspect["extractor"] or "views"
            names = [where, f"training image\n{measure} {suspect['distance']:.2g}"]
            for axis, image, name in zip(pair, images, names, strict=True):
                axis.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                axis.set_title(name, fontsize=6.5)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
