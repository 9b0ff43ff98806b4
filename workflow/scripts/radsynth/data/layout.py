"""Which files below a folder are images of which class, which are masks of which image, and what is neither."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from PIL import Image

from radsynth.common.errors import UserError
from radsynth.data.layout_names import image_key, in_mask_folder, mask_keys, split_kind, splits_of, without_mask_name
from radsynth.data.listing import Entry, matches, printable, walk

#: What Pillow reads of the formats that medical images come in; files of other suffixes are tried for these.
FORMATS = ("PNG", "JPEG", "JPEG2000", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "AVIF")
SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".jpx", ".bmp", ".dib", ".gif", ".webp"),
    *(".tif", ".tiff", ".pgm", ".ppm", ".pnm", ".pbm", ".avif"),
}
DICOM_SUFFIXES = {".dcm", ".dicom"}
#: Suffixes that are named in counts; others may be parts of file names, such as the patient's.
NAMED_SUFFIXES = {
    *(".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".md", ".html", ".pdf", ".log", ".ini", ".db"),
    *(".doc", ".docx", ".xls", ".xlsx", ".zip", ".gz", ".tar", ".7z", ".rar", ".py", ".ipynb", ".svg", ".psd"),
    *(".nii", ".mha", ".mhd", ".nrrd", ".raw", ".bin", ".dat", ".mat", ".npy", ".npz", ".h5", ".hdf5", ".pkl"),
    *(".mp4", ".avi", ".mov", ".svs", ".tmp", ".bak"),
}
#: How many names a message lists.
MOST_SHOWN = 10
SPLIT_ORDER = {"train": 0, "val": 1, "test": 2}

Root = tuple[str, ...]


def kind_of(entry: Entry) -> str:
    """Return ``image``, ``DICOM``, or a suffix; a file of an unknown suffix, or of none, is looked into."""
    suffix = entry.path.suffix.lower()
    if suffix in SUFFIXES or entry.trouble:
        return "image"
    if suffix in DICOM_SUFFIXES:
        return "DICOM"
    try:
        with open(entry.path, "rb") as file:
            if file.read(132)[128:] == b"DICM":
                return "DICOM"
        with Image.open(entry.path, formats=FORMATS):
            return "image"
    except Exception:  # Pillow's decoders raise many kinds for what they do not know
        return printable(suffix) or "no suffix"


@dataclass(frozen=True)
class Place:
    """Where the class folder stands on a file's way: the names before ``start`` are its root."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Listed:
    """One image: ``below`` is its way below the class folder, ``split`` the part of a published split, if any."""

    entry: Entry
    label: str
    below: tuple[str, ...]
    split: str
    masks: tuple[Path, ...] = ()


@dataclass
class Layout:
    """What a folder holds: the images, and by check and label the files that are none."""

    images: list[Listed] = field(default_factory=list)
    left: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    seen: list[str] = field(default_factory=list)
    kinds: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    n_masks: int = 0

    def leave(self, check: str, entry: Entry, label: str = "") -> None:
        """Note that a file is no image of the dataset."""
        self.left[check, label].append(entry.name)


def _composed(parts: Iterable[str]) -> tuple[str, ...]:
    """Return names with one character for a letter and its accent, which some systems write as two."""
    return tuple(normalize("NFC", part) for part in parts)


def class_place(parts: tuple[str, ...], ways: Mapping[str, tuple[str, ...]]) -> Place | None:
    """Return the outermost class folder on a file's way; ``ways`` are the class folders' names by label."""
    parts = _composed(parts)
    for start in range(len(parts) - 1):
        ends = {
            label: start + len(way)
            for label, way in ways.items()
            if parts[start : start + len(way)] == way and start + len(way) < len(parts)
        }
        if ends:
            label = max(ends, key=ends.get)
            return Place(start, ends[label], label)
    return None


