"""Annotation files of one record per line, and names by number or by folder."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from cocoop.errors import InputError, plainly
from cocoop.reading import read_text

NUMBER = r"[1-9]\d{0,5}"
"""A class number, from 1; shorter than what Python refuses to convert."""


def read_fields(path: Path, pattern: str, form: str) -> list[tuple[str, ...]]:
    """The groups of the regular expression `pattern` in every line of the UTF-8 file `path`.

    A line must match as a whole, without outer blanks; empty lines are left out. `form` describes a line in the
    message. `InputError`: no such file, not UTF-8, a line of another form, no line at all.
    """
    compiled = re.compile(pattern)
    fields = []
    for number, line in enumerate(_read(path, form).split("\n"), start=1):
        if line.strip():
            match = compiled.fullmatch(line.strip())
            if match is None:
                raise InputError(f"{path}, line {number}: expected {form}; got {line.strip()[:100]!r}.")
            fields.append(match.groups())
    if not fields:
        raise InputError(f"{path}: expected lines like {form}; got an empty file.")
    return fields


def names_by_number(where: str | PathLike[str], names: Mapping[int, str]) -> list[str]:
    """The names in the order of their numbers, which must be 1..K; `InputError` otherwise."""
    missing = [number for number in range(1, len(names) + 1) if number not in names]
    if missing or not names:
        got = f"{len(names)} numbers without {missing[0]}" if missing else "none"
        raise InputError(f"{where}: expected class numbers 1..K without gaps; got {got}.")
    return [names[number] for number in range(1, len(names) + 1)]


def label_by_number(where: str | PathLike[str], number: int, names: list[str]) -> int:
    """The label 0..K-1 of a class number; `InputError` where it is not one of 1..K, so that no name goes with it."""
    if not 1 <= number <= len(names):
        raise InputError(f"{where}: expected a class number from 1 to {len(names)}; got {number}.")
    return number - 1


def label_by_name(where: str | PathLike[str], name: str, labels: Mapping[str, int], listed_in: Path) -> int:
    """The label of a class; `InputError` where the file `listed_in` does not have it."""
    if name not in labels:
        raise InputError(f"{where}: expected classes that {listed_in} lists; got {name!r}.")
    return labels[name]


@contextmanager
def at(where: str | PathLike[str]) -> Iterator[None]:
    """Put `where` in front of the message of an `InputError`."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _read(path: Path, form: str) -> str:
    try:
        return read_text(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a text file with lines like {form}; there is no such file.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a text file with lines like {form}; got {plainly(error)}.") from error
