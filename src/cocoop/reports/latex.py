"""Tables as LaTeX; whatever a name holds, it is spelled out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cocoop.escapes import visible
from cocoop.reports.cells import Cell, Table
from cocoop.reports.layout import is_average
from cocoop.reports.rounding import shown, word_columns

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    # At the start of a row they would belong to the \\ of the row before.
    "[": "{[}",
    "*": "{*}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}


def latex_escape(text: str) -> str:
    """Spell out every character that LaTeX takes for a command."""
    return "".join(_LATEX.get(sign, sign) for sign in visible(text.replace("\n", " ")))


def latex_tables(tables: Sequence[Table]) -> str:
    """Floats with booktabs rules, and the notes below each table."""
    return '% Needs \\usepackage{booktabs} and, for |<>", \\usepackage[T1]{fontenc}.\n' + "\n\n".join(
        map(_one_latex, tables)
    )


def latex_cautions(cautions: Sequence[str]) -> str:
    """Comments, which no document prints."""
    return "".join(f"% warning: {visible(line.replace(chr(10), ' '))}\n" for line in cautions)


def _one_latex(table: Table) -> str:
    def cell_text(cell: Cell) -> str:
        if cell is None:
            return "--"
        if isinstance(cell, str):
            return latex_escape(cell)
        number = shown(cell, table.spread, plus_minus=r"\pm").replace(",", "{,}")
        return f"${number}$"

    rows = [" & ".join(map(cell_text, row)) + r" \\" for row in table.rows]
    aligned = "".join("l" if to_left else "r" for to_left in word_columns(table))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_escape(table.title)}}}",
            rf"\begin{{tabular}}{{{aligned}}}",
            r"\toprule",
            " & ".join(map(latex_escape, table.header)) + r" \\",
            r"\midrule",
            *(line for gap, row in zip(_latex_gaps(table), rows, strict=True) for line in (*gap, row)),
            r"\bottomrule",
            r"\end{tabular}",
            *_latex_notes(table),
            r"\end{table}",
        ]
    )


def _latex_gaps(table: Table) -> Iterable[tuple[str, ...]]:
    """What stands before each row: a rule before the averages, as in the papers, and room between data sets."""
    names = [str(row[0]) for row in table.rows]
    several = len(set(names)) < len(names)  # rows of one data set
    averages = next((i for i, name in enumerate(names) if is_average(name)), len(names))
    for i, name in enumerate(names):
        if i and i == averages:
            yield (r"\midrule",)
        else:
            yield (r"\addlinespace",) if several and 0 < i < averages and name != names[i - 1] else ()


def _latex_notes(table: Table) -> list[str]:
    if not table.notes:
        return []
    spelled = [latex_escape(note).replace("+-", r"$\pm$") for note in table.notes]
    # The note on missing figures begins with their sign, which is "--" in a LaTeX table.
    text = " ".join(f"-{note}" if note.startswith("-:") else note for note in spelled)
    return [r"\par\smallskip", rf"{{\footnotesize\raggedright {text}\par}}"]
