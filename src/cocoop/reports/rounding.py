"""Cells as people read them: rounded, with signs."""

from __future__ import annotations

from cocoop.reports.cells import Cell, Difference, Interval, Published, Rate, Table

MISSING = "-"


def shown(cell: Cell, spread: str = "std", plus_minus: str = "+-", minus: str = "-") -> str:
    """A cell as people read it: two decimals, the spread behind the mean, a sign before a difference."""
    if cell is None:
        return MISSING
    if isinstance(cell, Rate):
        beside = cell.std if spread == "std" else cell.ci95
        return f"{cell.mean:.2f}" if beside is None else f"{cell.mean:.2f} {plus_minus} {beside:.2f}"
    if isinstance(cell, Published):
        return f"{cell.value:.2f}{'*' if cell.rerun else ''}"
    if isinstance(cell, Difference):
        return f"{cell.value:+.2f}".replace("-", minus)
    if isinstance(cell, Interval):
        return f"{cell.low:+.2f} .. {cell.high:+.2f}".replace("-", minus)
    return f"{cell:,}" if isinstance(cell, int) else cell


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count and what it counts, as in "1 run" and "2,000 runs"; plural is that of the noun, if not with an "s"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def texts(table: Table, **signs: str) -> list[list[str]]:
    """All cells of a table, row by row; signs are those of `shown`."""
    return [[shown(cell, table.spread, **signs) for cell in row] for row in table.rows]


def word_columns(table: Table) -> list[bool]:
    """Which columns hold words, and so stand to the left: the first, and all with a letter in a cell."""
    columns = zip(*texts(table), strict=True) if table.rows else [()] * len(table.header)
    return [i == 0 or any(map(str.isalpha, "".join(column))) for i, column in enumerate(columns)]


def signed(note: str) -> str:
    """A note beside figures that are written with a real plus-minus sign."""
    return note.replace("+-", "±")