def find_roots(path: Path, found: Iterable[Root], classes: Sequence[str]) -> dict[Root, str]:
    """Return the folders that hold the class folders, with the part of a split that each is.

    Those that are named like masks count only if there are no others. UserError if there are several that are no parts
    of one split: one of them taken silently would be the wrong one.
    """
    roots = sorted(set(found))
    roots = [root for root in roots if not in_mask_folder((*root, ""), range(0))] or roots
    if len(roots) < 2:
        return dict.fromkeys(roots, "")
    columns = list(zip(*roots, strict=True)) if len(set(map(len, roots))) == 1 else []
    different = [index for index, names in enumerate(columns) if len(set(names)) > 1]
    if len(different) == 1 and all(split_kind(root[different[0]]) for root in roots):
        return {root: printable(root[different[0]]) for root in roots}
    shown = ", ".join(printable("/".join(root)) or "." for root in roots[:MOST_SHOWN])
    raise UserError(
        f"{path}: class folders ({', '.join(classes)}) in several places: {shown}"
        f"{', ...' if len(roots) > MOST_SHOWN else ''}; they are not the parts of one split (train, val, test): set "
        "path to one of them, or leave the others out with exclude"
    )


def read_layout(
    path: Path,
    class_folders: Mapping[str, str],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    mask_folder: Path | None = None,
) -> Layout:
    """Return what lies below ``path``.

    ``class_folders`` gives the folder of each label, ``include`` and ``exclude`` are shell patterns of images and of
    all files, ``mask_folder`` is a folder of masks beside those that are recognised by their names. Images are sorted
    by label, split and name. UserError if class folders stand in several places, or one is missing or empty.
    """
    layout = Layout()
    ways = {label: _composed(PurePosixPath(folder).parts) for label, folder in class_folders.items()}
    candidates = _candidates(path, exclude, layout, mask_folder)
    places = {entry: class_place(entry.parts, ways) for entry in candidates}
    kinds = {entry: kind_of(entry) for entry in candidates}
    asked = {entry for entry in candidates if not include or matches(entry.parts, include)}
    # What is no image counts only where there is none: code may stand in folders called like the classes.
    placed = [(entry, place) for entry, place in places.items() if place]
    pictures = [(entry, place) for entry, place in placed if kinds[entry] == "image"]
    chosen = [(entry, place) for entry, place in pictures if entry in asked] or pictures or placed
    roots = find_roots(path, [entry.parts[: place.start] for entry, place in chosen], list(class_folders.values()))
    _refuse_class_in_class(path, [(entry, place) for entry, place in pictures if entry in asked], ways, roots)
    images, masks, without = {}, [], {}
    for entry, place in places.items():
        in_class = place is not None and entry.parts[: place.start] in roots
        label = place.label if in_class else ""
        # Folders above the classes in use, and the classes' own, may be called as they like.
        plain = range(place.end) if in_class else range(place.start, place.end) if place else range(0)
        if entry.trouble:
            layout.leave("unreadable" if in_class else "outside_classes", entry, label)
        elif kinds[entry] != "image":
            layout.kinds[label][kinds[entry]] += 1
            layout.leave("not_an_image", entry, label)
        elif in_mask_folder(entry.parts, plain):
            masks.append((entry, mask_keys(entry.parts, plain), True))
        elif in_class and without_mask_name(PurePosixPath(entry.parts[-1]).stem):
            masks.append((entry, mask_keys(entry.parts, plain), False))
        elif not in_class:
            # What is missing in the classes must be looked for where the other parts of the split have theirs.
            check = "split_without_classes" if splits_of(entry.parts) and any(roots.values()) else "outside_classes"
            without[image_key(entry.parts)] = check
            layout.leave(check, entry)
        elif entry not in asked:
            without[image_key(entry.parts)] = "excluded"
            layout.leave("excluded", entry, label)
        else:
            images[entry] = place
    for entry in _candidates(mask_folder, exclude, layout) if mask_folder is not None else ():
        places[entry] = class_place(entry.parts, ways)
        if _is_picture(entry, layout):
            masks.append((entry, mask_keys(("masks", *entry.parts), range(1, len(entry.parts) + 1)), True))
    masks_of = _pair(images, masks, places, asked, without, layout)
    _list(images, masks_of, roots, layout, list(class_folders))
    _refuse_empty(path, layout, roots, class_folders)
    return layout


