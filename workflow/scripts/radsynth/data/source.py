"""What a data source is: something that lists raw images with their labels, and may know how to fetch them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from radsynth.common.errors import UserError
from radsynth.common.registry import find
from radsynth.common.schema import read_schema


@dataclass(frozen=True)
class Box:
    """What an annotator framed, in pixels of the raw image (origin top left, edges of pixels), and its categories."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    categories: tuple[str, ...] = ()


#: What preparing checks in the boxes of an image.
BOX_CHECKS = {"box_cropped": "box clipped to the prepared image, or dropped if less than a tenth of it is left"}


@dataclass(frozen=True)
class RawImage:
    """One opened raw image, and what preparing it must know.

    ``mask`` is a label map (0 background, 1 organ, 2 lesion) of the image's size, or None. ``crop`` (left, upper,
    right, lower) is the part that is cut out, ``mirror`` whether that is then turned left to right; mask and boxes
    go the same way. ``notes`` are names of integrity checks that the image failed.
    """

    image: Image.Image
    mask: Image.Image | None = None
    boxes: tuple[Box, ...] = ()
    crop: tuple[int, int, int, int] | None = None
    mirror: bool = False
    notes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class RawRecord:
    """One raw image, not yet read.

    ``source`` is its name relative to the dataset's path, unique within the dataset; ``load`` opens it. ``extra`` holds
    one value for each of the source's own manifest columns, except ``boxes``, which preparing fills in.
    """

    source: str
    label: str
    load: Callable[[], RawImage]
    patient_id: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


class Source:
    """Base of all sources; ``options`` is the dataset's entry of the configuration with the schema's defaults."""

    #: The source's own columns of the manifest. ``boxes`` among them: images come with boxes.
    columns: tuple[str, ...] = ()
    #: The source's own integrity checks, and what is done about what they find.
    checks: Mapping[str, str] = {}

    def __init__(self, options: Mapping[str, Any], labels: Sequence[str]):
        self.options = options
        self.labels = list(labels)

    @property
    def path(self) -> Path:
        """The folder (or file) that holds the raw data."""
        if not self.options.get("path"):
            raise UserError(f"datasets: source {self.options['source']} needs the key path, where its raw files are")
        return Path(self.options["path"]).expanduser()

    @classmethod
    def check(cls, dataset: Mapping[str, Any], labels: Sequence[str], where: str) -> None:
        """Raise UserError, beginning with the key ``where``, for options of a dataset that do not go together.

        Called when a study is planned, with the entry of the configuration; reads no image.
        """

    @classmethod
    def configured_counts(cls, dataset: Mapping[str, Any]) -> dict[str, int] | None:
        """Return how many images of each label the entry of the configuration itself asks for; None if it does not."""
        return None

    def records(self, image_size: int, seed: int) -> list[RawRecord]:
        """Return all raw images in a stable order; UserError if something that was asked for is not there.

        ``image_size`` (pixels) and ``seed`` (the dataset's own) matter to sources that make their images.
        """
        raise NotImplementedError

    def findings(self) -> Iterable[tuple[str, str, list[str]]]:
        """Return check, label and raw names for all that ``records`` has found in the source's own tables."""
        return ()

    def remarks(self) -> dict[str, str]:
        """Return, for checks whose numbers only ``records`` knows, what was done about what they found."""
        return {}

    def expected_counts(self) -> dict[str, int] | None:
        """Return how many images of each label the complete source holds, or None if that is not known."""
        return None

    def download(self) -> tuple[str | None, int]:
        """Fetch what is missing into ``path``.

        Return where it came from, None if nothing was fetched, and how many files are still missing, which only a
        source with ``skip_missing`` lets pass. UserError if the files are not there and cannot be fetched.
        """
        return None, 0


def load_source(dataset: Mapping[str, Any], labels: Sequence[str]) -> Source:
    """Return the source that ``dataset`` (its entry of the configuration) names; missing options get their defaults."""
    name = dataset["source"]
    source = find("sources", name, "datasets").load()
    properties = read_schema("sources")[name]["properties"]
    defaults = {key: schema["default"] for key, schema in properties.items() if "default" in schema}
    return source({**defaults, **dataset}, labels)
