"""Images in class folders, the user's own or a published set's."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageOps

from radsynth.common.errors import UserError
from radsynth.data.layout import Layout, Listed, read_layout, shown_kinds
from radsynth.data.listing import printable
from radsynth.data.patients import check_patient_pattern, match_patients
from radsynth.data.source import RawImage, RawRecord, Source

MASK_VALUES = {0: "background", 1: "organ", 2: "lesion"}
#: What a mask that nobody has configured stands for where its values are none of these.
OBJECT = 1
#: A mask with more values than this is blurred, or an image.
FEW_VALUES = 16
#: Share of a JPEG mask's pixels that may be neither dark nor bright.
MOST_BLURRED = 0.1


def load_files(image: Path, masks: tuple[Path, ...], mask_value: int | None, recognised: bool) -> RawImage:
    """Open an image and its masks, which become one: the highest value of each pixel.

    ``recognised`` masks, which nobody has configured, may have another size of the same shape, and stand for an object
    where their values say nothing.
    """
    opened = Image.open(image)
    notes, united = set(), None
    for path in masks:
        mask, n_values = load_mask(path, mask_value, OBJECT if recognised else None)
        if recognised:
            size = opened.size if mask.size == opened.size else _upright_size(image)
            if mask.size != size and _same_shape(mask.size, size):
                mask = mask.resize(size, Image.Resampling.NEAREST)
                notes.add("mask_resized")
            if n_values > FEW_VALUES:
                notes.add("mask_of_many_values")
        if united is not None and mask.size != united.size:
            raise UserError(f"its masks have {united.size} and {mask.size} pixels")
        united = mask if united is None else ImageChops.lighter(united, mask)
    return RawImage(opened, united, notes=frozenset(notes))


def _upright_size(path: Path) -> tuple[int, int]:
    # Opened once more: a loaded image no longer tells its depth.
    with Image.open(path) as opened:
        return ImageOps.exif_transpose(opened).size


def _same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Return whether two sizes differ in scale alone, to one pixel of the smaller."""
    small, large = sorted((a, b))
    return abs(large[1] * small[0] / large[0] - small[1]) <= 1


def load_mask(path: Path, value: int | None, default: int | None = None) -> tuple[Image.Image, int]:
    """Return a mask file as a label map (mode L), and how many values it held.

    With ``value`` everything that is not 0 becomes that, in JPEG everything from 128 on, since it leaves traces around
    0. ``default`` is the value, where none is given, of a mask whose values are those of no label map.
    """
    shown = printable(str(path))
    try:
        with Image.open(path) as opened:
            lossy = opened.format == "JPEG"
            mask = ImageOps.exif_transpose(opened).convert("L")
    except Exception as error:  # Pillow's decoders raise many kinds for broken files
        raise UserError(f"its mask {shown} is not readable ({error})") from None
    found = [pixel for _, pixel in mask.getcolors()]
    # What JPEG leaves around two values; images have more between them.
    blurred = lossy and sum(mask.histogram()[32:224]) <= MOST_BLURRED * mask.width * mask.height
    if value is None and not set(found) <= set(MASK_VALUES):
        if default is None:
            raise UserError(
                f"its mask {shown} has values up to {max(found)}, expected 0 background, 1 organ, 2 lesion; "
                "for a mask of one object set mask_value"
            )
        value = default
    if value is not None:
        lowest = 128 if lossy else 1
        mask = mask.point(lambda pixel: value if pixel >= lowest else 0)
    return mask, 2 if blurred else len(found)


