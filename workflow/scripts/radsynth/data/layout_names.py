"""What names of files and folders tell: masks, the images they belong to, and parts of a published split."""

import re
from pathlib import PurePosixPath

_MASK = r"masks?|seg|segm|segmentations?|ground[ _-]?truths?|gt|annotations?|label[ _-]?maps?"
_MASK_FOLDER = re.compile(rf"(?i)^(?P<rest>(?:.*[ _.-])??)(?:{_MASK}|labels)$")
_MASK_FILE = re.compile(rf"(?i)^(?P<rest>.+?)[ _.-]+(?:{_MASK})[ _.-]*(?:\(?\d+\)?)?$")
_MASK_FIRST = re.compile(rf"(?i)^(?:{_MASK})[ _.-]+(?P<rest>.+)$")
_MASK_ONLY = re.compile(rf"(?i)^(?:{_MASK})[ _.-]*(?:\(?\d+\)?)?$")
_IMAGE_FOLDER = re.compile(r"(?i)^(images?|imgs?|jpe?g ?images|pngs?|jpe?gs?)$")
_SPLIT = re.compile(
    r"(?i)^(?:(?P<train>train(?:ing)?)|(?P<val>val|valid|validation|dev)|(?P<test>test(?:ing)?|eval(?:uation)?|hold-?out))"
    r"(?:[ _-]*(?:set|data|images?|imgs?))?$"
)


def split_kind(name: str) -> str:
    """Return ``train``, ``val`` or ``test`` for the name of a folder that holds a part of a published split, or ''."""
    match = _SPLIT.match(name)
    return match.lastgroup if match else ""


def splits_of(parts: tuple[str, ...]) -> set[str]:
    """Return the kinds of splits that the folders on a way name, such as ``train_masks``."""
    return {split_kind(without_mask_folder(name) or name) for name in parts[:-1]} - {""}


def without_mask_folder(name: str) -> str | None:
    """Return what is left of the name of a folder of masks (``train`` of ``train_masks``), None of another folder."""
    match = _MASK_FOLDER.match(name)
    return match["rest"].rstrip(" _.-") if match else None


def without_mask_name(stem: str) -> list[str]:
    """Return the names that the image of a file named like a mask may have; none if it is not named so.

    ``scan_mask_1`` belongs to ``scan``, ``scan_lung_mask`` to ``scan_lung`` or ``scan``, ``mask`` to the image beside
    it, whatever its name: an empty one.
    """
    match = _MASK_FILE.match(stem) or _MASK_FIRST.match(stem)
    beside = [""] if _MASK_ONLY.match(stem) else []
    if not match:
        return beside
    rest = match["rest"]
    return [rest, *([shorter[1]] if (shorter := re.match(r"(.+)[ _.-][A-Za-z]+$", rest)) else []), *beside]


def image_key(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return what an image's way has in common with that of its masks: no suffix, no folder ``images``."""
    *folders, name = parts
    dot = name.rfind(".")
    stem = name[:dot] if 0 < dot < len(name) - 1 else name  # that of pathlib, which takes long for 100,000 files
    return (*(folder for folder in folders if not _IMAGE_FOLDER.match(folder)), stem)


def mask_keys(parts: tuple[str, ...], plain: range) -> list[tuple[str, ...]]:
    """Return the keys (``image_key``) of the images that a file may be the mask of, the likeliest first.

    None if it is not named like a mask. The folders ``plain``, such as those of a class, are masks' in no case.
    """
    *folders, name = parts
    stem = PurePosixPath(name).stem
    ways: list[tuple[str, ...]] = [()]
    for index, folder in enumerate(folders):
        rest = None if index in plain else without_mask_folder(folder)
        if rest is not None:
            ways = [way + part for way in ways for part in ([(rest,), ()] if rest else [()])]
        elif not _IMAGE_FOLDER.match(folder):
            ways = [(*way, folder) for way in ways]
    stems = [*([stem] if in_mask_folder(parts, plain) else []), *without_mask_name(stem)]
    return [(*way, base) for base in stems for way in ways]


def in_mask_folder(parts: tuple[str, ...], plain: range) -> bool:
    """Return whether a folder on the way, but those in the range ``plain``, is named like one of masks."""
    return any(without_mask_folder(name) is not None for i, name in enumerate(parts[:-1]) if i not in plain)
