"""A stand-in for VinDr-Mammo: procedural mammograms in its layout, free to share.

``python -m radsynth.data.vindr_standin FOLDER --studies N`` writes DICOM files with the tags that VinDr-Mammo keeps and
its three tables. Findings and suspicious breasts are far more frequent than in the real set, so that small studies
have enough of them. Nothing in it stems from a patient: the Manufacturer of every file is radsynth.
"""

import argparse
import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from radsynth.common.files import atomic_path, write_json
from radsynth.common.progress import Progress
from radsynth.common.seeds import derive_seed
from radsynth.data.breast import Breast, Lesion, render

#: A folder with this file holds a stand-in; it says of how many studies, and from which seed.
MARKER = "STANDIN.json"
TABLES = ("breast-level_annotations.csv", "finding_annotations.csv", "metadata.csv")
IMAGE_COLUMNS = ("study_id", "series_id", "image_id", "laterality", "view_position", "height", "width")
BREAST_COLUMNS = (*IMAGE_COLUMNS, "breast_birads", "breast_density", "split")
FINDING_COLUMNS = (
    *BREAST_COLUMNS[:-1],
    *("finding_categories", "finding_birads", "xmin", "ymin", "xmax", "ymax", "split"),
)
#: The columns of metadata.csv (its third repeats the first) and the attributes that they hold.
METADATA = {
    "SOP Instance UID": "SOPInstanceUID",
    "Series Instance UID": "SeriesInstanceUID",
    "SOP Instance UID ": "SOPInstanceUID",
    "Photometric Interpretation": "PhotometricInterpretation",
    "Rows": "Rows",
    "Columns": "Columns",
    "Imager Pixel Spacing": "ImagerPixelSpacing",
    "Pixel Spacing": "PixelSpacing",
    "Pixel Padding Value": "PixelPaddingValue",
    "Pixel Padding Range Limit": "PixelPaddingRangeLimit",
    "Window Center": "WindowCenter",
    "Window Width": "WindowWidth",
    "Rescale Intercept": "RescaleIntercept",
    "Rescale Slope": "RescaleSlope",
    "Rescale Type": "RescaleType",
    "Window Center & Width Explanation": "WindowCenterWidthExplanation",
    "Manufacturer": "Manufacturer",
    "Manufacturer's Model Name": "ManufacturerModelName",
    "Patient's Age": "PatientAge",
    "View Position": "ViewPosition",
    "Image Laterality": "ImageLaterality",
}
WHITE = 4095  # the largest of 12 bits
DENSITIES, DENSITY_SHARES = "ABCD", (0.08, 0.3, 0.45, 0.17)
#: Shares of BI-RADS 1 to 5 among breasts.
BIRADS_SHARES = (0.34, 0.28, 0.08, 0.18, 0.12)


@dataclass(frozen=True)
class Finding:
    """Lesions at one place; with ``categories`` they are annotated, without they are benign and only drawn."""

    lesions: tuple[Lesion, ...]
    categories: tuple[str, ...] = ()
    birads: int = 0


def benign(rng: np.random.Generator) -> Finding:
    """Draw a round, sharp mass or coarse calcifications, which breasts of any BI-RADS category may have."""
    u = rng.uniform
    place = (u(0.2, 0.85), u(-0.9, 0.9))
    if rng.random() < 0.5:
        return Finding((Lesion("mass", *place, u(0.01, 0.028), u(0.08, 0.22), u(0.0, 0.08)),))
    return Finding((Lesion("coarse", *place, u(0.02, 0.06), u(0.4, 0.8), 0.0),))


def suspicious(rng: np.random.Generator, birads: int) -> Finding:
    """Draw a finding of the BI-RADS category 3, 4 or 5: larger, denser and more spiculated the higher it is."""
    u = rng.uniform
    place, grade = (u(0.15, 0.85), u(-0.9, 0.9)), (birads - 3) / 2
    radius, contrast, spiculation = u(0.05, 0.075), u(0.3, 0.42), u(0.3, 0.6)
    mass = Lesion("mass", *place, radius + 0.03 * grade, contrast + 0.2 * grade, spiculation + 0.4 * grade)
    cluster = Lesion("calcifications", *place, u(0.03, 0.06), u(0.3, 0.5) + 0.3 * grade, 0.0)
    # The tissue around suspicious calcifications is often denser, too.
    density = Lesion("asymmetry", *place, 1.4 * cluster.radius, u(0.2, 0.35) + 0.2 * grade, 0.3)
    kind = rng.random()
    if kind < 0.5:
        return Finding((mass,), ("Mass",), birads)
    if kind < 0.8:
        return Finding((density, cluster), ("Suspicious Calcification",), birads)
    if kind < 0.9:
        return Finding((mass, cluster), ("Suspicious Calcification", "Mass"), birads)
    asymmetry = Lesion("asymmetry", *place, u(0.08, 0.12), u(0.25, 0.4) + 0.2 * grade, 0.2)
    return Finding((asymmetry,), ("Focal Asymmetry",), birads)


