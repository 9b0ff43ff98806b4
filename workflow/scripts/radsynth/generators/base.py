"""What all families share: the training set, batches of samples, and the interface."""

import platform
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from radsynth.common.errors import UserError
from radsynth.common.files import read_json, write_json
from radsynth.common.hashing import sha256_json, sha256_pixels
from radsynth.common.images import read_gray_stack
from radsynth.common.seeds import derive_seed
from radsynth.common.tables import read_table
from radsynth.learning.team import ALONE

# Columns of a data manifest that say where an image is, not what it shows.
_BOOKKEEPING = [
    *("image_id", "file", "mask_file", "mask_sha256", "patient_id", "source", "sha256", "near_duplicate_group", "rank"),
]


@dataclass(frozen=True)
class TrainingSet:
    """The images a generator learns from.

    ``images``: uint8 (n, height, width). ``attributes``: for each image its ``label`` and the source's own columns
    (view, subtype ...). ``masks``: uint8 label maps (n, height, width), or None if not every image has one.
    """

    images: np.ndarray
    attributes: list[dict[str, str]]
    masks: np.ndarray | None = None

    @classmethod
    def from_manifest(
        cls, train_csv: str | Path, root: str | Path, labels: Sequence[str], withheld: Collection[str] = ()
    ) -> "TrainingSet":
        """Read the images of ``labels`` that a cohort's train.csv lists, but not those with the ids ``withheld``.

        Its files are relative to ``root``.
        """
        rows = read_table(train_csv)
        rows = rows[rows["label"].isin(labels) & ~rows["image_id"].isin(withheld)]
        if missing := [label for label in labels if label not in set(rows["label"])]:
            raise UserError(f"{train_csv}: no training image of {', '.join(missing)}")
        images = read_gray_stack(root, rows)
        masks = None
        if (rows["mask_file"] != "").all():
            masks = read_gray_stack(root, rows.assign(file=rows["mask_file"], sha256=rows["mask_sha256"]))
        attributes = rows.drop(columns=_BOOKKEEPING, errors="ignore").to_dict("records")
        return cls(images, attributes, masks)

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def labels(self) -> np.ndarray:
        """The label of each image."""
        return np.array([attributes["label"] for attributes in self.attributes])

    @cached_property
    def label_counts(self) -> dict[str, int]:
        """The number of images of each label, in order of first appearance."""
        return dict(Counter(self.labels.tolist()))

    @cached_property
    def sha256(self) -> str:
        """Hash of images, masks and attributes, in order."""
        masks = "" if self.masks is None else sha256_pixels(self.masks)
        return sha256_json([list(self.images.shape), sha256_pixels(self.images), masks, self.attributes])


class Batch(NamedTuple):
    """Samples: ``images`` uint8 (n, height, width), and ``masks`` of the same shape from families that make them."""

    indices: Sequence[int]
    images: np.ndarray
    masks: np.ndarray | None = None


