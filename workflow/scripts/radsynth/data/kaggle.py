"""Two published chest radiograph sets on Kaggle, downloaded with the user's own credentials or found in place."""

import re
import shutil
from pathlib import Path

from radsynth.common.errors import UserError
from radsynth.data.folder import Folder, find_root


class KaggleFolder(Folder):
    """Class folders that Kaggle hosts as the dataset ``slug``."""

    slug: str

    def how_to_get(self) -> str:
        return f"download https://www.kaggle.com/datasets/{self.slug} and unpack it there, or run the rule download"

    def download(self) -> str | None:
        if self.path.is_dir() and any(self.path.iterdir()):
            return None
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
        return f"https://www.kaggle.com/datasets/{self.slug}"


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

    def splits(self, root: Path) -> list[str]:
        """Return the splits to use: those asked for, else those that are there."""
        return self.options.get("splits") or [split for split in self.counts if (root / split).is_dir()]

    def root(self) -> Path:
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such folder; {self.how_to_get()}")
        root = find_root(self.path, list(self.counts))
        for split in self.splits(root) or ["train"]:
            if not (root / split).is_dir():
                raise UserError(f"{root / split}: no such folder (a split of kaggle_pneumonia); {self.how_to_get()}")
        return root

    def listed(self) -> list[tuple[Path, str, Path, dict[str, str]]]:
        root = self.root()
        return [
            (file, label, root / split, {"split": split, "subtype": self.subtype(file)})
            for label in self.labels
            for split in self.splits(root)
            for file in self.class_files(root / split / label, label)
        ]

    def subtype(self, file: Path) -> str:
        """Return the kind of pneumonia that a file name tells, empty if it tells none."""
        match = self.name.match(file.name)
        return (match["subtype"] if match else None) or ""

    def patient_id(self, file: Path) -> str:
        match = self.name.match(file.name)
        return (match["patient"] or match["normal"]) if match else ""

    def expected_counts(self) -> dict[str, int]:
        splits = self.options.get("splits") or list(self.counts)
        return {label: sum(self.counts[split].get(label, 0) for split in splits) for label in self.labels}
