"""What the numbers say, in words: the headlines and sections of all chapters."""

import pandas as pd

from radsynth.report.chapter import Chapter, chapters, load, tidy_tables
from radsynth.report.render import plain
from radsynth.report.tidy import TEXT, Metrics, Tidy, study_facts


def headline(metrics: Metrics) -> list[str]:
    """Return a line per chapter that has one: whether the first mix of real and synthetic images helps, and so on."""
    return [
        f"{name}:  {load(chapter.headline)(metrics)}" for name, chapter in chapters(metrics).items() if chapter.headline
    ]


def summary(metrics: Metrics) -> str:
    """Return summary.md."""
    known = tidy_tables()
    metrics = {name: _in_markdown(known[name], table) for name, table in metrics.items()}
    parts = [
        f"# {study_facts(metrics).get('study', 'Study')}: do the synthetic images help?\n",
        *(f"- {' '.join(line.split())}" for line in headline(metrics)),
        "",
    ]
    for part in ("opening", "sentences"):
        for chapter in chapters(metrics).values():
            parts += _lines(chapter, part, metrics)
    return "\n".join(parts) + "\n"


def _lines(chapter: Chapter, part: str, metrics: Metrics) -> list[str]:
    path = getattr(chapter, part)
    return load(path)(metrics) if path else []


def _in_markdown(tidy: Tidy, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its free texts as Markdown shows them."""
    return table.assign(**{column: table[column].map(plain) for column in tidy.of_kind(TEXT)})
