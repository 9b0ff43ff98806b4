"""The likeliest mistakes in a folder of images, found by names and file headers alone."""

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from radsynth.checking.part import Part, counted
from radsynth.data.convert import is_deep
from radsynth.data.facts import ALL, FACTS, UNSEEN, file_facts, told_by_facts
from radsynth.data.folder import Folder
from radsynth.data.layout import Listed
from radsynth.data.layout_names import split_kind
from radsynth.data.listing import printable

#: Files of each label whose headers are read.
SAMPLE = 200
#: How deep, and how many, folders are looked at for class folders.
DEPTH, MOST_FOLDERS = 4, 5000
#: A class of fewer images is nearly empty.
FEW = 20
FEWEST_PATIENTS = 5
#: What may stand for the patient at the beginning of a file name, such as 00000013 or person12 or IM-0115.
NAME_PATTERN = r"^([A-Za-z]*[_-]?\d+)[_-]"
FOLDER_PATTERN = r"^([^/]+)/"
#: Borders would have to be decoded.
NOT_SEEN = (0.0, 0.0, 0.0, 0.0)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _folders(path: Path) -> Iterator[str]:
    """Yield the ways of the folders below a path, those above first."""
    waiting, seen = [(path, "")], 0
    while waiting and seen < MOST_FOLDERS:
        here, way = waiting.pop(0)
        try:
            inside = sorted(entry.name for entry in os.scandir(here) if entry.is_dir() and entry.name[0] != ".")
        except OSError:
            continue
        for name in inside:
            seen += 1
            yield way + name
            if way.count("/") < DEPTH - 1:
                waiting.append((here / name, f"{way}{name}/"))


def missing_classes(source: Folder, name: str) -> str:
    """Return what is wrong with a dataset whose class folders are not all there, with the line to write; else ''.

    ``name`` is the dataset's in the configuration.
    """
    ways = list(_folders(source.path))
    names = list(dict.fromkeys(way.split("/")[-1] for way in ways))
    wanted = {label: source.class_folder(label) for label in source.labels}
    missing = [label for label, folder in wanted.items() if not any(f"/{way}".endswith(f"/{folder}") for way in ways)]
    if not missing:
        return ""
    taken = {wanted[label] for label in wanted if label not in missing}
    classes = {}
    for label in missing:
        free = {_plain(known): known for known in names if known not in taken and _plain(known)}
        near = difflib.get_close_matches(_plain(wanted[label]), free, 1, 0.75)
        longer = [known for known in free if len(_plain(wanted[label])) > 2 and _plain(wanted[label]) in known]
        if match := (near or longer):
            classes[label] = free[match[0]]
            taken.add(free[match[0]])
    top = [way for way in ways if "/" not in way]
    found = printable(", ".join(top[:8])) or "no folder"
    listed = ", ".join(wanted[label] for label in missing)
    text = f"{source.path}: no class folder {listed}, found {found}"
    if not classes:
        return f"{text}; name the folder of each label, such as classes: {{{missing[0]}: FOLDER}}"
    line = yaml.safe_dump(classes, default_flow_style=True, allow_unicode=True, width=1000).strip()
    return f"{text}; write under datasets.{name}: classes: {printable(line)}"


def suggest_pattern(images: Sequence[Listed]) -> tuple[str, int]:
    """Return the patient_pattern that names seem to ask for, and how many patients it finds; '' and 0 if none.

    Taken for patients are folders below the classes, else numbers at the beginning of the file names, if at least five
    are found and some have several images of a label.
    """
    for pattern in (FOLDER_PATTERN, NAME_PATTERN):
        found = []
        for image in images:
            way = "/".join(image.below) if pattern == FOLDER_PATTERN else image.below[-1]
            if match := re.search(pattern, way):
                found.append((image.label, match[1]))
        patients = {patient for _, patient in found}
        # Each class may count its images from 0: that names no patients.
        repeated = len(set(found)) < len(found)
        if len(found) == len(images) and len(patients) >= FEWEST_PATIENTS and repeated:
            return pattern, len(patients)
    return "", 0


def _by_folder(names: Iterable[str], shown: int = 5) -> str:
    """Return the folders that files lie in, just below the dataset's, with how many there are."""
    counts = Counter(name.split("/")[0] + "/" if "/" in name else "beside the classes" for name in names)
    listed = [f"{folder}: {count:,}" for folder, count in counts.most_common(shown)]
    return ", ".join([*listed, "..."] if len(counts) > shown else listed)


