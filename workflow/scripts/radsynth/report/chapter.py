"""The chapters of a report, one for each question: what a chapter is, and the list of all of them.

A chapter owns tidy tables and everything that is drawn from them or said about them. To add one, write a module with a
``Chapter`` and name it in ``CHAPTERS``. It is read whenever Snakemake plans, so it says where things are and imports
neither Matplotlib nor SciPy nor a framework; what it names may.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from radsynth.report.tidy import Metrics, Tidy, read_tidy

# In the order in which tables and sections stand. Each is module:object.
CHAPTERS = {
    "utility": "radsynth.report.utility:CHAPTER",
    "realism": "radsynth.report.realism:CHAPTER",
    "copying": "radsynth.report.copying:CHAPTER",
    "basis": "radsynth.report.basis:CHAPTER",
    "costs": "radsynth.report.costs:CHAPTER",
}


@dataclass(frozen=True)
class Chapter:
    """One question of the report. All but ``metrics`` is named as module:function, so that nothing is imported early.

    ``metrics`` are its tidy tables by name. ``rows(given)`` makes their rows: {name: rows}, from ``given.Given``. From
    the metrics of a study, which may be those of an archive, ``tables`` make a ``render.Table`` each, ``figures`` a
    Matplotlib figure; each needs its caption in workflow/report/NAME.rst. In the summary ``headline`` gives one line,
    ``opening`` the lines that stand before all sections, and ``sentences`` those of its own sections with their
    headings.

    An archive must hold the tidy tables of a chapter, unless the chapter is ``later`` than some archives: where one has
    none of them, it is drawn without the chapter.
    """

    metrics: Mapping[str, Tidy]
    rows: str
    tables: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    headline: str = ""
    opening: str = ""
    sentences: str = ""
    later: bool = False


def functions(module: str, *names: str) -> dict[str, str]:
    """Return where the tables or figures are that a module draws with a function of the same name."""
    return {name: f"{module}:{name}" for name in names}


def load(path: str) -> Any:
    """Import a module and return its object: ``module:object``."""
    module, name = path.split(":")
    return getattr(import_module(module), name)


def chapters(told: Collection[str] | None = None) -> dict[str, Chapter]:
    """Return the chapters by name, in order; with ``told`` those whose tidy tables that are drawn from are among it."""
    found = {name: load(path) for name, path in CHAPTERS.items()}
    if told is None:
        return found
    return {
        name: chapter
        for name, chapter in found.items()
        if all(table in told for table, tidy in chapter.metrics.items() if tidy.drawn)
    }


def tidy_tables(told: Collection[str] | None = None) -> dict[str, Tidy]:
    """Return all tidy tables by name."""
    return {name: tidy for chapter in chapters(told).values() for name, tidy in chapter.metrics.items()}


def tables(told: Collection[str] | None = None) -> dict[str, str]:
    """Return by name where each table is drawn."""
    return {name: path for chapter in chapters(told).values() for name, path in chapter.tables.items()}


def figures(told: Collection[str] | None = None) -> dict[str, str]:
    """Return by name where each figure is drawn."""
    return {name: path for chapter in chapters(told).values() for name, path in chapter.figures.items()}


def modules(*kinds: str) -> list[str]:
    """Return the modules that the hash of a rule's code takes in: of all chapters, and behind what some fields name.

    ``kinds`` are these fields of ``Chapter``, such as ``rows`` or ``figures``.
    """
    paths = [*CHAPTERS.values(), *(path for chapter in chapters().values() for path in _named(chapter, kinds))]
    return list(dict.fromkeys(path.split(":")[0] for path in paths))


def _named(chapter: Chapter, kinds: Collection[str]) -> Iterator[str]:
    for kind in kinds:
        named = getattr(chapter, kind)
        yield from filter(None, [named] if isinstance(named, str) else named.values())


def read_metrics(files: Mapping[str, str | Path]) -> Metrics:
    """Return the tidy tables by name, as ``tidy.read_tidy`` reads each. ``files`` gives their paths."""
    known = tidy_tables()
    return {name: read_tidy(name, known[name], Path(path)) for name, path in files.items()}