def findings(rng: np.random.Generator, birads: int) -> list[Finding]:
    """Draw what a breast of the BI-RADS category shows."""
    drawn = [benign(rng) for _ in range(rng.integers(1, 3) if birads == 2 else rng.random() < 0.4)]
    if birads >= 3:
        drawn += [suspicious(rng, birads) for _ in range(1 + (birads > 3 and rng.random() < 0.2))]
    return drawn


def draw_study(seed: int, index: int, height: int) -> Iterator[tuple[Dataset, dict[str, Any], list[dict[str, Any]]]]:
    """Draw the four images of a study; yield each as DICOM, as its breast-level row, and with its finding rows.

    A study depends on ``seed``, ``index`` and ``height`` alone.
    """
    identify = partial(_identify, seed, index)
    rng = np.random.default_rng(derive_seed(seed, "stand-in", index))
    density = rng.choice(list(DENSITIES), p=DENSITY_SHARES)
    inverted, several_windows = rng.random() < 0.3, rng.random() < 0.3
    age = f"{rng.integers(35, 80):03d}Y" if rng.random() < 0.9 else ""
    for laterality in "LR":
        breast = Breast.sample(rng, density)
        birads = int(rng.choice(5, p=BIRADS_SHARES)) + 1
        found = findings(rng, birads)
        for view in ("CC", "MLO"):
            own = np.random.default_rng(derive_seed(seed, "stand-in", index, laterality, view))
            seen = [finding for finding in found if own.random() < 0.92]
            film, boxes = render(breast, view, [lesion for finding in seen for lesion in finding.lesions], own, height)
            if laterality == "R":
                film = film[:, ::-1]
                boxes = [(film.shape[1] - xmax, ymin, film.shape[1] - xmin, ymax) for xmin, ymin, xmax, ymax in boxes]
            dicom = _dicom(film, inverted, several_windows, own)
            with disable_value_validation():  # MD5 sums are no valid UIDs
                dicom.StudyInstanceUID = identify("study")
                dicom.SeriesInstanceUID = identify(laterality, view, "series")
                dicom.SOPInstanceUID = identify(laterality, view, "image")
                dicom.file_meta.MediaStorageSOPInstanceUID = dicom.SOPInstanceUID
            dicom.ImageLaterality, dicom.ViewPosition = laterality, view
            if age:
                dicom.PatientAge = age
            row = {
                "study_id": dicom.StudyInstanceUID,
                "series_id": dicom.SeriesInstanceUID,
                "image_id": dicom.SOPInstanceUID,
                "laterality": laterality,
                "view_position": view,
                "height": film.shape[0],
                "width": film.shape[1],
                "breast_birads": f"BI-RADS {birads}",
                "breast_density": f"DENSITY {density}",
                "split": "test" if index % 5 == 4 else "training",
            }
            yield dicom, row, _finding_rows(row, seen, boxes)


def _identify(seed: int, index: int, *parts: str) -> str:
    """Return 32 hexadecimal digits, as VinDr-Mammo has them in place of UIDs."""
    return hashlib.md5(f"radsynth {seed} {index} {parts}".encode(), usedforsecurity=False).hexdigest()


def _finding_rows(row: dict[str, Any], seen: list[Finding], boxes: list[tuple[float, ...]]) -> list[dict[str, Any]]:
    """Return the rows of finding_annotations.csv: one per annotated finding, or the one of an image without any."""
    rows, boxes = [], iter(boxes)
    for finding in seen:
        own = np.array([next(boxes) for _ in finding.lesions])
        if finding.categories:
            corners = [*own[:, :2].min(axis=0), *own[:, 2:].max(axis=0)]
            rows.append(
                row
                | {"finding_categories": str(list(finding.categories)), "finding_birads": f"BI-RADS {finding.birads}"}
                | dict(zip(("xmin", "ymin", "xmax", "ymax"), (f"{corner:.2f}" for corner in corners), strict=True))
            )
    return rows or [row | {"finding_categories": "['No Finding']"}]


