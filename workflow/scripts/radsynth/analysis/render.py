"""One table in Markdown and LaTeX (booktabs)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "†": r"$\dagger$",
}
LATEX |= {character: "\\" + character for character in "&%$#_{}"}


@dataclass
class Cell:
    """A text that may be bold or italic."""

    text: str
    style: str = ""

    def markdown(self) -> str:
        mark = {"bold": "**", "italic": "*"}.get(self.style, "") if self.text else ""
        return mark + self.text.replace("|", r"\|") + mark

    def latex(self) -> str:
        text = re.sub(r"[\\~^±−†&%$#_{}]", lambda found: LATEX[found[0]], self.text)
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
        return f"## {self.title}\n\n{table}\n" + (f"\n{self.note}\n" if self.note else "")

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


def markdown(title: str, sections: Iterable[Section]) -> str:
    """Return a Markdown page."""
    return "\n".join([f"# {title}\n", *(section.markdown() for section in sections)])


def latex(sections: Iterable[Section]) -> str:
    """Return LaTeX tables that need the package booktabs."""
    return "\n".join([r"% Needs \usepackage{booktabs}.", *(section.latex() for section in sections)])
