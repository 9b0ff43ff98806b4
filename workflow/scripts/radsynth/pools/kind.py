"""What all kinds of pools share: what one needs, what it is given, and the interface.

Whatever plans a study imports it: nothing here may lead to torch, not even for types.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from radsynth.common.sets import Batch, Conditions


class Needs(NamedTuple):
    """What a pool is made with, by the names of the configuration: what it has seen follows from it.

    ``models``: generators. ``pools``: its parents, of the same label. ``classifiers``: those that choose or guide its
    images, each of run 1 on ``baseline`` in the pool's cohort. ``datasets``: those of ``role: pools``. ``files``: paths
    of the user's own.
    """

    models: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    classifiers: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """What a pool's ``draw`` is given, by the names that it needs.

    ``entry``: its options of the configuration. ``labels``: those of the study, in the order of a classifier's outputs.
    ``models``: loaded generators, and ``samplers``, the settings of each. ``pools`` and ``datasets``: the manifests,
    whose files lie beside them. ``classifiers``: trained learners, ready to predict. ``files``: the paths. ``hash``: of
    all that, in one.
    """

    entry: Mapping[str, Any]
    labels: Sequence[str] = ()
    models: Mapping[str, Any] = field(default_factory=dict)
    samplers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pools: Mapping[str, Path] = field(default_factory=dict)
    classifiers: Mapping[str, Any] = field(default_factory=dict)
    datasets: Mapping[str, Path] = field(default_factory=dict)
    files: Sequence[Path] = ()
    hash: str = ""


class PoolKind:
    """One way to make a pool. What a module of one imports at its top, planning imports: no framework.

    Its own options are in workflow/schemas/pools/KIND.schema.yaml; ``entry`` is a pool of the configuration with all
    of them, as every function here is given it.
    """

    # Where images were computed last; kinds that use a GPU set its name.
    device = "cpu"

    @staticmethod
    def needs(entry: Mapping[str, Any]) -> Needs:
        """Return all that the pool is made with; what is not named here is not given to ``draw``."""
        raise NotImplementedError

    @staticmethod
    def check(entry: Mapping[str, Any], where: str) -> None:
        """Raise UserError, beginning with the key ``where``, for options that do not go together."""

    @staticmethod
    def most(entry: Mapping[str, Any], sizes: Mapping[str, int]) -> int | None:
        """Return how many images of a label its parents of these sizes can give; None if there is no limit."""
        return sum(sizes.values()) if sizes else None

    def conditions(self, given: Given, label: str, size: int, seed: int) -> Conditions:
        """Return what is asked of each image of a pool of a label: that label alone, if the kind asks for no more.

        Number i must not depend on how many are asked for.
        """
        return Conditions.of_label(label, size)

    def draw(self, given: Given, indices: Sequence[int], conditions: Conditions, seed: int) -> Iterator[Batch]:
        """Yield the images ``indices`` of the pool that belongs to ``seed``, in any order, each once.

        There is one condition per index. An interrupted job asks for what is missing
        alone: an image must not depend on which others are asked for.
        """
        raise NotImplementedError
