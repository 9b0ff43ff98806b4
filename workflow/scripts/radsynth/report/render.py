"""One table in Markdown, LaTeX (booktabs) and for spreadsheets, and how numbers and texts stand in it."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

UNDEFINED = "undefined"

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "†": r"$\dagger$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "≈": r"$\approx$",
    "Δ": r"$\Delta$",
}
LATEX |= {character: "\\" + character for character in "&%$#_{}"}

# What would be a cell's end, code, a tag, a link or an emphasis in Markdown.
MARKUP = re.compile(r"[\\`|*~@]|<(?=[A-Za-z/!?])|\](?=[(\[:])|:(?=//)|(?<=www)\.|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def mean_sd(mean: float, sd: float, digits: int = 3) -> str:
    """Return ``0.934 ± 0.011``; the SD is left out where it is undefined (a single run)."""
    if math.isnan(mean):
        return UNDEFINED
    return f"{mean:.{digits}f}".replace("-", "−") + ("" if math.isnan(sd) else f" ± {sd:.{digits}f}")


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, whole numbers plainly, an undefined one as an empty text."""
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if value == int(value) or abs(value) >= 10**digits else f"{value:.{digits}g}"


def signed(value: float, digits: int = 3) -> str:
    """Return a difference with its sign (zero is +0.000), an undefined one as an empty text."""
    return "" if math.isnan(value) else f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def limits(low: float, high: float, form: Callable[[float], str]) -> str:
    """Return ``low to high``, or an empty text where there is no interval."""
    return "" if math.isnan(low) or math.isnan(high) else f"{form(low)} to {form(high)}"


def plain(text: str) -> str:
    """Return a text, maybe somebody else's, as Markdown that shows it as it is, in one line."""
    return MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def for_spreadsheet(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table; a text that a spreadsheet would compute as a formula begins with an apostrophe."""
    return [{name: _no_formula(value) for name, value in row.items()} for row in table.to_dict("records")]


def _no_formula(value: Any) -> Any:
    if not (isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


@dataclass
class Cell:
    """A text that may be bold or italic."""

    text: str
    style: str = ""

    def markdown(self) -> str:
        mark = {"bold": "**", "italic": "*"}.get(self.style, "") if self.text else ""
        return mark + plain(self.text) + mark

    def latex(self) -> str:
        text = re.sub(r"[\\~^±−†↑↓≈Δ&%$#_{}]", lambda found: LATEX[found[0]], " ".join(self.text.split()))
        command = {"bold": r"\textbf", "italic": r"\textit"}.get(self.style)
        return f"{command}{{{text}}}" if command and text else text


@dataclass
class Section:
    """A titled table with a note below; the first ``n_text`` columns are text, the others are aligned right."""

    title: str
    header: list[str]
    rows: list[list[Cell | str]]
    note: str = ""
    n_text: int = 1
    cells: list[list[Cell]] = field(init=False)

    def __post_init__(self) -> None:
        self.cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]

    def markdown(self) -> str:
        align = ["---" if column < self.n_text else "---:" for column in range(len(self.header))]
        lines = [[Cell(name).markdown() for name in self.header], align]
        lines += [[cell.markdown() for cell in row] for row in self.cells]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {plain(self.title)}\n\n{table}\n" + (f"\n{plain(self.note)}\n" if self.note else "")

    def latex(self) -> str:
        align = "".join("l" if column < self.n_text else "r" for column in range(len(self.header)))
        body = [" & ".join(cell.latex() for cell in row) + r" \\" for row in self.cells]
        note = Cell(f"{self.title}. {self.note}".rstrip(". ") + ".").latex()
        lines = [
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{note}}}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            " & ".join(Cell(name).latex() for name in self.header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


Columns = dict[str, Callable[[pd.Series], Cell | str]]
# A title, the numbers, and the sections that show them.
Table = tuple[str, pd.DataFrame, list[Section]]


def section(title: str, rows: pd.DataFrame, columns: Columns, note: str, n_text: int) -> Section:
    """Return a section with one line per row; ``columns`` gives the text of each cell."""
    lines = [[column(row) for column in columns.values()] for _, row in rows.iterrows()]
    return Section(title, list(columns), lines, note, n_text)


def markdown(title: str, sections: Iterable[Section]) -> str:
    """Return a Markdown page."""
    parts = [section.markdown() for section in sections] or ["Nothing of this kind is in this study.\n"]
    return "\n".join([f"# {title}\n", *parts])


def latex(sections: Iterable[Section]) -> str:
    """Return LaTeX tables that need the package booktabs."""
    return "\n".join([r"% Needs \usepackage{booktabs}.", *(section.latex() for section in sections)])
