"""All tidy tables of a study from the files of its jobs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from radsynth.report.arms import Arms
from radsynth.report.chapter import chapters, load
from radsynth.report.evaluations import Evaluation, read_evaluations
from radsynth.report.tidy import Row, task_of
from radsynth.tasks.task import Task

T = TypeVar("T")


@dataclass(frozen=True)
class Given:
    """What the chapters make their rows from.

    ``files`` names the files below the folder ``results`` by kind: integrity, summaries, quality, fidelity, attacks,
    evaluations, models, pretrained (what these began from), pools, trainings, benchmarks. ``study`` are the facts of
    the study (``Study.facts``).
    """

    files: Mapping[str, Iterable[str]]
    results: str
    study: Mapping[str, Any]
    _made: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False)

    # The imports below need SciPy, which chapters must not when Snakemake plans.

    @cached_property
    def measured(self) -> list[Evaluation]:
        """The evaluations of the classifiers, with numbers for image and patient ids."""
        from radsynth.report.predictions import renumbered

        read = [found for path in self.files["evaluations"] for found in read_evaluations(path, self.results)]
        return renumbered(read, self.study["seed"])

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """The same, and those of the baseline with corrected outputs."""
        from radsynth.report.correction import corrected_evaluations

        return self.measured + corrected_evaluations(self.measured)

    @cached_property
    def arms(self) -> Arms:
        """What is compared with what."""
        return Arms.of(self.study)

    @property
    def task(self) -> Task:
        """What the classifiers predict."""
        return task_of(self.study)

    def once(self, make: Callable[["Given"], T]) -> T:
        """Return ``make(given)``, which is made once: for what several chapters need."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]


def metric_tables(files: Mapping[str, Iterable[str]], results: str, study: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Return the rows of every tidy table of all chapters, for the arguments of ``Given``."""
    given = Given(files, results, study)
    return {name: rows for chapter in chapters().values() for name, rows in load(chapter.rows)(given).items()}
