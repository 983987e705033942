"""Pictures in a column of a table: paths in CSV and JSON lines, paths or bytes in Parquet."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cocoop.data import ImageError
from cocoop.errors import InputError, plainly
from cocoop.features import pyarrow_parquet
from cocoop.reading import lines, parse_json

TABLES = (".csv", ".jsonl", ".parquet")
"""Endings of tables, lower case."""

_ROWS_AT_ONCE = 64  # of a Parquet file, whose cells may be whole pictures


class Named(NamedTuple):
    """A picture of a source: its name in the results, and the picture: a path, bytes, or why there is none."""

    key: str
    picture: Any


def column_of(table: Path, column: str) -> Iterator[Named]:
    """The pictures in a column of a table. `InputError` at once if there is no such column; later, if it is damaged."""
    columns = columns_of(table)
    if column not in columns:
        raise InputError(
            f"{table}: expected a column {column!r} with pictures; it has {', '.join(columns) or 'none'}. Name one."
        )
    cells = {".csv": _csv_cells, ".jsonl": _json_cells, ".parquet": _parquet_cells}[table.suffix.lower()]
    return _of_cells(str(table), cells(table, column))


def of_row_groups(path: str, column: str, groups: tuple[int, int] | None, name: str) -> Iterator[Named]:
    """The pictures in row groups of a Parquet file, from the first to before the second; None is all.

    Their paths and keys are those that `column_of` gives for the table `name`. `InputError` where it is damaged.
    """
    try:
        with pyarrow_parquet().ParquetFile(path) as file:
            first, stop = groups or (0, file.metadata.num_row_groups)
            before = sum(file.metadata.row_group(group).num_rows for group in range(first))
            cells = _cells_of(file, column, list(range(first, stop)))
            yield from _of_cells(name, cells, before + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: expected a Parquet file; got {plainly(error)}. Write it anew.") from error


def _of_cells(table: str, cells: Iterator[Any], first: int = 1) -> Iterator[Named]:
    try:
        for number, cell in enumerate(cells, first):
            yield _of_cell(table, number, cell)
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's are of these, too
        raise InputError(
            f"{table}: expected a table that can be read to its end; got {plainly(error)}. Write it anew."
        ) from error


def _of_cell(table: str, number: int, cell: Any) -> Named:
    place = f"{table}, row {number}"
    path, content = (cell.get("path"), cell.get("bytes")) if isinstance(cell, dict) else (cell, None)
    if isinstance(path, bytes):
        path, content = None, path
    if isinstance(content, bytes):
        return Named(path if isinstance(path, str) and path else place, content)
    if isinstance(path, str) and path.strip():
        return Named(path, str(Path(table).parent / path.strip()))
    return Named(place, ImageError(f"{place}: expected a picture's path or bytes; got {cell!r}. Fill it in."))


def columns_of(table: Path) -> list[str]:
    """The names of a table's columns. `InputError` where it cannot be read."""
    check_regular(table, "a table of pictures")
    try:
        if table.suffix.lower() == ".parquet":
            return [str(name) for name in pyarrow_parquet().read_schema(table).names]
        with open(table, encoding="utf-8-sig", newline="") as file:
            if table.suffix.lower() == ".csv":
                return next(csv.reader(lines(file)), [])
            first = parse_json(next((line for line in lines(file) if line.strip()), "{}"))
            return list(first) if isinstance(first, dict) else []
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's are of these, too
        raise InputError(
            f"{table}: expected a table ({', '.join(TABLES)}); got {plainly(error)}. Write it anew."
        ) from error


def _csv_cells(table: Path, column: str) -> Iterator[Any]:
    with open(table, encoding="utf-8-sig", newline="") as file:  # spreadsheets put a byte order mark in front
        for row in csv.DictReader(lines(file)):
            yield row[column]


def _json_cells(table: Path, column: str) -> Iterator[Any]:
    with open(table, encoding="utf-8-sig") as file:
        for line in lines(file):
            if not line.strip():
                continue
            try:
                row = parse_json(line)
            except ValueError:
                row = None
            yield row.get(column) if isinstance(row, dict) else None


def _parquet_cells(table: Path, column: str) -> Iterator[Any]:
    with pyarrow_parquet().ParquetFile(table) as file:
        yield from _cells_of(file, column, None)


def _cells_of(file: Any, column: str, groups: list[int] | None) -> Iterator[Any]:
    if groups == []:  # which would be taken for all
        return
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[column], row_groups=groups):
        yield from batch.column(0).to_pylist()


def check_regular(path: Path, what: str) -> None:
    """`InputError` unless this is a file, and no pipe, which would be waited for without end."""
    if not os.path.isfile(path):
        came = "something that is no regular file" if os.path.exists(path) else "no such file"
        raise InputError(f"{path}: expected {what}; got {came}. Check the path.")
