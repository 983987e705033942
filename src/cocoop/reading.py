"""Text and JSON that a stranger may have sent: of bounded size, and nothing in it surprises what computes with it.

What is wrong is a `ValueError` or an `OSError`; who reads says of which file, and what it should have been.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from os import PathLike
from typing import IO, Any, AnyStr, NoReturn

MAX_FILE = 2**28
"""Bytes of a text that is read whole. The record of a training on all of ImageNet has a third of it."""
MAX_LINE = 2**24
"""Letters of one line. A prediction with the probabilities of 100,000 classes has half of it."""
MAX_DEPTH = 50
"""Lists within lists; this package writes 8 at most."""


def read_text(path: str | PathLike[str], at_most: int = MAX_FILE) -> str:
    """A text file in UTF-8, with or without the mark that Windows' editors put in front; lines end with a newline.

    `OSError` where it cannot be read, `UnicodeDecodeError` for other bytes, `ValueError` for more than `at_most`.
    """
    with open(path, "rb") as file:
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise ValueError(f"more than {at_most:,} bytes")
    return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | PathLike[str], at_most: int = MAX_FILE) -> Any:
    """What a JSON file holds; errors of `read_text` and `parse_json`."""
    return parse_json(read_text(path, at_most))


def parse_json(text: str | bytes, numbers_as_text: bool = False) -> Any:
    """What a JSON text holds.

    Numbers are finite, whole ones are of 64 bits, and lists lie at most `MAX_DEPTH` deep, so that whatever walks
    through them ends. `json.JSONDecodeError` for what is no JSON, `ValueError` for more than that.

    `numbers_as_text`: numbers as they are written.
    """
    as_text: dict[str, Any] = {"parse_int": str, "parse_float": str} if numbers_as_text else {}
    try:
        content = json.loads(text, parse_constant=_refuse, **as_text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check(content)
    return content


def lines(file: IO[AnyStr]) -> Iterator[AnyStr]:
    """The lines of an open file with their ends. `ValueError` for one of more than `MAX_LINE` letters."""
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise ValueError(f"a line of more than {MAX_LINE:,} letters")
        yield line


_TOO_DEEP = "lists within lists, too deep to read"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant}, which is not JSON")


def _check(content: Any) -> None:
    level = [content]
    for _ in range(MAX_DEPTH):
        for value in level:
            if type(value) is float and not math.isfinite(value):
                raise ValueError("a number that is too large")
            if type(value) is int and not -(2**63) <= value < 2**63:
                raise ValueError("a whole number of more than 64 bits")
        level = [item for value in level if type(value) in (dict, list) for item in _items(value)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _items(value: Any) -> Any:
    return value.values() if type(value) is dict else value
