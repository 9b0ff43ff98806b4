"""The interface of all families. Free of torch: what planning asks of a family, it asks its class."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from radsynth.common.errors import UserError
from radsynth.common.files import read_json, write_json
from radsynth.common.models import model_hash
from radsynth.common.seeds import derive_seed
from radsynth.common.sets import GRAY, Batch, Conditions, ImageSet
from radsynth.learning.team import ALONE

Options = Mapping[str, Any]


class Generator:
    """A generative model of one family. Subclasses implement ``learn`` and ``draw`` (or ``sample``)."""

    # What is known without a model. The module of a family imports its framework inside methods.

    # Which keys of a condition it heeds; with ``label`` one model can serve several labels.
    accepts: frozenset[str] = frozenset()
    # What it makes: "image", or "image" and "mask".
    emits: frozenset[str] = frozenset({"image"})
    # Whether several processes can take its steps together, each on its part of a batch.
    data_parallel = False
    # Whether a training can begin from the weights of another model of the family.
    pretrainable = False
    # Packages whose versions a model's description names.
    libraries = ("numpy",)

    @classmethod
    def check(cls, options: Options, sampler: Options, size: int) -> None:
        """Raise UserError, beginning with ``options.`` or ``sampler.``, for what does not go with images of a size."""

    @classmethod
    def steps(cls, options: Options, size: int, n: int) -> tuple[int, int] | None:
        """Return the fewest steps after which there is a model to choose, and all steps of a training on n images.

        None if it is not trained step by step.
        """
        return None

    @classmethod
    def count_parameters(cls, options: Options, size: int) -> int:
        """Return about how many parameters are trained for images of a size, without building them; 0 if not known."""
        return 0

    @classmethod
    def check_count(cls, options: Options, n: int) -> None:
        """Raise UserError, beginning with ``options.``, if n training images are too few."""

    @classmethod
    def needs_weights(cls, options: Options) -> str | None:
        """Return the file of resources/weights.yaml that training needs, if any; ``weights`` says where it is."""
        return None

    # Where it was computed last; families that use a GPU set its name.
    device = "cpu"
    # The processes that train it together; see ``parallel``.
    team = ALONE

    def __init__(self, options: Options):
        self.options = dict(options)
        self.selection: Options = {"method": "last"}
        # The folder of the model that the training begins from, and the file that it needs, if any.
        self.start: Path | None = None
        self.weights: Path | None = None
        self.facts: dict[str, Any] = {}
        self.arrays: dict[str, np.ndarray] = {}

    # What a family implements.

    def learn(self, data: ImageSet, run_dir: Path, seed: int) -> None:
        """Learn from the data. What survives an interruption is kept below ``run_dir``.

        A family that is trained step by step keeps the models that ``self.selection`` asks for (see ``candidates``).
        """
        raise NotImplementedError

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of its images' channels: those of the images that it has learnt from, if it says no others."""
        return tuple(self.facts.get("data", {}).get("channels", GRAY))

    def draw(
        self, rng: np.random.Generator, condition: Mapping[str, Any]
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return one uint8 image (height, width, channels), or an image and its mask (height, width)."""
        raise NotImplementedError

    def sample(
        self,
        indices: Sequence[int],
        seed: int,
        conditions: Conditions | None = None,
        sampler: Options | None = None,
    ) -> Iterator[Batch]:
        """Yield the images ``indices`` of the pool that belongs to ``seed``.

        Image i depends on (seed, i, its condition, sampler) alone, so that a pool can be extended or split. There
        is one condition per index; None asks for nothing. ``sampler`` None is the family's quick default.
        """
        rows = [{}] * len(indices) if conditions is None else conditions.rows
        for index, condition in zip(indices, rows, strict=True):
            drawn = self.draw(image_rng(seed, index), condition)
            image, mask = drawn if isinstance(drawn, tuple) else (drawn, None)
            yield Batch([index], image[None], None if mask is None else mask[None], self.channels)

    def conditions(self, label: str, size: int, seed: int, kind: str = "fresh") -> Conditions:
        """Return what is asked of ``size`` images of a label; number i depends on (seed, i).

        ``fresh``: drawn from a distribution that was fitted to the training images. ``train``: what these are told to
        be, once more. Families that heed nothing but a label ask for that alone.
        """
        return Conditions.of_label(label, size)

    def check_conditions(self, rows: Sequence[Mapping[str, Any]], where: str) -> None:
        """Raise UserError, beginning with ``where``, if conditions ask for what no training image holds."""
        for key in {key for row in rows for key in row} - self.accepts - {"label"}:
            raise UserError(
                f"{where}: {key}, but {type(self).__name__} heeds {', '.join(sorted(self.accepts)) or 'none'}"
            )

    def losses(self, data: ImageSet, seed: int) -> np.ndarray:
        """Return k losses or scores of each image, (n, k): what attacks on the model read."""
        raise UserError(f"{type(self).__name__}: tells no losses of images, expected a family that does")

    def write(self, model_dir: Path) -> None:
        """Write what was learnt; here ``self.arrays``."""
        from safetensors.numpy import save_file

        arrays = {key: np.ascontiguousarray(array) for key, array in self.arrays.items()}
        save_file(arrays, model_dir / "model.safetensors")

    def write_rest(self, model_dir: Path) -> None:
        """Write what ``write`` leaves out and a training that begins from this model takes over, if there is such."""

    def read(self, model_dir: Path) -> None:
        """Read what ``write`` wrote, and ``write_rest`` if it did."""
        from safetensors.numpy import load_file

        self.arrays = load_file(model_dir / "model.safetensors")

    def measures(self) -> dict[str, Any]:
        """Return ``parameters`` and, if known, ``gflop_per_image`` (one forward pass)."""
        return {"parameters": sum(array.size for array in self.arrays.values())}

    # The same for all families.

    def fit(
        self,
        data: ImageSet,
        run_dir: str | Path,
        seed: int,
        selection: Options | None = None,
        start: str | Path | None = None,
    ) -> None:
        """Learn from ``data``; called again after an interruption, it goes on where it was.

        ``selection`` (of the configuration) says which models of the training are kept to choose from; none if None.
        ``start`` is the folder of a model of the family, whose weights the training begins from. UserError if the
        family cannot, or if its networks are others.
        """
        self.selection = selection or self.selection
        if start is not None and not self.pretrainable:
            raise UserError(
                f"pretrain_on: {type(self).__name__} begins from no other model, expected a family that does"
            )
        self.start = None if start is None else Path(start)
        if len(data.label_counts) > 1 and "label" not in self.accepts:
            raise UserError(
                f"per: all asks one {type(self).__name__} for {', '.join(data.label_counts)}, but the family is not "
                "conditional; expected per: label"
            )
        n, height, width, _ = data.images.shape
        about = {"sha256": data.sha256, "n": n, "labels": data.label_counts, "height": height, "width": width}
        self.facts = {"seed": seed, "data": about | {"channels": list(data.channels)}}
        if self.start is not None:
            known = read_json(self.start / "generator.json")["facts"]
            taken = {key: known[key] for key in ("pretrained_on", "data") if key in known}
            self.facts["start"] = taken | {"sha256": model_hash(self.start)}
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