def folder_mistakes(source: Folder, name: str, image_size: int, part: Part) -> None:
    """Add to a part what the names of the files of a dataset ``name`` tell, and the headers of some of them."""
    layout, options, remarks = source.layout, source.options, source.remarks()
    counts = Counter(image.label for image in layout.images)
    at = f"datasets.{name}"
    if layout.n_masks:
        part.lines.append(f"{counted(layout.n_masks, 'mask')} recognised by name or folder, no images")
    left, in_classes = Counter(), Counter()
    for (check, label), files in layout.left.items():
        left[check] += len(files)
        in_classes[check] += len(files) if label else 0
    for check, number in (+left).items():
        done = remarks.get(check) or source.checks.get(check) or "left out"
        where = f" ({_by_folder(layout.left[check, ''])})" if check == "outside_classes" else ""
        text = f"{check.replace('_', ' ')}: {counted(number, 'file')}, {done}{where}"
        beside = check == "not_an_image" and not in_classes[check]  # such as a README
        if check in ("excluded", "passed_over", "links", "linked_again") or beside:
            part.lines.append(text)
        else:
            part.look.append(f"{at}: {text}")
    for label in source.labels:
        if counts[label] < FEW:
            part.look.append(f"{at}: only {counted(counts[label], 'image')} of {label}")
    splits = Counter(image.split for image in layout.images if image.split)
    if splits:
        part.lines.append(f"a split in folders: {', '.join(f'{split} {count:,}' for split, count in splits.items())}")
        test = next((split for split in splits if split_kind(split) == "test"), "")
        if test and "test_split" not in options:
            part.look.append(
                f"{at}: a published split is there, but is not kept: its test images would be learnt from; write "
                f"test_split: {test}"
            )
    # Published sets know their patients, or have none.
    if type(source) is Folder and not options.get("patient_pattern"):
        pattern, patients = suggest_pattern(layout.images)
        if pattern:
            where = "folders" if pattern == FOLDER_PATTERN else "file names"
            part.look.append(
                f"{at}: {where} seem to name {patients:,} patients of {len(layout.images):,} images; if they do, write "
                f"patient_pattern: '{pattern}', so that none is both learnt from and tested on"
            )
    _read_headers(source, name, image_size, part)


def _sample(images: Sequence[Listed]) -> list[Listed]:
    """Return at most SAMPLE images, evenly spaced."""
    step = max(len(images) / SAMPLE, 1)
    return [images[int(i * step)] for i in range(min(len(images), SAMPLE))]


def _read_headers(source: Folder, name: str, image_size: int, part: Part) -> None:
    labels, at = source.labels, f"datasets.{name}"
    words = [*labels, *map(source.class_folder, labels)]
    facts, told_of, read = [], [], []
    sizes: dict[str, Counter] = {label: Counter() for label in labels}
    deep, colour, small, opened = (Counter() for _ in range(4))
    broken: dict[str, str] = {}
    for label in labels:
        for image in _sample([image for image in source.layout.images if image.label == label]):
            try:
                with Image.open(image.entry.path) as header:
                    found = file_facts(header, image.entry.name, words)
                    deep[label] += is_deep(header)
                    colour[label] += header.mode not in ("1", "L", "LA", "F") and not header.mode.startswith("I")
                    small[label] += min(header.size) < image_size
                    sizes[label][header.size] += 1
            except Exception:  # Pillow's decoders raise many kinds for broken files
                broken.setdefault(image.entry.name, label)
                continue
            opened[label] += 1
            facts.append(found | {"border": NOT_SEEN})
            told_of.append(label)
            read.append(image)
    if not opened:
        return
    part.lines.append(
        f"headers of {sum(opened.values()):,} images: "
        + "; ".join(f"{label} {_sizes(sizes[label])}" for label in labels if sizes[label])
    )
    of = f"of {sum(opened.values()):,} images looked into"
    if broken:
        text = f"{at}: {counted(len(broken), 'image')} cannot be opened, such as {next(iter(broken))}"
        if source.options.get("skip_unreadable"):
            part.look.append(f"{text}; they are left out")
        else:
            part.mend.append(f"{text}; replace {'it' if len(broken) == 1 else 'them'}, or write skip_unreadable: true")
    if sum(deep.values()) and source.options.get("sixteen_bit", "refuse") == "refuse":
        by_label = ", ".join(f"{label} {deep[label]}" for label in labels if deep[label])
        part.mend.append(
            f"{at}: {sum(deep.values()):,} {of} have more than 8 bits ({by_label}); write sixteen_bit: scale, "
            "or a window [low, high]"
        )
    if sum(colour.values()):
        part.look.append(
            f"{at}: {sum(colour.values()):,} {of} are stored in colour, which is dropped where there is any"
        )
    if sum(small.values()):
        part.look.append(
            f"{at}: {sum(small.values()):,} {of} are smaller than image_size {image_size}; they are enlarged"
        )
    patients = [patient or image.entry.name for image, patient in zip(read, source.patient_ids(read), strict=True)]
    _told(facts, told_of, patients, at, part)


def _sizes(sizes: Mapping[tuple[int, int], int]) -> str:
    """Return the size of most images of a label, and how many others there are."""
    (width, height), most = Counter(sizes).most_common(1)[0]
    others = len(sizes) - 1
    return f"{width} x {height} px" + (
        f" ({most} of {sum(sizes.values())}, and {others} other sizes)" if others else ""
    )


def _told(
    facts: Sequence[Mapping[str, Any]], labels: Sequence[str], patients: Sequence[str], at: str, part: Part
) -> None:
    """Add which facts of files alone tell the label better than chance."""
    if all(len({row[fact] for row in facts}) == 1 for fact in FACTS if fact not in UNSEEN):
        return
    rows = [
        row for row in told_by_facts(facts, labels, patients, seed=1) if row.above_chance and row.fact not in UNSEEN
    ]
    named = [f"{FACTS[row.fact]} (AUC {row.auc:.2f})" for row in rows if row.fact != ALL]
    if named:
        part.look.append(
            f"{at}: the label can be told without looking at the picture, by {', '.join(named)}; a classifier can "
            "learn this in place of the disease: make the classes alike, or test on images from elsewhere"
        )
