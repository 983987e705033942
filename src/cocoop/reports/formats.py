"""Tables written out: for people (text, Markdown, LaTeX, HTML) rounded, for machines (CSV, JSON) not."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from cocoop.errors import expect_choice
from cocoop.reports.cells import Cell, Difference, Published, Rate, Table
from cocoop.reports.tables import text_table

MISSING = "-"


def format_table(table: Table, form: str) -> str:
    """Write one table as text of a format in `FORMATS`. `InputError` for any other."""
    return format_tables([table], form)


def format_tables(tables: Sequence[Table], form: str) -> str:
    """Write tables one after the other; CSV and JSON are one document, with a column or key "table" for the titles.

    Raises:
        InputError: a format that is not in `FORMATS`.
    """
    expect_choice("format", form, FORMATS)
    return FORMATS[form](tables)


def shown(cell: Cell, spread: str = "std", plus_minus: str = "+-", minus: str = "-") -> str:
    """A cell as people read it: two decimals, the spread behind the mean, a sign before a difference."""
    if cell is None:
        return MISSING
    if isinstance(cell, Rate):
        beside = cell.std if spread == "std" else cell.ci95
        return f"{cell.mean:.2f}" if beside is None else f"{cell.mean:.2f} {plus_minus} {beside:.2f}"
    if isinstance(cell, Published):
        return f"{cell.value:.2f}"
    if isinstance(cell, Difference):
        return f"{cell.value:+.2f}".replace("-", minus)
    return f"{cell:,}" if isinstance(cell, int) else cell


def _texts(table: Table, **signs: str) -> list[list[str]]:
    return [[shown(cell, table.spread, **signs) for cell in row] for row in table.rows]


def _left(table: Table) -> list[bool]:
    """Which columns hold words, and so stand to the left."""
    columns = [[row[i] for row in table.rows] for i in range(len(table.header))]
    return [
        all(isinstance(cell, str) and cell for cell in column) and any(map(str.isalpha, "".join(map(str, column))))
        for column in columns
    ]


def _text(tables: Sequence[Table]) -> str:
    return "\n\n\n".join(map(_one_text, tables))


def _one_text(table: Table) -> str:
    rows, left = _lined_up(_texts(table)), _left(table)
    widths = [max(map(len, column)) for column in zip(table.header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        aligned = zip(cells, widths, left, strict=True)
        return "  ".join(
            cell.ljust(width) if to_left else cell.rjust(width) for cell, width, to_left in aligned
        ).rstrip()

    lines = [table.title, "", line(table.header), "  ".join("-" * width for width in widths)]
    # The rows of one data set are named once.
    before = None
    for row in rows:
        lines.append(line(["" if row[0] == before and len(row) > 1 and left[0] else row[0], *row[1:]]))
        before = row[0]
    return "\n".join([*lines, *(["", *table.notes] if table.notes else [])])


def _lined_up(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Pad the spreads of each column to one width, and leave that much room where there is none."""
    columns = []
    for column in zip(*rows, strict=True):
        split = [cell.partition(" +- ") for cell in column]
        width = max((len(spread) for *_, spread in split), default=0)
        padded = [
            mean + sign + spread.rjust(width) if sign else mean + " " * (4 + width) for mean, sign, spread in split
        ]
        columns.append(padded if width else list(column))
    return [list(row) for row in zip(*columns, strict=True)]


def _markdown(tables: Sequence[Table]) -> str:
    return "\n\n".join(map(_one_markdown, tables))


