"""Tables as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from cocoop.reports.cells import Cell, Rate, Table
from cocoop.reports.layout import is_average
from cocoop.reports.page.template import render
from cocoop.reports.rounding import shown, signed, word_columns


class _Field(NamedTuple):
    """A cell as the template has it. kind: its classes of the page. spread: what is printed small behind the text."""

    kind: str
    text: str
    spread: str = ""


def html_table(table: Table) -> Markup:
    """One `<table>` with its notes."""
    left = word_columns(table)
    return render(
        "table.html",
        title=table.title,
        header=[_Field("l" if to_left else "", name) for name, to_left in zip(table.header, left, strict=True)],
        rows=list(_rows(table, left)),
        notes=[signed(note) for note in table.notes],
    )


def html_tables(tables: Sequence[Table]) -> str:
    """Tables one after the other, without a page around them."""
    return "\n".join(map(html_table, tables))


def html_cautions(cautions: Sequence[str]) -> Markup:
    """What to know before figures, as a list; nothing where there is nothing."""
    return render("cautions.html", cautions=cautions)


def _rows(table: Table, left: Sequence[bool]) -> Iterator[tuple[str, list[_Field]]]:
    """Of each row its classes of the page and its fields; a first cell like that of the row above is pale."""
    for i, row in enumerate(table.rows):
        again = i > 0 and row[0] == table.rows[i - 1][0]
        fields = [_field(cell, table.spread, to_left) for cell, to_left in zip(row, left, strict=True)]
        if again:
            fields[0] = fields[0]._replace(kind="l again")
        kinds = ["average"] * is_average(row[0]) + ["first"] * (not again)
        yield " ".join(kinds), fields


def _field(cell: Cell, spread: str, to_left: bool) -> _Field:
    text = shown(cell, spread, plus_minus="±", minus="−")
    if isinstance(cell, Rate):
        mean, sign, beside = text.partition(" ± ")
        return _Field("", mean, f"± {beside}" if sign else "")
    return _Field("l" if to_left else "", text)
