"""What is there of each dataset, and what it lacks."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from radsynth.checking.counts import Known, compare_scenarios
from radsynth.checking.folders import folder_mistakes, missing_classes
from radsynth.checking.part import Part, counted
from radsynth.common.errors import UserError
from radsynth.common.registry import KINDS
from radsynth.data.folder import Folder
from radsynth.data.source import Source, load_source
from radsynth.study.config import Study

#: What lets a source fetch its images: names of the environment, and a file in the home folder.
CREDENTIALS = {
    "kaggle_cxr": (("KAGGLE_API_TOKEN",), ".kaggle/kaggle.json"),
    "kaggle_pneumonia": (("KAGGLE_API_TOKEN",), ".kaggle/kaggle.json"),
    "vindr_mammo": (("PHYSIONET_USERNAME", "PHYSIONET_PASSWORD"), None),
}


def missing_credentials(source: str, environment: Mapping[str, str], home: Path) -> str:
    """Return what a source needs to fetch its images and is not there, '' if nothing. No value is ever shown."""
    names, file = CREDENTIALS.get(source, ((), None))
    if all(environment.get(name) for name in names) or (file and (home / file).is_file()):
        return ""
    return " and ".join(names) + (f" or ~/{file}" if file else "")


def data_part(study: Study, environment: Mapping[str, str] = os.environ, home: Path | None = None) -> tuple[Part, int]:
    """Return what is known of the datasets, and how many images they have together, as far as that is known."""
    part, total = Part("The images"), 0
    if study["paper"]["source"] == "archive":
        return part, 0
    for name, dataset in study["datasets"].items():
        where = "" if dataset["source"] == "phantom" else f", {dataset['path']}"
        part.lines.append(f"{name} ({dataset['source']}, {dataset['role']}){where}:")
        inner = Part(name)
        images = _look(study, name, inner, environment, home or Path.home())
        part.lines += [f"  {line}" for line in inner.lines]
        part.mend += inner.mend
        part.look += inner.look
        total += len(images)
    return part, total


def _look(study: Study, name: str, part: Part, environment: Mapping[str, str], home: Path) -> list[Known]:
    """Fill in the part of one dataset; return its images, or those that the complete source is known to hold."""
    dataset = study["datasets"][name]
    try:
        source = load_source(dataset, study.labels)
        if dataset["source"] == "phantom":
            part.lines.append("drawn by the study itself, nothing is to be downloaded")
        elif not _is_there(source.path):
            images = _absent(source, dataset, part, environment, home)
            _count(study, name, images, part)
            return images
        records = source.records(study["image_size"], study["seed"])
    except UserError as error:
        folder = isinstance(source, Folder) and source.path.is_dir()
        part.mend.append((missing_classes(source, name) if folder else "") or f"datasets.{name}: {error}")
        return []
    images = [(record.label, record.patient_id, record.extra.get("split", "")) for record in records]
    _describe(images, study.labels, part)
    if isinstance(source, Folder):
        folder_mistakes(source, name, study["image_size"], part)
    _count(study, name, images, part)
    return images


def _count(study: Study, name: str, images: Sequence[Known], part: Part) -> None:
    if images and study["datasets"][name]["role"] == "study":
        compare_scenarios(study, name, images, part)


def _is_there(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _absent(
    source: Source, dataset: Mapping[str, object], part: Part, environment: Mapping[str, str], home: Path
) -> list[Known]:
    """Say how images that are not there can be had."""
    kind, where = dataset["source"], dataset["path"]
    if not KINDS["sources"][kind].downloadable:
        folders = ", ".join(map(source.class_folder, source.labels))
        what = "an empty folder" if source.path.is_dir() else "no such folder"
        part.mend.append(f"{where}: {what}; put the images there, one folder per class ({folders})")
        return []
    if dataset.get("standin"):
        part.lines.append(f"drawn by the study itself: {counted(dataset['standin']['studies'], 'study')} of 4 images")
        return []
    part.lines.append("not there yet: fetched when the study begins")
    if lacking := missing_credentials(kind, environment, home):
        part.mend.append(
            f"{where}: no images, and no credentials to fetch them: set {lacking}, or put the images there"
        )
    expected = source.expected_counts() or {}
    if expected:
        listed = ", ".join(f"{label} {count:,}" for label, count in expected.items())
        part.lines.append(f"the complete set holds {listed}")
    return [(label, "", "") for label, count in expected.items() for _ in range(count)]


def _describe(images: Sequence[Known], labels: Sequence[str], part: Part) -> None:
    """Say how many images and patients of each label there are."""
    counts = Counter(label for label, _, _ in images)
    patients = {label: {patient for of, patient, _ in images if of == label} for label in labels}
    said = [
        f"{label} {counts[label]:,}"
        + (f" ({counted(len(patients[label]), 'patient')})" if "" not in patients[label] and counts[label] else "")
        for label in labels
    ]
    unknown = any("" in found for found in patients.values())
    part.lines.append(f"images: {', '.join(said)}" + ("; patients are not known" if unknown else ""))
    of_label = Counter(patient for found in patients.values() for patient in found - {""})
    if both := sum(count > 1 for count in of_label.values()):
        part.lines.append(f"{counted(both, 'patient')} with images of several labels")
