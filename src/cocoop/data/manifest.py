"""A user's table of images: one line per image, as CSV or JSONL."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from os.path import isfile, normpath  # unlike Path.is_file, isfile answers for every text
from pathlib import Path
from typing import Any, NamedTuple

from cocoop.data.dataset import Dataset
from cocoop.data.own import SPLIT_NAMES, number_by_name
from cocoop.errors import InputError

MANIFEST_SUFFIXES = (".csv", ".jsonl")
"""File endings of manifests, lower case."""

_TOO_MANY = "fields without a column"


class _Row(NamedTuple):
    line: int
    path: Path
    label: str
    split: str | None


def read_manifest(path: str | PathLike[str]) -> Dataset:
    r"""Read a `.csv` or `.jsonl` file that names images and their classes.

    CSV: UTF-8, separated by commas, the first line naming the columns `path`, `label` and, if wanted, `split`, in any
    order; others are ignored; blank lines are skipped. JSONL: one object per line with these keys.

    `path` is absolute or relative to the manifest's folder, `label` the name of the class, `split` one of train,
    val and test (training, valid, validation and testing will do): in every line or in none. Without splits all
    images are in `train`. Labels are 0..K-1 in plain string order of the names.

    Raises:
        InputError: an unreadable file, a missing column, a line that lacks a value, names no file or names one again,
            with its number.
    """
    path = Path(path).absolute()
    rows = list(_rows(path))
    missing = [row for row in rows if not isfile(row.path)]
    if missing:
        raise InputError(
            f"{path}, line {missing[0].line}: expected an image file; there is no {missing[0].path} "
            f"({len(missing):,} of {len(rows):,} are missing). Paths are relative to {path.parent}, or absolute."
        )
    _check_once(path, rows)
    with_split = [row for row in rows if row.split]
    if 0 < len(with_split) < len(rows):
        line = next(row.line for row in rows if not row.split)
        raise InputError(f"{path}, line {line}: expected a split, as in line {with_split[0].line}; got none. Add it.")
    named: dict[str, list[tuple[Path, str]]] = {}
    for row in rows:
        named.setdefault(row.split or "train", []).append((row.path, row.label))
    return number_by_name(str(path), named)


def _check_once(path: Path, rows: Iterable[_Row]) -> None:
    """An image of two splits would be scored although it was learned from; one of two classes is a slip."""
    lines: dict[str, int] = {}
    for row in rows:
        first = lines.setdefault(normpath(row.path), row.line)
        if first != row.line:
            raise InputError(
                f"{path}, line {row.line}: expected every image once; got {row.path}, as in line {first}. Remove one."
            )


def _rows(path: Path) -> Iterator[_Row]:
    read = _csv_lines if path.suffix.lower() == ".csv" else _json_lines
    try:
        for line, values in read(path):
            yield _row(path, line, values)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a readable text file in UTF-8; got {error}. Save it as UTF-8.") from error


def _csv_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # utf-8-sig, because spreadsheets put a byte order mark in front.
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restkey=_TOO_MANY, skipinitialspace=True, strict=True)
        try:
            columns = [column.strip() for column in reader.fieldnames or ()]
            if not {"path", "label"} <= set(columns):
                raise InputError(
                    f"{path}, line 1: expected the names of the columns, path,label or path,label,split; got "
                    f"{','.join(columns)!r}. Put them on the first line, separated by commas."
                )
            reader.fieldnames = columns
            for values in reader:
                if any(values.pop(_TOO_MANY, ())):
                    raise InputError(
                        f"{path}, line {reader.line_num}: expected as many values as columns; got more. Put values "
                        'with a comma in quotes: "red, striped".'
                    )
                if any(values.values()):  # a line of commas only is blank, too
                    yield reader.line_num, values
        except csv.Error as error:
            raise InputError(
                f"{path}, after line {reader.line_num}: expected comma-separated values; got {error}. Look for quotes "
                "that are not closed."
            ) from error


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with open(path, encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                values = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}, line {line}: expected one JSON object; got {error}.") from error
            if not isinstance(values, dict):
                raise InputError(f'{path}, line {line}: expected {{"path": ..., "label": ...}}; got {values!r}.')
            yield line, values


def _row(path: Path, line: int, values: Mapping[str, Any]) -> _Row:
    image, label = (_text(path, line, values, column) for column in ("path", "label"))
    split = values.get("split") or None
    if split is not None and str(split).strip().lower() not in SPLIT_NAMES:
        raise InputError(f"{path}, line {line}: split: expected train, val or test; got {split!r}.")
    return _Row(line, path.parent / image, label, split and SPLIT_NAMES[str(split).strip().lower()])


def _text(path: Path, line: int, values: Mapping[str, Any], column: str) -> str:
    value = values.get(column)
    if not isinstance(value, str) or not value.strip():
        what = "the path of an image" if column == "path" else "the name of a class, as text"
        raise InputError(f"{path}, line {line}: {column}: expected {what}; got {value!r}.")
    return value.strip()
