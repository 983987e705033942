"""A table of Markdown whose columns are aligned, so that a terminal shows it as well. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(cells: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> list[str]:
    """The cells of one line, each padded to the width of its column."""
    columns = zip(cells, widths, left, strict=True)
    return [cell.ljust(width) if to_left else cell.rjust(width) for cell, width, to_left in columns]


def pipe_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[bool]) -> str:
    """The lines of the table. `left` says which columns stand to the left; bars in cells must have been escaped."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rules = [
        "-" * (width + 2) if to_left else "-" * (width + 1) + ":" for width, to_left in zip(widths, left, strict=True)
    ]
    lines = [f"| {' | '.join(aligned(row, widths, left))} |" for row in (header, *rows)]
    return "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])
