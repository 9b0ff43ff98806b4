"""What was found wrong with a dataset and what was done about it, for machines (JSON) and for people (Markdown).

Names of files and patients go to the log, and some to the JSON, which stays where it is: the Markdown becomes part of
reports that are passed on.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

log = logging.getLogger(__name__)

#: Names that the JSON, and the log, give of each finding.
FILES_SHOWN, FILES_LOGGED = 20, 1000

#: Every check that all sources share, in the order of the report, and what is done about what it finds.
CHECKS = {
    "unreadable": "left out",
    "label_told_by_file_facts": "kept",
    "two_valued": "kept as images: they have two gray levels, or nearly. Are they masks? Leave them out with exclude",
    "mixed_depth": "kept",
    "narrow_range": "kept; of the 256 gray levels to which sixteen_bit has brought them they use fewer than 16: other "
    "images of the set have other ranges, or the window is wrong",
    "converted_16_bit": "reduced to 8 bits as sixteen_bit says",
    "alpha_dropped": "alpha channel ignored",
    "colour_to_luminance": "colour dropped: converted to luminance",
    "multi_frame": "first frame used",
    "constant": "left out (every pixel has the same value)",
    "too_small": "kept, enlarged (shorter side below half of image_size)",
    "mask_missing": "kept without a mask",
    "exact_duplicates": "kept; they share a near_duplicate_group",
    "near_duplicates": "kept; they share a near_duplicate_group",
    "large_duplicate_group": "kept; the gate keeps them on one side. Look at them: copies, or different images that "
    "look alike? In that case gates.near_duplicates: false lets them be tested on",
    "duplicates_in_two_classes": "kept; look at them: a label may be wrong, or the images only look alike",
    "patient_in_two_classes": "kept; the gates keep a patient on one side",
    "patient_unknown": "kept; the patient gate cannot protect them",
    "count_differs": "used as found",
}


#: What somebody must look at before believing any result.
LOOK = {
    *("unreadable", "label_told_by_file_facts", "two_valued", "mixed_depth", "narrow_range", "colour_to_luminance"),
    *("named_like_mask", "mask_of_many_values", "mask_without_image", "split_without_classes", "large_duplicate_group"),
}


class Integrity:
    """Collects findings by check and label.

    ``own_checks`` are those of the source, with what is done about them; ``remarks`` say that of any check anew.
    """

    def __init__(self, own_checks: Mapping[str, str], remarks: Mapping[str, str]) -> None:
        self._checks = CHECKS | dict(own_checks) | dict(remarks)
        self._found: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._counts: dict[tuple[str, str], tuple[int, str]] = {}

    def add(self, check: str, label: str, files: Iterable[str]) -> None:
        """Note that ``files`` (raw names) were caught by a check; one finding per file."""
        self._found[check, label].extend(files)

    def set_count(self, check: str, label: str, count: int, remark: str) -> None:
        """Note a finding that is a number rather than files."""
        self._counts[check, label] = (count, remark)

    def report(self, counts: Mapping[str, int], expected: Mapping[str, int] | None) -> dict[str, Any]:
        """Return the content of ``integrity.json``; a check without findings appears once, with the count 0."""
        checks = []
        for check, done in self._checks.items():
            rows = [
                (label, len(files), files, done)
                for (name, label), files in self._found.items()
                if name == check and files
            ]
            rows += [
                (label, count, [], remark) for (name, label), (count, remark) in self._counts.items() if name == check
            ]
            rows.sort(key=lambda row: list(counts).index(row[0]) if row[0] in counts else -1)
            checks += [
                {
                    "check": check,
                    "label": label,
                    "count": count,
                    "files": files[:FILES_SHOWN],
                    "fatal": False,
                    "what_was_done": what,
                }
                for label, count, files, what in rows or [("", 0, [], "")]
            ]
        return {"counts": dict(counts), "expected": dict(expected) if expected else None, "checks": checks}

    def write_log(self) -> None:
        """Log the names behind all findings, a line each."""
        for (check, label), files in self._found.items():
            what = ", ".join(filter(None, [check.replace("_", " "), label]))
            for file in files[:FILES_LOGGED]:
                log.info("%s: %s", what, file)
            if len(files) > FILES_LOGGED:
                log.info("%s: and %d more", what, len(files) - FILES_LOGGED)


def to_markdown(name: str, report: Mapping[str, Any]) -> str:
    """Return ``integrity.md``: the class counts, then one line per finding, without a name of a file or patient."""
    expected = report["expected"] or {}
    lines = [f"# Integrity of {name}", "", "| label | images | the complete source holds |", "|---|---:|---:|"]
    lines += [f"| {label} | {n:,} | {expected.get(label, 'not known')} |" for label, n in report["counts"].items()]
    lines += ["", "| check | label | count | what was done |", "|---|---|---:|---|"]
    for row in report["checks"]:
        check = row["check"].replace("_", " ")
        lines.append(f"| {check} | {row['label']} | {row['count']:,} | {row['what_was_done']} |")
    lines += ["", f"Which files these are stands in `logs/prepare_data/{name}.log` below the study's results alone."]
    return "\n".join(lines) + "\n"
