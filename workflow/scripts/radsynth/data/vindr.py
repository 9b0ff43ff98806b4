"""VinDr-Mammo (Nguyen et al. 2023, doi 10.1038/s41597-023-02100-7; PhysioNet doi 10.13026/br2v-7517) or a stand-in."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from PIL import Image

from radsynth.common.errors import UserError
from radsynth.common.files import read_json
from radsynth.data import physionet, vindr_tables
from radsynth.data.source import BOX_CHECKS, RawImage, RawRecord, Source
from radsynth.data.vindr_tables import NO_FINDING, Mammogram, Tables, check_classes, read_tables


def load(path: Path, row: Mammogram, flip_to: str | None, crop: str) -> RawImage:
    """Open a mammogram with its boxes."""
    # Not needed to plan a study, which asks this module to check its options.
    from radsynth.data.breast_crop import breast_box, chest_wall
    from radsynth.data.dicom import read_dicom

    dicom = read_dicom(path)
    image = Image.fromarray(dicom.to_uint8())
    notes = set()
    if (dicom.laterality or row.laterality, dicom.view or row.view) != (row.laterality, row.view):
        notes.add("header_differs")
    if image.size != (row.width, row.height):
        notes.add("size_differs")
    breast = breast_box(image)
    if breast is None:
        notes.add("breast_not_found")
    elif chest_wall(image, breast) != row.laterality:
        notes.add("side_unexpected")
    mirror = flip_to is not None and row.laterality != flip_to[0].upper()
    cut = breast if crop == "breast" else None
    return RawImage(image, boxes=row.boxes, crop=cut, mirror=mirror, notes=frozenset(notes))


class VindrMammo(Source):
    """Mammograms with breast-level labels and boxes; a study is taken for the patient, whom nothing else identifies."""

    columns = ("view", "laterality", "density", "birads", "age", "split", "findings", "boxes", "origin")
    checks = {
        **vindr_tables.CHECKS,
        "file_missing": "left out (annotated, but there is no such file)",
        "row_missing": "left out (a file that no row annotates)",
        "in_no_group": "left out (in no group of classes)",
        "in_several_groups": "left out, or put into the first of its groups, as classes says",
        "header_differs": "kept; the annotations are used",
        "size_differs": "kept; boxes are taken for pixels of the file",
        "breast_not_found": "kept, not cropped",
        "side_unexpected": "kept; the chest wall seems to be on the other side than that of the laterality",
        **BOX_CHECKS,
        "procedural": "drawn by radsynth, no patient's images",
    }

    @classmethod
    def check(cls, dataset: Mapping[str, Any], labels: Sequence[str], where: str) -> None:
        check_classes(dataset["classes"], labels, f"{where}.classes")

    def __init__(self, options, labels):
        super().__init__(options, labels)
        self._found: list[tuple[str, str, list[str]]] = []
        if self.labels:
            check_classes(options["classes"], self.labels, "datasets: classes")

    @cached_property
    def standin(self) -> bool:
        """Whether the files are the procedural stand-in; UserError if the configuration says otherwise."""
        from radsynth.data.vindr_standin import MARKER

        there, asked = (self.path / MARKER).is_file(), bool(self.options.get("standin"))
        if there and not asked:
            raise UserError(f"{self.path}: holds the procedural stand-in ({MARKER}), but standin is not configured")
        return there

    def groups_of(self, row: Mammogram) -> list[str]:
        """Return the labels whose groups an image belongs to, in the order of ``classes.groups``."""
        by, groups = self.options["classes"]["by"], self.options["classes"]["groups"]
        values = {"birads": {row.birads}, "density": {row.density}, "finding": set(row.findings or (NO_FINDING,))}[by]
        return [label for label, group in groups.items() if values & set(group)]

    def selected(self, tables: Tables) -> list[tuple[str, Mammogram]]:
        """Return label and annotations of every image that is asked for; note what was left out."""
        several = self.options["classes"]["several"]
        left: dict[str, list[str]] = {"in_no_group": [], "in_several_groups": []}
        chosen = []
        for row in tables.mammograms:
            if row.view not in self.options["views"] or row.split not in self.options["splits"]:
                continue
            labels = self.groups_of(row)
            if len(labels) > 1 and several == "refuse":
                raise UserError(
                    f"{self.path / row.source}: its findings are in several groups of classes "
                    f"({', '.join(labels)}); set classes.several to first or leave_out"
                )
            if len(labels) != 1:
                left["in_several_groups" if labels else "in_no_group"].append(row.source)
            if len(labels) == 1 or (labels and several == "first"):
                chosen.append((labels[0], row))
        self._found = [(check, "", files) for check, files in (tables.found | left).items()]
        return chosen

    def records(self, image_size: int, seed: int) -> list[RawRecord]:
        procedural = self.standin
        tables = read_tables(self.path)
        chosen = self.selected(tables)
        files = {file.relative_to(self.path).as_posix() for file in self.path.glob("images/*/*.dicom")}
        self._found.append(("row_missing", "", sorted(files - tables.named)))
        if procedural:
            self._found.append(("procedural", "", [row.source for _, row in chosen]))
        records = []
        for label, row in chosen:
            if row.source not in files:
                self._found.append(("file_missing", label, [row.source]))
                continue
            records.append(
                RawRecord(
                    source=row.source,
                    label=label,
                    load=partial(load, self.path / row.source, row, self.options.get("flip_to"), self.options["crop"]),
                    patient_id=row.study,
                    extra={
                        "view": row.view,
                        "laterality": row.laterality,
                        "density": row.density,
                        "birads": str(row.birads),
                        "age": row.age,
                        "split": row.split,
                        "findings": "; ".join(row.findings),
                        "origin": "procedural stand-in" if procedural else "VinDr-Mammo",
                    },
                )
            )
        return records

    def findings(self) -> Iterable[tuple[str, str, list[str]]]:
        return self._found

    def download(self) -> tuple[str | None, int]:
        from radsynth.data.vindr_standin import standin_record

        wanted = self.options.get("standin")
        if wanted:
            return self._draw(standin_record(wanted["studies"], wanted["seed"], wanted["height"])), 0
        if self.standin:
            return None, 0
        site = physionet.Site(self.options["base_url"], self.path)
        fetched = site.fetch([vindr_tables.BREAST, vindr_tables.FINDINGS, vindr_tables.METADATA])
        images = [row.source for _, row in self.selected(read_tables(self.path))]
        fetched += site.fetch(images, skip_missing=self.options["skip_missing"])
        missing = sum(not (self.path / image).is_file() for image in images)
        return self.options["base_url"] if fetched else None, missing

    def _draw(self, record: dict) -> str | None:
        """Draw the stand-in unless it is there as asked; UserError rather than touching anything else."""
        from radsynth.data.vindr_standin import MARKER, write_standin

        marker = self.path / MARKER
        if marker.is_file():
            # The tables are written last.
            if read_json(marker) == record and (self.path / vindr_tables.METADATA).is_file():
                return None
            shutil.rmtree(self.path / "images", ignore_errors=True)
            for table in self.path.glob("*.csv"):
                table.unlink()
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise UserError(f"{self.path}: holds files that are no stand-in's; standin needs an empty folder")
        write_standin(self.path, record["studies"], record["seed"], record["height"])
        return record["what"]
