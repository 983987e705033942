"""A user's tables of images: one line per image, as CSV or JSONL."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from os.path import normpath
from pathlib import Path
from typing import Any, NamedTuple

from cocoop.data.columns import columns
from cocoop.data.dataset import Dataset
from cocoop.data.own import SPLIT_NAMES, by_split, number_by_name
from cocoop.data.places import find_images
from cocoop.errors import InputError, plainly
from cocoop.reading import lines, parse_json

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")
"""File endings of manifests, lower case."""

_METADATA = ("metadata.csv", "metadata.jsonl")
_SEPARATORS = ",;\t"
_TOO_MANY = "fields without a column"


class _Row(NamedTuple):
    line: int
    path: str
    label: str
    split: str | None


def read_metadata(folder: Path) -> Dataset | None:
    """Read a folder of images with a metadata.csv or .jsonl, as `read_manifest` does; None without such a table.

    It may lie in every split instead: train/metadata.csv and test/metadata.csv. A folder with several sub-folders that
    are no splits is not read by its table. The form is that of "imagefolder" of Hugging Face.

    Raises:
        InputError: two tables in one folder, and what `read_manifest` says.
    """
    folders = sorted(folder.glob("[!.]*/"))
    table = _table(folder) if len(folders) < 2 else None
    if table is not None:
        return read_manifest(table)
    tables = {below.name: path for below in folders if (path := _table(below))}
    if not tables or len(tables) < len(folders) or not all(name.lower() in SPLIT_NAMES for name in tables):
        return None
    read = {split: _by_split(path.absolute()) for split, path in by_split(folder, tables).items()}
    named = {split: [pair for pairs in parts.values() for pair in pairs] for split, (parts, _) in read.items()}
    notes = tuple(note for _, notes in read.values() for note in notes)
    return replace(number_by_name(str(folder), named), notes=notes)


def _table(folder: Path) -> Path | None:
    there = [folder / name for name in _METADATA if (folder / name).is_file()]
    if len(there) > 1:
        raise InputError(
            f"{folder}: expected one table of the images; got {' and '.join(_METADATA)}. Give one of them."
        )
    return there[0] if there else None


def read_manifest(path: str | PathLike[str]) -> Dataset:
    """Read a `.csv`, `.tsv` or `.jsonl` file that names images and their classes.

    CSV: UTF-8, separated by commas, semicolons or tabs, whichever the first line has most of; it names the columns
    `path`, `label` and, if wanted, `split`, or calls them otherwise (`columns`), in any order; others are ignored;
    blank lines are skipped. JSONL: one object per line with these keys; a number is the text it is written as.

    `path` is absolute or relative to the manifest's folder, or to one near it (`find_images`), `label` the name of the
    class, `split` one of train, val and test (training, valid, validation and testing will do): in every line or in
    none. Without splits all images are in `train`. Labels are 0..K-1 in plain string order of the names.

    Raises:
        InputError: an unreadable file, a missing column, a line that lacks a value, names no file or names one again,
            with its number.
    """
    path = Path(path).absolute()
    named, notes = _by_split(path)
    return replace(number_by_name(str(path), named), notes=notes)


def _by_split(path: Path) -> tuple[dict[str, list[tuple[Path, str]]], tuple[str, ...]]:
    """Split, or "train" without any -> (image file, class name) of each line; and notes."""
    rows = list(_rows(path))
    places, notes = find_images(path, [row.path for row in rows], [f"line {row.line}" for row in rows])
    _check_once(path, rows, places)
    with_split = [row for row in rows if row.split]
    if 0 < len(with_split) < len(rows):
        line = next(row.line for row in rows if not row.split)
        raise InputError(f"{path}, line {line}: expected a split, as in line {with_split[0].line}; got none. Add it.")
    named: dict[str, list[tuple[Path, str]]] = {}
    for row, place in zip(rows, places, strict=True):
        named.setdefault(row.split or "train", []).append((place, row.label))
    return named, notes


def _check_once(path: Path, rows: Sequence[_Row], places: Sequence[Path]) -> None:
    """An image of two splits would be scored although it was learned from; one of two classes is a slip."""
    lines: dict[str, int] = {}
    for row, place in zip(rows, places, strict=True):
        first = lines.setdefault(normpath(place), row.line)
        if first != row.line:
            raise InputError(
                f"{path}, line {row.line}: expected every image once; got {place}, as in line {first}. Remove one."
            )


def _rows(path: Path) -> Iterator[_Row]:
    read = _json_lines if path.suffix.lower() == ".jsonl" else _csv_lines
    try:
        for line, values in read(path):
            yield _row(path, line, values)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: expected a readable text file in UTF-8; got {plainly(error)}. Save it as UTF-8."
        ) from error


def _csv_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # utf-8-sig, because spreadsheets put a byte order mark in front.
    with open(path, encoding="utf-8-sig", newline="") as file:
        header = next(lines(file), "")
        file.seek(0)
        separator = max(_SEPARATORS, key=header.count)
        reader = csv.DictReader(lines(file), restkey=_TOO_MANY, skipinitialspace=True, strict=True, delimiter=separator)
        try:
            reader.fieldnames = [column.strip() for column in reader.fieldnames or ()]
            uses = columns(f"{path}, line 1", reader.fieldnames)
            for values in reader:
                if any(values.pop(_TOO_MANY, ())):
                    raise InputError(
                        f"{path}, line {reader.line_num}: expected as many values as columns; got more. Put values "
                        'with a separator in quotes: "red, striped".'
                    )
                if any(values.values()):  # a line of commas only is blank, too
                    yield reader.line_num, {use: values[column] for use, column in uses.items()}
        except csv.Error as error:
            raise InputError(
                f"{path}, after line {reader.line_num}: expected separated values; got {plainly(error)}. "
                "Look for quotes that are not closed."
            ) from error


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with open(path, encoding="utf-8-sig") as file:
        for line, text in enumerate(lines(file), start=1):
            if not text.strip():
                continue
            try:
                values = parse_json(text, numbers_as_text=True)  # labels as CSV has them
            except ValueError as error:
                raise InputError(f"{path}, line {line}: expected one JSON object; got {plainly(error)}.") from error
            if not isinstance(values, dict):
                raise InputError(f'{path}, line {line}: expected {{"path": ..., "label": ...}}; got {values!r}.')
            uses = columns(f"{path}, line {line}", list(values))
            yield line, {use: values[column] for use, column in uses.items()}


def _row(path: Path, line: int, values: Mapping[str, Any]) -> _Row:
    image, label = (_text(path, line, values, column) for column in ("path", "label"))
    split = values.get("split") or None
    if split is not None and str(split).strip().lower() not in SPLIT_NAMES:
        raise InputError(f"{path}, line {line}: split: expected train, val or test; got {split!r}.")
    return _Row(line, image, label, split and SPLIT_NAMES[str(split).strip().lower()])


def _text(path: Path, line: int, values: Mapping[str, Any], column: str) -> str:
    value = values.get(column)
    if not isinstance(value, str) or not value.strip():
        what = "the path of an image" if column == "path" else "the name of a class, as text"
        raise InputError(f"{path}, line {line}: {column}: expected {what}; got {value!r}.")
    return value.strip()
