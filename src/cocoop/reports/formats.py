"""Tables written out: for people (text, Markdown, LaTeX, HTML) rounded, for machines (CSV, JSON) not."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from cocoop.errors import expect_choice
from cocoop.escapes import dumps, markdown, spreadsheet, visible
from cocoop.pipes import aligned, pipe_table
from cocoop.reports.cells import Cell, Difference, Interval, Published, Rate, Table
from cocoop.reports.latex import latex_cautions, latex_tables
from cocoop.reports.page.tables import html_cautions, html_tables
from cocoop.reports.rounding import signed, texts, word_columns


def format_table(table: Table, form: str) -> str:
    """Write one table as text of a format in `FORMATS`. `InputError` for any other."""
    return format_tables([table], form)


def format_tables(tables: Sequence[Table], form: str, cautions: Sequence[str] = ()) -> str:
    """Write tables one after the other; CSV and JSON are one document, with a column or key "table" for the titles.

    What to know before their figures, as `cautions` tells it, stands before them; CSV and JSON have no place for it.

    Raises:
        InputError: a format that is not in `FORMATS`.
    """
    expect_choice("format", form, FORMATS)
    warn = _CAUTIONS.get(form)
    return (warn(cautions) if warn and cautions else "") + FORMATS[form](tables)


def text_table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table without title and notes for a terminal: aligned Markdown, in which only bars are escaped."""
    table = Table(header, rows)
    return _pipes(table, texts(table), lambda cell: visible(cell).replace("|", r"\|"))


def _text(tables: Sequence[Table]) -> str:
    return "\n\n\n".join(map(_one_text, tables))


def _one_text(table: Table) -> str:
    rows, left = _lined_up([[visible(cell) for cell in row] for row in texts(table)]), word_columns(table)
    header = [visible(name) for name in table.header]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths]]
    # The rows of one data set are named once.
    before = None
    for row in rows:
        lines.append(["" if row[0] == before and len(row) > 1 else row[0], *row[1:]])
        before = row[0]
    body = ["  ".join(aligned(cells, widths, left)).rstrip() for cells in lines]
    notes = ["", *map(visible, table.notes)] if table.notes else []
    return "\n".join([visible(table.title), "", *body, *notes])


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
    body = _pipes(table, texts(table, plus_minus="±", minus="−"), markdown)
    notes = "\n".join(f"* {markdown(signed(note))}" for note in table.notes)
    return "\n\n".join(filter(None, [f"**{markdown(table.title)}**", body, notes]))


def _pipes(table: Table, rows: Sequence[Sequence[str]], safe: Callable[[str], str]) -> str:
    """The lines of a Markdown table with these cells, aligned, each made `safe`."""
    header, *rows = [[safe(cell) for cell in row] for row in (table.header, *rows)]
    return pipe_table(header, rows, word_columns(table))


def _csv(tables: Sequence[Table]) -> str:
    lines = [_flat(table, row) for table in tables for row in table.rows]
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: spreadsheet(cell) for name, cell in line.items()} for line in lines)
    return text.getvalue().removesuffix("\n")


def _flat(table: Table, row: Sequence[Cell]) -> dict[str, Any]:
    """A row with a column for every number: mean, std, n and, if asked for, the interval of a rate."""
    line: dict[str, Any] = {"table": table.title, "protocol": table.protocol, "clip": table.clip}
    for name, cell in zip(table.header, row, strict=True):
        if isinstance(cell, Rate):
            line[name] = cell.mean
            line |= {f"{name} {part}": value for part, value in _parts(cell, table.spread).items()}
        elif isinstance(cell, Interval):
            line |= {f"{name} {part}": value for part, value in asdict(cell).items()}
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
    return dumps(content, indent=2)


def _plain(cell: Cell, spread: str) -> Any:
    if isinstance(cell, Rate):
        return {"mean": cell.mean, **_parts(cell, spread)}
    if isinstance(cell, Interval):
        return asdict(cell)
    return cell.value if isinstance(cell, Published | Difference) else cell


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "table": _text,
    "md": _markdown,
    "csv": _csv,
    "latex": latex_tables,
    "html": html_tables,
    "json": _json,
}
"""Name -> what writes tables that way."""

_CAUTIONS: dict[str, Callable[[Sequence[str]], str]] = {
    "table": lambda cautions: "".join(f"warning: {visible(line)}\n" for line in cautions) + "\n",
    "md": lambda cautions: "".join(f"> **Warning:** {markdown(signed(line))}\n>\n" for line in cautions) + "\n",
    "latex": latex_cautions,
    "html": html_cautions,
}
"""Format for people -> what writes the lines before the tables."""