def _one_markdown(table: Table) -> str:
    # A class or folder name may hold anything; Markdown passes HTML through, so "<" is spelled out.
    def safe(text: str) -> str:
        return html.escape(text, quote=False).replace("\n", " ")

    rows = [[safe(cell) for cell in row] for row in _texts(table, plus_minus="±", minus="−")]
    parts = [f"**{safe(table.title)}**", text_table(table.header, rows, left=[*_left(table), False].index(False))]
    return "\n\n".join(
        [*parts, *(["\n".join(f"* {safe(_signed(note))}" for note in table.notes)] if table.notes else [])]
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\n": " ",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}


def latex_escape(text: str) -> str:
    """Spell out every character that LaTeX takes for a command."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _latex(tables: Sequence[Table]) -> str:
    return '% Needs \\usepackage{booktabs} and, for |<>", \\usepackage[T1]{fontenc}.\n' + "\n\n".join(
        map(_one_latex, tables)
    )


def _one_latex(table: Table) -> str:
    def cell_text(cell: Cell) -> str:
        if cell is None:
            return "--"
        if isinstance(cell, Rate | Difference):
            number = shown(cell, table.spread, plus_minus=r"\pm")
            return f"${number}$"
        return latex_escape(shown(cell))

    rows = [" & ".join(map(cell_text, row)) + r" \\" for row in table.rows]
    # Averages stand apart, as in the papers.
    first = next((i for i, row in enumerate(table.rows) if str(row[0]).startswith("average of")), None)
    if first:
        rows.insert(first, r"\midrule")
    aligned = "".join("l" if to_left else "r" for to_left in _left(table))
    notes = "".join(f"\n% {note}" for note in table.notes).replace("\r", " ")
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_escape(table.title)}}}",
            rf"\begin{{tabular}}{{{aligned}}}",
            r"\toprule",
            " & ".join(map(latex_escape, table.header)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\end{{table}}{notes}",
        ]
    )


def html_table(table: Table) -> str:
    """One `<table>` with its notes; everything in it is escaped."""
    left = _left(table)

    def line(tag: str, cells: Sequence[str]) -> str:
        aligned = zip(cells, left, strict=True)
        return "<tr>" + "".join(f"<{tag}{' class=l' * to_left}>{cell}</{tag}>" for cell, to_left in aligned) + "</tr>"

    body: list[str] = []
    for row, texts in zip(table.rows, _texts(table, plus_minus="±", minus="−"), strict=True):
        new = not body or row[0] != table.rows[len(body) - 1][0]
        text = line("td", [_small_spread(html.escape(cell)) for cell in texts])
        if not new:
            text = text.replace("<td class=l>", '<td class="l again">', 1)
        kind = "average" if str(row[0]).startswith("average of") else ""
        kinds = " ".join(filter(None, [kind, "first" if new else ""]))
        body.append(text.replace("<tr>", f'<tr class="{kinds}">', 1) if kinds else text)
    notes = "".join(f"<li>{html.escape(_signed(note))}</li>" for note in table.notes)
    return (
        f"<table><caption>{html.escape(table.title)}</caption><thead>{line('th', [*map(html.escape, table.header)])}"
        f"</thead><tbody>{''.join(body)}</tbody></table>" + (f"<ul class=notes>{notes}</ul>" if notes else "")
    )


def _signed(note: str) -> str:
    """A note beside figures that are written with a real plus-minus sign."""
    return note.replace("+-", "±")


def _small_spread(cell: str) -> str:
    return re.sub(r"(?<=\d) (± [\d.]+)$", r" <small>\1</small>", cell)


def _html(tables: Sequence[Table]) -> str:
    return "\n".join(map(html_table, tables))


def _csv(tables: Sequence[Table]) -> str:
    lines = [_flat(table, row) for table in tables for row in table.rows]
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().removesuffix("\n")


def _flat(table: Table, row: Sequence[Cell]) -> dict[str, Any]:
    """A row with a column for every number: mean, std, n and, if asked for, the interval of a rate."""
    line: dict[str, Any] = {"table": table.title, "protocol": table.protocol, "clip": table.clip}
    for name, cell in zip(table.header, row, strict=True):
        if isinstance(cell, Rate):
            line[name] = cell.mean
            line |= {f"{name} {part}": value for part, value in _parts(cell, table.spread).items()}
        else:
            line[name] = cell.value if isinstance(cell, Published | Difference) else cell
    return line


def _parts(cell: Rate, spread: str) -> dict[str, Any]:
    return {"std": cell.std, "n": cell.n} | ({"ci95": cell.ci95} if spread == "ci95" else {})


def _json(tables: Sequence[Table]) -> str:
    content = [
        {
            "table": table.title,
            "protocol": table.protocol,
            "clip": table.clip,
            "header": table.header,
            "rows": [
                {name: _plain(cell, table.spread) for name, cell in zip(table.header, row, strict=True)}
                for row in table.rows
            ],
            "notes": table.notes,
        }
        for table in tables
    ]
    return json.dumps(content, indent=2, ensure_ascii=False)


def _plain(cell: Cell, spread: str) -> Any:
    if isinstance(cell, Rate):
        return {"mean": cell.mean, **_parts(cell, spread)}
    return cell.value if isinstance(cell, Published | Difference) else cell


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "table": _text,
    "md": _markdown,
    "csv": _csv,
    "latex": _latex,
    "html": _html,
    "json": _json,
}
"""Name -> what writes tables that way."""