class Generator:
    """A generative model of one family. Subclasses implement ``learn`` and ``draw`` (or ``sample``)."""

    # Whether one model can serve several labels, told apart by the condition.
    conditional = False
    # Packages whose versions a model's description names.
    libraries = ("numpy",)
    # Where it was computed last; families that use a GPU set its name.
    device = "cpu"
    # The processes that train it together; see ``parallel``.
    team = ALONE

    def __init__(self, options: Mapping[str, Any]):
        self.options = dict(options)
        self.selection: Mapping[str, Any] = {"method": "last"}
        self.facts: dict[str, Any] = {}
        self.arrays: dict[str, np.ndarray] = {}

    # What a family implements.

    def learn(self, data: TrainingSet, run_dir: Path, seed: int) -> None:
        """Learn from the data. What survives an interruption is kept below ``run_dir``.

        A family that is trained step by step keeps the models that ``self.selection`` asks for (see ``candidates``).
        """
        raise NotImplementedError

    def draw(
        self, rng: np.random.Generator, condition: Mapping[str, str]
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return one uint8 image (height, width), or an image and its mask."""
        raise NotImplementedError

    def sample(
        self,
        indices: Sequence[int],
        seed: int,
        conditions: Sequence[Mapping[str, str]] | None = None,
        sampler: Mapping[str, Any] | None = None,
    ) -> Iterator[Batch]:
        """Yield the images ``indices`` of the pool that belongs to ``seed``.

        Image i depends on (seed, i, its condition, sampler) alone, so that a pool can be extended or split. There
        is one condition per index, such as ``{"label": "NORMAL"}``. ``sampler`` None is the family's quick default.
        """
        conditions = conditions or [{}] * len(indices)
        for index, condition in zip(indices, conditions, strict=True):
            drawn = self.draw(image_rng(seed, index), condition)
            image, mask = drawn if isinstance(drawn, tuple) else (drawn, None)
            yield Batch([index], image[None], None if mask is None else mask[None])

    def write(self, model_dir: Path) -> None:
        """Write what was learnt; here ``self.arrays``."""
        from safetensors.numpy import save_file

        arrays = {key: np.ascontiguousarray(array) for key, array in self.arrays.items()}
        save_file(arrays, model_dir / "model.safetensors")

    def read(self, model_dir: Path) -> None:
        """Read what ``write`` wrote."""
        from safetensors.numpy import load_file

        self.arrays = load_file(model_dir / "model.safetensors")

    def measures(self) -> dict[str, Any]:
        """Return ``parameters`` and, if known, ``gflop_per_image`` (one forward pass)."""
        return {"parameters": sum(array.size for array in self.arrays.values())}

    # The same for all families.

    def fit(
        self, data: TrainingSet, run_dir: str | Path, seed: int, selection: Mapping[str, Any] | None = None
    ) -> None:
        """Learn from ``data``; called again after an interruption, it goes on where it was.

        ``selection`` (of the configuration) says which models of the training are kept to choose from; none if None.
        """
        self.selection = selection or self.selection
        if len(data.label_counts) > 1 and not self.conditional:
            raise UserError(
                f"per: all asks one {type(self).__name__} for {', '.join(data.label_counts)}, but the family is not "
                "conditional; expected per: label"
            )
        count, height, width = data.images.shape
        self.facts = {
            "seed": seed,
            "data": {"sha256": data.sha256, "n": count, "labels": data.label_counts, "height": height, "width": width},
        }
        self.learn(data, Path(run_dir), seed)

    def save(self, model_dir: str | Path) -> None:
        """Write the model to a directory: what ``write`` writes, and generator.json (options and training facts).

        File by file: who needs it whole or not at all hands in an ``atomic_folder``.
        """
        model_dir = Path(model_dir)
        model_dir.mkdir(parents=True, exist_ok=True)
        self.write(model_dir)
        write_json(model_dir / "generator.json", {"options": self.options, "facts": self.facts})

    @classmethod
    def load(cls, model_dir: str | Path) -> "Generator":
        """Return the model that ``save`` wrote."""
        model_dir = Path(model_dir)
        if not (model_dir / "generator.json").is_file():
            raise UserError(f"{model_dir}: no generator.json, expected a trained model")
        saved = read_json(model_dir / "generator.json")
        generator = cls(saved["options"])
        generator.facts = saved["facts"]
        try:
            generator.read(model_dir)
        except Exception as error:  # of many kinds, depending on the family and the bytes that are wrong
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{model_dir}: the model cannot be read ({type(error).__name__}: {reason})") from error
        return generator

    def describe(self) -> dict[str, Any]:
        """Return parameters, GFLOP per image, data hash, options, seed, device and versions."""
        return {
            "family": type(self).__name__,
            **self.measures(),
            **self.facts,
            "options": self.options,
            "device": self.device,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in self.libraries}},
        }


def image_rng(seed: int, index: int) -> np.random.Generator:
    """Return the random generator of one image of a pool."""
    return np.random.default_rng(derive_seed(seed, "image", index))
