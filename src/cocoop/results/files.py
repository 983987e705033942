"""JSON files that are whole or absent, never half."""

import json
import math
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from cocoop import reading
from cocoop.atomic import write_whole
from cocoop.errors import InputError, RunError, plainly


def write_json(path: str | PathLike[str], content: Any) -> None:
    """Write `content` to `path` as indented JSON, at once: a reader meets the old file or the new one.

    Floats are written unrounded (they read back equal). The folder is made where missing. A crash or an
    exception on the way leaves the old file as it was.

    `RunError` where a number is not finite (the place is named) or the disk refuses; `TypeError` for what
    JSON has no word for (paths, arrays).
    """
    write_text(path, _dumps(content, indent=2) + "\n")


def write_jsonl(path: str | PathLike[str], records: Iterable[Mapping[str, Any]]) -> None:
    """Write `records`, one JSON object per line, to `path` at once. Floats and errors as in `write_json`."""
    write_text(path, "".join(_dumps(record) + "\n" for record in records))


def read_json(path: str | PathLike[str]) -> Any:
    """Return what the JSON file `path` holds. `InputError` where it is missing or not JSON."""
    return parse_json(_read_text(path), str(path))


def read_jsonl(path: str | PathLike[str]) -> list[dict[str, Any]]:
    """Return the records of `path`, one JSON object per line.

    `InputError` where the file is missing or a line is not a JSON object, with its number.
    """
    text = _read_text(path)
    lines = text.removesuffix("\n").split("\n") if text else []
    records = [parse_json(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise InputError(f"{path}, line {number}: expected a JSON object; got {record!r}.")
    return records


def _dumps(content: Any, indent: int | None = None) -> str:
    try:
        return json.dumps(content, indent=indent, allow_nan=False)
    except ValueError as error:
        place = _first_not_finite(content, "")
        if place is None:  # a circular reference
            raise
        raise RunError(f"record: expected finite numbers; got {place}. Look for where the run diverged.") from error


def _first_not_finite(content: Any, place: str) -> str | None:
    if isinstance(content, float):
        return None if math.isfinite(content) else f"{place or 'the value'} = {content}"
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(content, Mapping):
        children = content.items()
    elif isinstance(content, list | tuple):
        children = enumerate(content)
    places = (_first_not_finite(child, f"{place}[{key!r}]") for key, child in children)
    return next(filter(None, places), None)


def parse_json(text: str, where: str) -> Any:
    """What a JSON text holds. `InputError` where it is none or unlike what is written here; names it as `where`."""
    try:
        return reading.parse_json(text)
    except ValueError as error:
        raise InputError(f"{where}: expected JSON; got {plainly(error)}. Write the file again.") from error


def _read_text(path: str | PathLike[str]) -> str:
    try:
        return reading.read_text(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected a file; there is none. Check the path.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a readable UTF-8 file; got {plainly(error)}.") from error


def write_text(path: str | PathLike[str], text: str) -> None:
    r"""Write `text` to `path` as UTF-8, at once: a reader meets the old file or the new one.

    The folder is made where missing. What UTF-8 has no word for, such as bytes in a file name that are no text, is
    spelled out ("\udcff"). `RunError` where the disk refuses.
    """
    write_whole(Path(path), text.encode("utf-8", "backslashreplace"), "a file")
