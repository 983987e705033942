"""A shard: the pictures that are done as one, and the reader of each kind."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from cocoop.data import ImageError, LeftOut
from cocoop.errors import RunError, plainly
from cocoop.reading import parse_json
from cocoop.serving import Named, archived, of_row_groups
from cocoop.shards.places import at_hand, part_of


class Shard(NamedTuple):
    """One input, which has one output.

    stem: of the output's name. kind: a name in `READERS`, or "features".
    place: the absolute path or URL of its file. name: the file as it was given, which begins the keys of its pictures.
    part: which part of the file: row groups from the first to before the second, or bytes; None is all.
    column: with the pictures, of a Parquet file.
    mark: what tells it from another shard of this name: the size of its file, or the SHA-256 of its part of a list.
    """

    stem: str
    kind: str
    place: str
    name: str
    mark: str
    part: tuple[int, int] | None = None
    column: str = ""


def pictures_of(shard: Shard) -> Iterator[Named]:
    """The pictures of a shard, in order, read as they are taken. `CocoopError` where the shard itself is damaged."""
    return READERS[shard.kind](shard)


def _of_tar(shard: Shard) -> Iterator[Named]:
    with at_hand(shard.place) as path:
        try:
            yield from archived(shard.name, path, LeftOut())
        except (tarfile.TarError, OSError, EOFError) as error:
            raise RunError(
                f"{shard.name}: expected a whole tar archive; got {plainly(error)}. Download it again."
            ) from error


def _of_parquet(shard: Shard) -> Iterator[Named]:
    with at_hand(shard.place) as path:
        yield from of_row_groups(path, shard.column, shard.part, shard.name)


def _of_list(shard: Shard) -> Iterator[Named]:
    for line in part_of(shard.place, shard.part).splitlines():
        try:
            yield from_line(line)
        except (ValueError, TypeError) as error:
            raise RunError(
                f"{shard.place}: expected a list of pictures as `--shards` writes it; got {plainly(error)} in bytes "
                f"{shard.part}. Choose another --shards."
            ) from error


READERS: dict[str, Callable[[Shard], Iterator[Named]]] = {"tar": _of_tar, "parquet": _of_parquet, "list": _of_list}
"""Kind -> what reads its pictures."""


def to_line(named: Named) -> bytes:
    """A picture of a list as a line of JSON: its key, and its path or why there is none."""
    key, picture = named
    fault = [str(picture)] if isinstance(picture, ImageError) else []
    return json.dumps([key, None if fault else picture, *fault]).encode() + b"\n"


def from_line(line: bytes) -> Named:
    """What `to_line` wrote."""
    key, picture, *fault = parse_json(line)
    return Named(key, ImageError(fault[0]) if fault else picture)
