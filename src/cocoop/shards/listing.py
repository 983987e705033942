"""What is given as SOURCE, as shards: archives and Parquet files, and lists of so many pictures of all else."""

from __future__ import annotations

import glob
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain
from os.path import abspath, basename
from typing import Any

from cocoop.data import LeftOut
from cocoop.errors import InputError, plainly
from cocoop.features import pyarrow_parquet
from cocoop.reading import parse_json
from cocoop.serving import TARS, Named, feature_files, named_pictures
from cocoop.shards.places import Found, OutputFolder, found, is_remote, opened
from cocoop.shards.shard import Shard, to_line

LIST_SIZE = 1000
"""Pictures of a shard where they are listed, if nothing else is asked for."""

LISTED = "pictures.jsonl"
"""The file in the output folder that lists pictures which do not lie in archives or Parquet files."""


def shards_of(
    sources: Sequence[str], folder: OutputFolder, size: int | None, left_out: LeftOut, features: bool = True
) -> list[Shard]:
    """The shards of some sources, in their order; lists come last.

    A tar archive is a shard; so is a Parquet file of pictures, "FILE:COLUMN", unless `size` is given, by which its row
    groups are put together until they have that many rows; so is, if `features` will do, a Parquet file of features,
    and each in a folder of such. Patterns of such and URLs are taken, too. The pictures of all other sources, see
    `named_pictures`, are listed in `LISTED` once, so that a later run has the same shards, whatever is in the folders
    by then: `size` of them are a shard.

    Raises:
        InputError: nothing there; two shards of one name; a list that was made of other sources, or with another size.
    """
    shards: list[Shard] = []
    listed: list[str] = []
    for source in sources:
        files = (features and _features(source)) or _files(source, size)
        if files is None:
            listed.append(source)
        else:
            shards += files
    if listed:
        shards += _lists(listed, folder, size or LIST_SIZE, left_out)
    _check_names(shards)
    return shards


def _files(source: str, size: int | None) -> list[Shard] | None:
    """The shards of archives or Parquet files; None of another source."""
    table, colon, column = source.rpartition(":")
    if colon and table.lower().endswith(".parquet"):
        files = _found(table)
        _check_column(files[0].place, column)
        return [shard for file in files for shard in _row_groups(file, column, size)]
    if source.lower().endswith(TARS):
        return [_whole(file, "tar") for file in _found(source)]
    if is_remote(source):
        raise InputError(
            f"{source}: expected the URL or a pattern of .tar archives or of .parquet files, with :COLUMN behind; got "
            "another. Pack the pictures into archives, or list files of this machine."
        )
    return None


def _features(source: str) -> list[Shard]:
    """The shards of files of features; none of another source."""
    if source.lower().endswith(".parquet") and (is_remote(source) or glob.has_magic(source)):
        return [_whole(file, "features") for file in _found(source)]
    files = [file for file in feature_files(source) if file.lower().endswith(".parquet")]
    return [_whole(Found(file, os.path.getsize(file)), "features") for file in files]


def _found(place: str) -> list[Found]:
    files = found(place)
    if not files:
        raise InputError(f"{place}: expected shards; got no such file. Check the path.")
    return files


def _whole(file: Found, kind: str) -> Shard:
    return Shard(_stem(file.place), kind, _lasting(file.place), file.place, f"{file.size} bytes")


def _row_groups(file: Found, column: str, size: int | None) -> list[Shard]:
    """A Parquet file as one shard; or its row groups as several, of `size` rows or more each."""
    whole = _whole(file, "parquet")._replace(column=column)
    if size is None:
        return [whole]
    footer, parts, start, rows = _footer(file.place), [], 0, 0
    for group in range(footer.num_row_groups):
        rows += footer.row_group(group).num_rows
        if rows >= size or group + 1 == footer.num_row_groups:
            parts.append((start, group + 1))
            start, rows = group + 1, 0
    return [whole._replace(stem=f"{whole.stem}-{number:05}", part=part) for number, part in enumerate(parts)]


def _footer(place: str) -> Any:
    try:
        with opened(place) as file:
            return pyarrow_parquet().read_metadata(file)
    except (OSError, ValueError) as error:  # pyarrow's are of these, too
        raise InputError(f"{place}: expected a Parquet file; got {plainly(error)}. Write it anew.") from error


def _check_column(place: str, column: str) -> None:
    names = _footer(place).schema.to_arrow_schema().names
    if column not in names:
        raise InputError(
            f"{place}: expected a column {column!r} with pictures; it has {', '.join(names) or 'none'}. Name one."
        )


def _lists(sources: list[str], folder: OutputFolder, size: int, left_out: LeftOut) -> list[Shard]:
    """The parts of the list of pictures, which is made if it is not there."""
    head = {"sources": sources, "pictures of a shard": size}
    if LISTED not in folder.names():
        pictures = map(_lasting_picture, named_pictures(sources, left_out))
        first = next(pictures, None)
        if first is None:
            raise InputError(
                f"{', '.join(sources)}: expected pictures; got none. Name some, or a folder that holds some."
            )
        folder.write_first(LISTED, _lines(head, chain([first], pictures)))
    with folder.open(LISTED) as file:
        line = file.readline()
        _check_head(folder.place(LISTED), line, head)
        start, shards = len(line), list[Shard]()
        while lines := list(_some(file, size)):
            part = b"".join(lines)
            stem, place = f"pictures-{len(shards):06}", folder.place(LISTED)
            mark, where = sha256(part).hexdigest(), (start, start + len(part))
            shards.append(Shard(stem, "list", place, LISTED, mark, where))
            start += len(part)
    return shards


def _some(file: Any, count: int) -> Iterator[bytes]:
    for _ in range(count):
        line = file.readline()
        if not line:
            return
        yield line


def _lines(head: dict[str, Any], pictures: Iterator[Named]) -> Iterator[bytes]:
    yield json.dumps(head).encode() + b"\n"
    yield from map(to_line, pictures)


def _check_head(place: str, line: bytes, head: dict[str, Any]) -> None:
    try:
        there = parse_json(line)
        differing = [(name, value) for name, value in head.items() if there[name] != value]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{place}: expected the list of pictures that `--shards` writes; got {plainly(error)}. Choose another "
            "--shards."
        ) from error
    for name, value in differing:
        raise InputError(
            f"{place}: expected the list of pictures of the same {name}, {value}; got {there[name]}. Give the same as "
            "then, or choose another --shards."
        )


def _check_names(shards: Sequence[Shard]) -> None:
    stem, count = Counter(shard.stem for shard in shards).most_common(1)[0] if shards else ("", 0)
    if count > 1:
        names = [shard.name for shard in shards if shard.stem == stem]
        raise InputError(
            f"{names[1]}: expected shards of different names, by which their outputs are called; got {names[0]}, too. "
            "Rename one, or give each its own --shards."
        )


def _stem(place: str) -> str:
    """Of "s3://bucket/shard-000.tar.gz" "shard-000"."""
    name = basename(place)
    ending = next(
        ending for ending in sorted([*TARS, ".parquet"], key=len, reverse=True) if name.lower().endswith(ending)
    )
    return name[: -len(ending)]


def _lasting_picture(named: Named) -> Named:
    return named._replace(picture=abspath(named.picture)) if isinstance(named.picture, str) else named


def _lasting(place: str) -> str:
    """A path that holds in other working directories."""
    return place if is_remote(place) else abspath(place)