def _is_picture(entry: Entry, layout: Layout) -> bool:
    """Return whether an entry of the folder of masks is an image; if not, say so in the layout."""
    kind = kind_of(entry)
    if entry.trouble:
        layout.leave("unreadable", entry)
    elif kind != "image":
        layout.kinds[""][kind] += 1
        layout.leave("not_an_image", entry)
    return not entry.trouble and kind == "image"


def _refuse_class_in_class(
    path: Path, pictures: Sequence[tuple[Entry, Place]], ways: Mapping[str, Root], roots: Mapping[Root, str]
) -> None:
    """Raise UserError if an image stands in the folder of one class inside that of another: which is it?"""
    for entry, place in pictures:
        inner = class_place(entry.parts[place.end :], ways) if entry.parts[: place.start] in roots else None
        if inner and inner.label != place.label:
            folder = printable("/".join(entry.parts[: place.end + inner.end]))
            raise UserError(
                f"{path / folder}: the class folder of {inner.label} stands inside that of {place.label}; move it, or "
                "leave it out with exclude"
            )


def _candidates(path: Path, exclude: Sequence[str], layout: Layout, but: Path | None = None) -> list[Entry]:
    """Return the files that may be of use, none of those in the folder ``but``; note the others."""
    kept = []
    for entry in walk(path, exclude):
        if but is not None and entry.path.is_relative_to(but):
            continue
        layout.seen.append(entry.name)
        if entry.hidden:
            layout.leave("passed_over", entry)
        elif matches(entry.parts, exclude):
            layout.leave("excluded", entry)
        elif entry.trouble == "closed":
            raise UserError(f"{entry.path}: no permission to read the folder; exclude leaves it out")
        elif entry.trouble == "repeated":
            layout.leave("linked_again", entry)
        else:
            if entry.linked and not entry.trouble:
                layout.leave("links", entry)
            kept.append(entry)
    return kept


def _pair(
    images: dict[Entry, Place],
    masks: Sequence[tuple[Entry, list[tuple[str, ...]], bool]],
    places: Mapping[Entry, Place | None],
    asked: set[Entry],
    without: Mapping[tuple[str, ...], str],
    layout: Layout,
) -> dict[Entry, list[Path]]:
    """Return the masks of each image; those without one are noted, or become images if only their names look so.

    ``masks`` are files with the keys of their images, and whether they stand in a folder of masks, ``asked`` are the
    files that ``include`` fits, ``without`` the keys of images that are not used, with the check that says why.
    """
    by_key, below_root, by_stem = defaultdict(list), defaultdict(list), defaultdict(list)
    for entry, place in images.items():
        key = image_key(entry.parts)
        by_key[key].append(entry)
        by_key[*key[:-1], ""].append(entry)
        below_root[image_key(entry.parts[place.start :])].append(entry)
        by_stem[key[-1]].append(entry)
    masks_of, lonely = defaultdict(list), []
    for entry, keys, in_folder in masks:
        # A file called mask alone is that of the only image beside it.
        hits = next((by_key[key] for key in keys if key in by_key and (key[-1] or len(by_key[key]) == 1)), [])
        unused = {without[key] for key in keys if key in without}
        if not hits and not unused and in_folder:
            # Less is enough where it names one image, if that is of the same class and part of a split.
            known = [below_root.get(key, []) for key in keys] + [by_stem.get(key[-1], []) for key in keys]
            place, splits = places.get(entry), splits_of(entry.parts)
            hits = next((found for found in known if len(found) == 1), [])
            hits = [image for image in hits if place is None or place.label == images[image].label]
            hits = [image for image in hits if not splits or splits == splits_of(image.parts)]
        for image in hits:
            masks_of[image].append(entry.path)
        if not hits and unused:
            layout.leave(min(unused), entry)
        elif not hits:
            lonely.append((entry, in_folder))
        layout.n_masks += bool(hits)
    alone = {entry for entry, _ in lonely}
    by_name = any(not in_folder for entry, _, in_folder in masks if entry not in alone)
    for entry, in_folder in lonely:
        place = places.get(entry)
        label = place.label if place else ""
        if not in_folder and entry not in asked:
            layout.leave("excluded", entry, label)
        elif in_folder or by_name:
            layout.leave("mask_without_image", entry, label)
        else:
            images[entry] = place
            layout.leave("named_like_mask", entry, label)
    return masks_of


