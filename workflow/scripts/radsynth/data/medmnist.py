"""PneumoniaMNIST and BreastMNIST (MedMNIST v2, Yang et al. 2023, doi 10.1038/s41597-022-01721-8), CC BY 4.0."""

import hashlib
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from PIL import Image

from radsynth.common.arrays import read_arrays
from radsynth.common.errors import UserError
from radsynth.data.source import RawImage, RawRecord, Source

SPLITS = ("train", "val", "test")

#: MD5 by side in pixels, as the medmnist package publishes them (medmnist/info.py, version 3).
CHECKSUMS = {
    "pneumoniamnist": {
        28: "28209eda62fecd6e6a2d98b1501bb15f",
        64: "8f4eceb4ccffa70c672198ea285246c6",
        128: "05b46931834c231683c68f40c47b2971",
        224: "d6a3c71de1b945ea11211b03746c1fe1",
    },
    "breastmnist": {
        28: "750601b1f35ba3300ea97c75c52ff8f6",
        64: "742edef2a1fd1524b2efff4bd7ba9364",
        128: "363e4b3f8d712e9b5de15470a2aaadf1",
        224: "b56378a6eefa9fed602bb16d192d4c8b",
    },
}
#: Images by class index, all splits together.
COUNTS = {"pneumoniamnist": {0: 1583, 1: 4273}, "breastmnist": {0: 210, 1: 570}}
CLASSES = {"pneumoniamnist": {"NORMAL": 0, "PNEUMONIA": 1}, "breastmnist": {"MALIGNANT": 0, "BENIGN": 1}}


def load(images: np.ndarray, index: int) -> RawImage:
    """Return one image of an array (n, height, width)."""
    return RawImage(Image.fromarray(images[index]))


class MedMnist(Source):
    """One npz file with the images of the splits train, val and test; patients are not known."""

    columns = ("split",)

    @cached_property
    def classes(self) -> dict[str, int]:
        """The class index of each label."""
        name = self.options["name"]
        classes = self.options.get("classes") or CLASSES[name]
        for label in self.labels:
            if classes.get(label) not in COUNTS[name]:
                raise UserError(f"datasets: no class index of {name} for label {label}; classes gives {dict(classes)}")
        return {label: classes[label] for label in self.labels}

    @property
    def file(self) -> Path:
        """The npz file: ``path`` itself, or the file of the published name in it."""
        if self.path.suffix == ".npz":
            return self.path
        return self.path / self.published_name

    @property
    def published_name(self) -> str:
        """The file's name where it is published."""
        size = self.options["size"]
        return self.options["name"] + ("" if size == 28 else f"_{size}") + ".npz"

    @property
    def checksum(self) -> str:
        """The published MD5."""
        return CHECKSUMS[self.options["name"]][self.options["size"]]

    def download(self) -> tuple[str | None, int]:
        import pooch

        if self.file.is_file():
            return None, 0
        url = f"{self.options['base_url']}/{self.published_name}"
        try:
            pooch.retrieve(url, known_hash=f"md5:{self.checksum}", fname=self.file.name, path=self.file.parent)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self.file}: {url} could not be downloaded ({type(error).__name__}: {reason})") from None
        return url, 0

    def _arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the file after checking what they are."""
        size = self.options["size"]
        if not self.file.is_file():
            raise UserError(
                f"{self.file}: no such file; run the rule download, "
                f"or fetch {self.options['base_url']}/{self.published_name}"
            )
        if self.options["verify"]:
            with open(self.file, "rb") as stream:
                found = hashlib.file_digest(stream, "md5").hexdigest()
            if found != self.checksum:
                raise UserError(
                    f"{self.file}: MD5 is {found}, the published file's is {self.checksum}; "
                    "delete it and fetch it again, or set verify: false"
                )
        arrays = read_arrays(self.file)
        for split in SPLITS:
            images, labels = arrays.get(f"{split}_images"), arrays.get(f"{split}_labels")
            if images is None or labels is None or images.shape != (labels.shape[0], size, size):
                found = None if images is None else images.shape
                raise UserError(
                    f"{self.file}: {split}_images is {found}, expected (n, {size}, {size}) and as many labels"
                )
        return arrays

    def records(self, image_size: int, seed: int) -> list[RawRecord]:
        classes, arrays = self.classes, self._arrays()
        records = []
        for label, index in classes.items():
            for split in SPLITS:
                images = arrays[f"{split}_images"]
                records += [
                    RawRecord(
                        source=f"{self.file.stem}/{split}/{position:05d}",
                        label=label,
                        load=partial(load, images, position),
                        extra={"split": split},
                    )
                    for position in np.flatnonzero(arrays[f"{split}_labels"].reshape(-1) == index).tolist()
                ]
        if missing := set(self.labels) - {record.label for record in records}:
            raise UserError(f"{self.file}: no image of label {sorted(missing)[0]}")
        return records

    def expected_counts(self) -> dict[str, int]:
        return {label: COUNTS[self.options["name"]][index] for label, index in self.classes.items()}
