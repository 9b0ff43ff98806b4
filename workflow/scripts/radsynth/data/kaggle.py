"""Two published chest radiograph sets on Kaggle, downloaded with the user's own credentials or found in place."""

import re
import shutil
from collections.abc import Sequence
from functools import cached_property

from radsynth.common.errors import UserError
from radsynth.data.folder import Folder
from radsynth.data.layout import Layout, Listed
from radsynth.data.listing import printable


class KaggleFolder(Folder):
    """Class folders that Kaggle hosts as the dataset ``slug``."""

    slug: str

    def how_to_get(self) -> str:
        return f"download https://www.kaggle.com/datasets/{self.slug} and unpack it there, or run the rule download"

    def download(self) -> tuple[str | None, int]:
        if self.path.is_dir() and any(self.path.iterdir()):
            return None, 0
        import kagglehub

        # Fetched beside it and moved, so that an interrupted download is not taken for the whole set.
        partial = self.path.with_name(f".{self.path.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            kagglehub.dataset_download(self.slug, output_dir=str(partial))
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{self.path}: Kaggle's {self.slug} could not be downloaded ({type(error).__name__}: {reason}); set "
                f"KAGGLE_API_TOKEN or ~/.kaggle/kaggle.json, or {self.how_to_get()}"
            ) from None
        if self.path.is_dir():
            self.path.rmdir()
        partial.replace(self.path)
        return f"https://www.kaggle.com/datasets/{self.slug}", 0


class KaggleCxr(KaggleFolder):
    """COVID-19, pneumonia and normal chest radiographs: the set of Khazrak et al. 2025; patients are not known."""

    slug = "sachinkumar413/covid-pneumonia-normal-chest-xray-images"
    counts = {"NORMAL": 1802, "PNEUMONIA": 1800, "COVID": 1626}

    def expected_counts(self) -> dict[str, int]:
        return {label: self.counts[label] for label in self.labels if label in self.counts}


class KagglePneumonia(KaggleFolder):
    """Paediatric chest radiographs of Kermany, Zhang and Goldbaum 2018 (doi 10.17632/rscbjbr9sj), CC BY 4.0.

    Patients and the kind of pneumonia are read from the file names; the published split is kept as a column.
    """

    slug = "paultimothymooney/chest-xray-pneumonia"
    columns = ("split", "subtype")
    counts = {
        "train": {"NORMAL": 1341, "PNEUMONIA": 3875},
        "val": {"NORMAL": 8, "PNEUMONIA": 8},
        "test": {"NORMAL": 234, "PNEUMONIA": 390},
    }
    #: person12_bacteria_3.jpeg, IM-0115-0001.jpeg, NORMAL2-IM-0095-0001-0002.jpeg
    name = re.compile(r"(?P<patient>person\d+)_(?P<subtype>bacteria|virus)_|(?P<normal>(?:NORMAL2-)?IM-\d+)-")

    @cached_property
    def layout(self) -> Layout:
        layout, asked = super().layout, self.options.get("splits")
        for split in asked or ["train"]:
            if not any(image.split == split for image in layout.images):
                raise UserError(
                    f"{self.path}: no image in a folder {split} (a split of kaggle_pneumonia); {self.how_to_get()}"
                )
        for image in layout.images:
            if asked and image.split not in asked:
                layout.leave("excluded", image.entry, image.label)
                layout.left["excluded", image.label] += [printable(mask.name) for mask in image.masks]
                layout.n_masks -= len(image.masks)
        layout.images = [image for image in layout.images if not asked or image.split in asked]
        return layout

    def extra(self, image: Listed) -> dict[str, str]:
        match = self.name.match(image.below[-1])
        return {"split": image.split, "subtype": (match["subtype"] if match else None) or ""}

    def patient_ids(self, images: Sequence[Listed]) -> list[str]:
        matches = [self.name.match(image.below[-1]) for image in images]
        return [(match["patient"] or match["normal"]) if match else "" for match in matches]

    def expected_counts(self) -> dict[str, int]:
        splits = self.options.get("splits") or list(self.counts)
        return {label: sum(self.counts[split].get(label, 0) for split in splits) for label in self.labels}