class Folder(Source):
    """One folder per class, in any depth below it image files; a published split stands above or below the classes.

    Masks are known by their names, beside their images or in folders of their own.
    """

    checks: Mapping[str, str] = {
        "files_seen": "",
        "masks_recognised": "by their names: what is not 0 stands for mask_value (without it 1, if values are above 2)",
        "links": "followed",
        "named_like_mask": "kept as images: no image is there that they could be the masks of. If they are masks, "
        "leave them out, such as exclude: ['*_mask.*']",
        "mask_without_image": "left out: masks by their names, whose images are not there",
        "mask_of_many_values": "taken for masks by their names: all but 0 is the object. Are they images? Rename them",
        "mask_resized": "mask brought to the size of its image",
        "excluded": "left out as configured",
        "split_without_classes": "not used: in a folder of the split, but in no class folder",
        "outside_classes": "not used: in no class folder",
        "not_an_image": "not used",
        "passed_over": "not used: hidden files, thumbnails and the like",
        "linked_again": "not followed: links to folders that are read already",
    }

    @classmethod
    def check(cls, dataset: Mapping[str, Any], labels: Sequence[str], where: str) -> None:
        if "patient_pattern" in dataset:
            check_patient_pattern(dataset["patient_pattern"], f"{where}.patient_pattern")

    def __init__(self, options, labels):
        super().__init__(options, labels)
        unknown = sorted(set(options.get("classes", {})) - set(self.labels))
        if unknown and self.labels:
            raise UserError(f"datasets: classes names {unknown[0]!r}, which is not among labels {self.labels}")
        if options.get("patient_pattern"):
            check_patient_pattern(options["patient_pattern"], "patient_pattern")

    def class_folder(self, label: str) -> str:
        """Return the name of a label's folder."""
        return self.options.get("classes", {}).get(label, label)

    def patient_ids(self, images: Sequence[Listed]) -> list[str]:
        """Return the patients that images' ways below their class folders tell, empty without ``patient_pattern``."""
        pattern = self.options.get("patient_pattern")
        if not pattern:
            return [""] * len(images)
        found = match_patients(pattern, ["/".join(image.below) for image in images])
        for image, patient in zip(images, found, strict=True):
            if patient is None:
                shown = printable("/".join(image.below))
                raise UserError(f"{self.path / image.entry.name}: {shown} does not match patient_pattern {pattern!r}")
        return [printable(patient) for patient in found]

    def how_to_get(self) -> str:
        """Return, for an error message, what the user can do when the files are missing."""
        return f"put the images there, one folder per class ({', '.join(map(self.class_folder, self.labels))})"

    @property
    def mask_folder(self) -> Path | None:
        """The configured folder of masks, or None; UserError if it does not exist."""
        if not self.options.get("masks"):
            return None
        folder = self.path / Path(self.options["masks"]).expanduser()
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder (masks)")
        return folder

    @cached_property
    def layout(self) -> Layout:
        """What is there; UserError if ``path`` does not exist or its class folders are not found."""
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such folder; {self.how_to_get()}")
        folders = {label: self.class_folder(label) for label in self.labels}
        include, exclude = self.options.get("include", ()), self.options.get("exclude", ())
        return read_layout(self.path, folders, include, exclude, self.mask_folder)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return ("split",) if any(image.split for image in self.layout.images) else ()

    def extra(self, image: Listed) -> dict[str, str]:
        """Return the values of an image's own columns."""
        return {"split": image.split} if "split" in self.columns else {}

    def records(self, image_size: int, seed: int) -> list[RawRecord]:
        images, masks = self.layout.images, self.mask_folder
        if masks is not None and images and not any(image.masks for image in images):
            expected = "/".join([self.class_folder(images[0].label), *images[0].below])
            raise UserError(f"masks: {masks} has no mask of any image, expected files such as {printable(expected)}")
        options = {"mask_value": self.options.get("mask_value"), "recognised": masks is None}
        patients = self.patient_ids(images)
        return [
            RawRecord(
                source=image.entry.name,
                label=image.label,
                load=partial(load_files, image.entry.path, image.masks, **options),
                patient_id=patient,
                extra=self.extra(image),
            )
            for image, patient in zip(images, patients, strict=True)
        ]

    def findings(self) -> Iterable[tuple[str, str, list[str]]]:
        yield "files_seen", "", self.layout.seen
        if not self.options.get("masks"):
            masked = [image for image in self.layout.images if image.masks]
            for label in self.labels:
                yield "masks_recognised", label, [image.entry.name for image in masked if image.label == label]
        for (check, label), files in self.layout.left.items():
            yield check, label, files

    def remarks(self) -> dict[str, str]:
        layout, labels = self.layout, ["", *self.labels]
        kinds = sum((layout.kinds[label] for label in labels), start=Counter())
        listed = shown_kinds(kinds)
        dicom = "; DICOM files are read by the source vindr_mammo" if kinds["DICOM"] else ""
        return {
            "files_seen": f"{len(layout.images)} images and {layout.n_masks} masks taken, the others are counted below",
            "not_an_image": f"not used: {listed}{dicom}",
        }

    def download(self) -> tuple[str | None, int]:
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such folder; {self.how_to_get()}")
        return None, 0