def _list(
    images: Mapping[Entry, Place],
    masks_of: Mapping[Entry, list[Path]],
    roots: Mapping[Root, str],
    layout: Layout,
    labels: list[str],
) -> None:
    """Fill in the images, by label, part of the split and name."""
    for entry, place in images.items():
        below = entry.parts[place.end :]
        inner = next((printable(name) for name in below[:-1] if split_kind(name)), "")
        split = roots[entry.parts[: place.start]] or inner
        layout.images.append(Listed(entry, place.label, below, split, tuple(sorted(masks_of.get(entry, ())))))
    layout.images.sort(
        key=lambda image: (
            labels.index(image.label),
            SPLIT_ORDER.get(split_kind(image.split), len(SPLIT_ORDER)),
            image.entry.parts,
        )
    )


def shown_kinds(kinds: Counter) -> str:
    """Return how many files of which kinds there are, those of unknown suffixes together."""
    named = {"DICOM", "no suffix", *NAMED_SUFFIXES}
    listed = [f"{count} {kind}" for kind, count in kinds.most_common() if kind in named]
    others = sum(count for kind, count in kinds.items() if kind not in named)
    return ", ".join([*listed, f"{others} of other suffixes"] if others else listed)


def _plain(name: str) -> str:
    """Return a folder's name without what is easily overlooked."""
    return normalize("NFKC", name).casefold().strip()


def _refuse_empty(path: Path, layout: Layout, roots: Mapping[Root, str], class_folders: Mapping[str, str]) -> None:
    found = {image.label for image in layout.images} | {label for check, label in layout.left if check == "unreadable"}
    for label, folder in class_folders.items():
        if label in found:
            continue
        places = [path.joinpath(*root) for root in roots] or [path]
        parent = next((place for place in places if (place / folder).is_dir()), places[0])
        if not (parent / folder).is_dir():
            there = sorted(child.name for child in parent.iterdir() if child.is_dir())
            alike = [name for name in there if _plain(name) == _plain(folder)]
            quoted = alike and (alike[0] if alike[0] == alike[0].strip() else f'"{alike[0]}"')
            hint = f"; for that write classes: {{{label}: {quoted}}}" if alike else ""
            present = printable(", ".join(there[:MOST_SHOWN])) or "nothing"
            present += f", ... ({len(there):,} folders)" if len(there) > MOST_SHOWN else ""
            raise UserError(
                f"{parent / folder}: no such class folder for label {label}; its parent holds {present}{hint}"
            )
        kinds = shown_kinds(layout.kinds[label])
        unasked = sum(len(layout.left["excluded", key]) for key in ("", label))
        dicom = "; DICOM files are read by the source vindr_mammo" if layout.kinds[label]["DICOM"] else ""
        raise UserError(
            f"{parent / folder}: empty class folder for label {label}, expected images (PNG, JPEG, TIFF, ...)"
            + (f"; it holds {kinds}{dicom}" if kinds else "")
            + (f"; include and exclude leave out {unasked:,} files" if unasked else "")
        )
