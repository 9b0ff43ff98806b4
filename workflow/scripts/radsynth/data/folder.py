"""Images in class folders, the user's own or a published set's."""

import re
from functools import cached_property, partial
from pathlib import Path

from PIL import Image, ImageOps

from radsynth.common.errors import UserError
from radsynth.data.source import RawImage, RawRecord, Source

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
MASK_VALUES = {0: "background", 1: "organ", 2: "lesion"}


def list_images(folder: Path) -> list[Path]:
    """Return the image files below a folder, sorted by name; hidden files are passed over.

    A link to a file elsewhere is an image like others: the folder is the user's own, and is only read.
    """
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def find_root(path: Path, wanted: list[str]) -> Path:
    """Return ``path``, or the one folder in it (archives are often unpacked so) that holds any folder ``wanted``."""
    for folder in [path, *sorted(child for child in path.iterdir() if child.is_dir())]:
        if any((folder / name).is_dir() for name in wanted):
            return folder
    return path


def load_files(image: Path, mask: Path | None, mask_value: int | None) -> RawImage:
    """Open an image and its mask."""
    return RawImage(Image.open(image), None if mask is None else load_mask(mask, mask_value))


def load_mask(path: Path, value: int | None) -> Image.Image:
    """Return a mask file as a label map (mode L); with ``value``, everything that is not 0 becomes that value."""
    try:
        with Image.open(path) as opened:
            mask = ImageOps.exif_transpose(opened).convert("L")
    except Exception as error:  # Pillow's decoders raise many kinds for broken files
        raise UserError(f"its mask {path} is not readable ({error})") from None
    if value is not None:
        return mask.point(lambda pixel: value if pixel else 0)
    found = [pixel for _, pixel in mask.getcolors()]
    if not set(found) <= set(MASK_VALUES):
        raise UserError(
            f"its mask {path} has values up to {max(found)}, expected 0 background, 1 organ, 2 lesion; "
            "for a mask of one object set mask_value"
        )
    return mask


def check_patient_pattern(pattern: str, where: str) -> None:
    """Raise UserError, beginning with the key ``where``, unless a pattern is one that finds patients in file names."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"{where}: {pattern!r} is no regular expression ({error})") from None
    if compiled.groups != 1 and "patient" not in compiled.groupindex:
        raise UserError(
            f"{where}: {pattern!r} has {compiled.groups} groups, "
            "expected one group, or one named patient, around the patient's part of the file name"
        )


class Folder(Source):
    """One folder per class, in any depth below it PNG, JPEG, BMP or TIFF files."""

    def __init__(self, options, labels):
        super().__init__(options, labels)
        unknown = sorted(set(options.get("classes", {})) - set(self.labels))
        if unknown and self.labels:
            raise UserError(f"datasets: classes names {unknown[0]!r}, which is not among labels {self.labels}")
        if options.get("patient_pattern"):
            check_patient_pattern(options["patient_pattern"], "patient_pattern")

    def class_folder(self, label: str) -> str:
        """Return the name of a label's folder below ``path``."""
        return self.options.get("classes", {}).get(label, label)

    def patient_id(self, file: Path) -> str:
        """Return the patient that a file name tells, empty without ``patient_pattern``."""
        pattern = self.options.get("patient_pattern")
        if not pattern:
            return ""
        match = re.search(pattern, file.name)
        if match is None:
            raise UserError(f"{file}: the file name does not match patient_pattern {pattern!r}")
        return match["patient"] if "patient" in match.re.groupindex else match[1]

    def root(self) -> Path:
        """Return the folder that holds the class folders; UserError if ``path`` does not exist."""
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such folder; {self.how_to_get()}")
        return find_root(self.path, [self.class_folder(label) for label in self.labels])

    def how_to_get(self) -> str:
        """Return, for an error message, what the user can do when the files are missing."""
        return f"put the images there, one folder per class ({', '.join(map(self.class_folder, self.labels))})"

    def class_files(self, folder: Path, label: str) -> list[Path]:
        """Return the images in a class folder; UserError if it is missing or empty."""
        if not folder.is_dir():
            present = ", ".join(sorted(child.name for child in folder.parent.iterdir() if child.is_dir())) or "nothing"
            raise UserError(f"{folder}: no such class folder for label {label}; its parent holds {present}")
        files = list_images(folder)
        if not files:
            raise UserError(f"{folder}: empty class folder for label {label}, expected PNG, JPEG, BMP or TIFF images")
        return files

    @cached_property
    def masks(self) -> dict[str, Path]:
        """The mask files by their place below the folder ``masks``, without suffix; none if that is not configured."""
        if not self.options.get("masks"):
            return {}
        folder = self.path / self.options["masks"]
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder (masks)")
        return {file.relative_to(folder).with_suffix("").as_posix(): file for file in list_images(folder)}

    def mask_of(self, file: Path, root: Path) -> Path | None:
        """Return the mask file that mirrors an image's name (any suffix), or None."""
        return self.masks.get(file.relative_to(root).with_suffix("").as_posix())

    def listed(self) -> list[tuple[Path, str, Path, dict[str, str]]]:
        """Return each image's file, label, the folder from which its mask's name counts, and its own columns."""
        root = self.root()
        return [
            (file, label, root, {})
            for label in self.labels
            for file in self.class_files(root / self.class_folder(label), label)
        ]

    def records(self, image_size: int, seed: int) -> list[RawRecord]:
        listed = self.listed()
        masks = [self.mask_of(file, root) for file, _, root, _ in listed]
        if self.options.get("masks") and not any(masks):
            file, _, root, _ = listed[0]
            raise UserError(
                f"masks: {self.path / self.options['masks']} has no mask of any image, "
                f"expected files such as {file.relative_to(root)}"
            )
        return [
            RawRecord(
                source=file.relative_to(self.path).as_posix(),
                label=label,
                load=partial(load_files, file, mask, self.options.get("mask_value")),
                patient_id=self.patient_id(file),
                extra=extra,
            )
            for (file, label, _, extra), mask in zip(listed, masks, strict=True)
        ]

    def download(self) -> str | None:
        self.root()
        return None
