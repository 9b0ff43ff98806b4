"""A section of what `snakemake check` prints."""

from dataclasses import dataclass, field


@dataclass
class Part:
    """One section: its heading, its lines, what would stop the study (``mend``) and what calls for a look (``look``).

    ``mend`` and ``look`` are shown at the end of the report, not with the lines.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    mend: list[str] = field(default_factory=list)
    look: list[str] = field(default_factory=list)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in singular or plural, such as ``2 cohorts``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