def _dicom(film: np.ndarray, inverted: bool, several_windows: bool, rng: np.random.Generator) -> Dataset:
    """Return a mammogram (height, width) in [0, 1] as 12-bit DICOM with a window, padded beside the breast."""
    low, high = rng.uniform(100, 500), rng.uniform(3000, 3900)
    stored = np.rint(low + film * (high - low)).astype(np.uint16)
    empty = np.flatnonzero(film.max(axis=0) < 0.1)
    # A strip that the detector did not see, at the side of the nipple.
    stored[:, empty[: len(empty) // 2] if empty.size and empty[0] == 0 else empty[len(empty) // 2 :]] = 0
    if inverted:
        stored = WHITE - stored
        low, high = WHITE - high, WHITE - low
    dicom = Dataset()
    dicom.Modality, dicom.BodyPartExamined = "MG", "BREAST"
    dicom.PresentationIntentType = "FOR PRESENTATION"
    dicom.Manufacturer, dicom.ManufacturerModelName = "radsynth", "procedural stand-in"
    dicom.SamplesPerPixel, dicom.PhotometricInterpretation = 1, "MONOCHROME1" if inverted else "MONOCHROME2"
    dicom.Rows, dicom.Columns = stored.shape
    dicom.BitsAllocated, dicom.BitsStored, dicom.HighBit, dicom.PixelRepresentation = 16, 12, 11, 0
    dicom.PixelPaddingValue = WHITE if inverted else 0
    spacing = [round(240 / stored.shape[0], 4)] * 2
    dicom.ImagerPixelSpacing = dicom.PixelSpacing = spacing
    center, width = round((low + high) / 2), round(high - low)
    dicom.WindowCenter, dicom.WindowWidth = center, width
    if several_windows:
        dicom.WindowCenter, dicom.WindowWidth = [center, center + 200], [width, width + 400]
        dicom.WindowCenterWidthExplanation = ["NORMAL", "SOFTER"]
    dicom.VOILUTFunction = "LINEAR"
    dicom.RescaleIntercept, dicom.RescaleSlope, dicom.RescaleType = 0, 1, "US"
    dicom.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    dicom.PixelData = stored.tobytes()
    dicom["PixelData"].VR = "OW"
    dicom.file_meta = FileMetaDataset()
    dicom.file_meta.MediaStorageSOPClassUID = dicom.file_meta.ImplementationClassUID = "1.2.3.4"
    dicom.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dicom


def write_standin(folder: str | Path, studies: int, seed: int = 1, height: int = 640) -> None:
    """Write a stand-in of ``studies`` studies of four images, ``height`` x 0.8 ``height`` px, into ``folder``.

    Every fifth study belongs to the split test. The first studies do not depend on how many follow.
    """
    folder = Path(folder)
    write_json(folder / MARKER, standin_record(studies, seed, height))
    images, found, metadata = [], [], []
    progress = Progress("drawing the stand-in", 4 * studies, unit="image")
    for index in range(studies):
        for dicom, row, finding_rows in draw_study(seed, index, height):
            path = folder / "images" / row["study_id"] / f"{row['image_id']}.dicom"
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary, disable_value_validation():
                pydicom.dcmwrite(temporary, dicom, enforce_file_format=True)
            progress.update()
            images.append(row)
            found += finding_rows
            metadata.append([_text(dicom.get(keyword, "")) for keyword in METADATA.values()])
    rows = [[row[column] for column in BREAST_COLUMNS] for row in images]
    _write_csv(folder / TABLES[0], BREAST_COLUMNS, rows)
    rows = [[row.get(column, "") for column in FINDING_COLUMNS] for row in found]
    _write_csv(folder / TABLES[1], FINDING_COLUMNS, rows)
    _write_csv(folder / TABLES[2], [name.strip() for name in METADATA], metadata)


def standin_record(studies: int, seed: int, height: int) -> dict[str, Any]:
    """Return what the marker file of a stand-in says."""
    made = "procedural mammograms drawn by radsynth; not VinDr-Mammo, no patient"
    return {"what": made, "studies": studies, "seed": seed, "height": height}


def _text(value: Any) -> str:
    """Return an attribute as metadata.csv writes it; several values as a list."""
    if isinstance(value, pydicom.multival.MultiValue):
        return str([part if isinstance(part, str) else float(part) for part in value])
    return str(value)


def _write_csv(path: Path, header: list[str] | tuple[str, ...], rows: list[list[Any]]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--studies", type=int, required=True, help="number of studies of four images")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--height", type=int, default=640, help="of the images, in pixels")
    write_standin(**vars(parser.parse_args()))
