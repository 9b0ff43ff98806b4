"""What preparing a data set has found: the integrity report."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from radsynth.data.convert import Window
from radsynth.data.facts import ALL, FACTS, UNSEEN, Facts, Told
from radsynth.data.integrity import Integrity
from radsynth.data.source import RawRecord, Source

# A group of near duplicates with more images than this, and more than this share of its class, calls for a look.
LARGE_GROUP, LARGE_SHARE = 5, 0.05


@dataclass
class Prepared:
    """What is known of one raw image after it has been read; ``error`` or ``constant`` means that it was left out."""

    notes: set[str] = field(default_factory=set)
    error: str = ""
    sha256: str = ""
    mask_sha256: str = ""
    thumbnail: np.ndarray | None = None
    boxes: list[list[Any]] = field(default_factory=list)
    facts: Facts = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        return not self.error and "constant" not in self.notes


#: A raw image that was kept, and what was made of it.
Kept = tuple[RawRecord, Prepared]


def examine(
    records: Sequence[RawRecord],
    results: Sequence[Prepared],
    groups: np.ndarray,
    source: Source,
    window: Window | None,
    told: Sequence[Told],
) -> dict[str, Any]:
    """Return the integrity report; ``groups`` holds a duplicate group per kept image."""
    remarks = source.remarks()
    if window is not None:
        remarks["converted_16_bit"] = f"reduced to 8 bits: {window[0]:g} to {window[1]:g} became 0 to 255"
    integrity = Integrity(source.checks, remarks)
    for check, label, files in source.findings():
        integrity.add(check, label, files)
    kept = [(record, result) for record, result in zip(records, results, strict=True) if result.kept]
    _note_images(integrity, records, results)
    _note_duplicates(integrity, kept, groups)
    _note_patients(integrity, kept)
    expected = source.expected_counts()
    found = Counter(record.label for record in records)
    for label, count in (expected or {}).items():
        if found[label] != count:
            integrity.set_count(
                "count_differs",
                label,
                abs(found[label] - count),
                f"used as found: {found[label]:,} images, the complete source holds {count:,}",
            )
    deep = Counter("converted_16_bit" in result.notes for _, result in kept)
    if len(deep) == 2:
        integrity.set_count(
            "mixed_depth",
            "",
            deep[True],
            f"kept; {deep[False]:,} others have 8 bits: a classifier may learn the depth, where classes differ in it",
        )
    above = [row for row in told if row.above_chance]
    if above:
        integrity.set_count("label_told_by_file_facts", "", len(above), _told_in_words(above))
    integrity.write_log()
    counts = Counter(record.label for record, _ in kept)
    report = integrity.report({label: counts[label] for label in source.labels}, expected)
    return report | {"window": window, "file_facts": [asdict(row) for row in told]}


def _note_images(integrity: Integrity, records: Sequence[RawRecord], results: Sequence[Prepared]) -> None:
    """Add what was noted of single images, and those without a mask where others have one."""
    any_mask = any(result.mask_sha256 for result in results)
    for record, result in zip(records, results, strict=True):
        notes = result.notes | ({"unreadable"} if result.error else set())
        if any_mask and result.kept and not result.mask_sha256:
            notes = notes | {"mask_missing"}
        for note in notes:
            integrity.add(note, record.label, [record.source])


def _note_duplicates(integrity: Integrity, kept: Sequence[Kept], groups: np.ndarray) -> None:
    """Add exact and near duplicates, large groups of them, and groups in two classes."""
    by_digest: dict[str, list[RawRecord]] = defaultdict(list)
    by_group: dict[int, list[RawRecord]] = defaultdict(list)
    for (record, result), group in zip(kept, groups, strict=True):
        by_digest[result.sha256].append(record)
        if group >= 0:
            by_group[group].append(record)
    exact_extra = [record for same in by_digest.values() for record in same[1:]]
    for record in exact_extra:
        integrity.add("exact_duplicates", record.label, [record.source])
    known = {record.source for record in exact_extra}
    n_of = Counter(record.label for record, _ in kept)
    for members in by_group.values():
        for record in members[1:]:
            if record.source not in known:
                integrity.add("near_duplicates", record.label, [record.source])
        for label, count in Counter(record.label for record in members).items():
            if count > max(LARGE_GROUP, LARGE_SHARE * n_of[label]):
                integrity.add(
                    "large_duplicate_group", label, [record.source for record in members if record.label == label]
                )
        if len({record.label for record in members}) > 1:
            integrity.add("duplicates_in_two_classes", "", [record.source for record in members])


def _note_patients(integrity: Integrity, kept: Sequence[Kept]) -> None:
    """Add images of unknown patients, and patients in two classes."""
    patients: dict[str, set[str]] = defaultdict(set)
    for record, _ in kept:
        if record.patient_id:
            patients[record.patient_id].add(record.label)
        else:
            integrity.add("patient_unknown", record.label, [record.source])
    shared = sorted(patient for patient, labels in patients.items() if len(labels) > 1)
    if shared:
        integrity.add("patient_in_two_classes", "", [f"patient {patient}" for patient in shared])


def _told_in_words(above: Sequence[Told]) -> str:
    """Return which facts tell the label, the clearest first."""
    rows = sorted((row for row in above if row.fact != ALL), key=lambda row: -row.auc) or list(above)
    told = "; ".join(
        f"{FACTS.get(row.fact, row.fact)} with AUC {row.auc:.2f} [{row.low:.2f}, {row.high:.2f}], chance up to "
        f"{row.by_chance:.2f}"
        for row in rows
    )
    seen = [row.fact for row in rows if row.fact not in UNSEEN]
    meaning = (
        "a classifier can learn this in place of the disease: make the classes alike, or test on images from elsewhere"
        if seen
        else "no classifier sees it, but the classes may come from different places, and look it"
    )
    return f"the label can be told, without looking at the picture, by {told}; {meaning}"
