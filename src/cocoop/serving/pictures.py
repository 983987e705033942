"""Where pictures to predict come from: files, folders, globs, lists, columns of tables, tars; one after the other."""

from __future__ import annotations

import glob
import os
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cocoop.data import HIDDEN, IMAGE_SUFFIXES, OTHER, ImageError, LeftOut, images_below
from cocoop.errors import InputError, plainly
from cocoop.serving.tables import TABLES, Named, check_regular, column_of, columns_of

TARS = (".tar", ".tar.gz", ".tgz")
"""Endings of archives, lower case."""

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # how gzip, bzip2, xz and zstd begin
_FORMS = (
    "picture files, folders, patterns such as 'photos/*.jpg', - for paths on stdin, @FILE with a path per line, "
    "TABLE:COLUMN of a .csv, .jsonl or .parquet file, or .tar archives"
)


def named_pictures(sources: Sequence[str], left_out: LeftOut) -> Iterator[Named]:
    """The pictures of some sources, in order; of folders and archives in the order of names or members.

    Nothing is opened before its turn, and no list is made of more than one folder, or of what one pattern matches.

    Args:
        sources: files, folders (at any depth, links followed), patterns, "-" (paths on stdin) or "@FILE" (a path per
            line), "TABLE:COLUMN" (CSV, JSONL: paths, relative to the table; Parquet: bytes, too, alone or as {"bytes",
            "path"}), and tar archives, as WebDataset has them.
        left_out: is told of the files in folders, archives and patterns that are hidden or no image by their ending.

    Raises:
        InputError: at once, a source that is not there, or a table without its column; later, a damaged table, or a
            folder that cannot be listed.
    """
    readers = [_reader(source, left_out) for source in sources]
    return (named for reader in readers for named in reader)


def _reader(source: str, left_out: LeftOut) -> Iterator[Named]:
    if source == "-":
        return _listed(sys.stdin.buffer)
    if source.startswith("@"):
        return _listed_in(Path(source[1:]))
    if os.path.isdir(source):
        return (Named(str(path), str(path)) for path in images_below(source, left_out))
    table, colon, column = source.rpartition(":")
    if colon and table.lower().endswith(TABLES) and not os.path.exists(source):
        return column_of(Path(table), column)
    if not os.path.lexists(source) and glob.has_magic(source):
        return _matching(source, left_out)
    if not os.path.lexists(source):
        raise InputError(f"{source}: expected {_FORMS}; got no such file. Check the path.")
    if source.lower().endswith(TABLES):
        raise InputError(
            f"{source}: expected the column that holds the pictures, too; got none. Write {source}:COLUMN, with one of "
            f"{', '.join(columns_of(Path(source)))}."
        )
    return _members(source, left_out) if source.lower().endswith(TARS) else iter([Named(source, source)])


def _matching(pattern: str, left_out: LeftOut) -> Iterator[Named]:
    paths = sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise InputError(f"{pattern}: expected a pattern that some files match; none does. Check it.")
    return _matched(paths, left_out)


def _matched(paths: Sequence[str], left_out: LeftOut) -> Iterator[Named]:
    for path in paths:
        if os.path.isdir(path):
            continue  # its files are matched themselves, if they are
        if _is_taken(path, left_out):
            yield Named(path, path)


def _listed(lines: Iterator[bytes] | Any) -> Iterator[Named]:
    for line in lines:
        path = os.fsdecode(line.rstrip(b"\r\n"))
        if path:
            yield Named(path, path)


def _listed_in(path: Path) -> Iterator[Named]:
    check_regular(path, "a text file with the path of a picture per line")
    return _opened_list(path)


def _opened_list(path: Path) -> Iterator[Named]:
    with open(path, "rb") as file:
        yield from _listed(file)


def _members(archive: str, left_out: LeftOut) -> Iterator[Named]:
    """The images in a tar archive, as it is read from its beginning to its end; links and folders are passed over."""
    if not os.path.isfile(archive):
        yield Named(archive, archive)
        return
    try:
        yield from archived(archive, archive, left_out)
    except (tarfile.TarError, OSError, EOFError) as error:
        yield Named(
            archive,
            ImageError(f"{archive}: expected a whole tar archive; got {plainly(error)}. Download it again."),
        )


def archived(archive: str, path: str, left_out: LeftOut) -> Iterator[Named]:
    """`_members` of the archive at a path. Raises `tarfile.TarError`, `OSError` or `EOFError` where it is damaged."""
    with _opened_tar(path) as file:
        for member in file:
            name = f"{archive}/{member.name}"
            content = file.extractfile(member) if member.isreg() and _is_taken(name, left_out) else None
            if content is not None:
                yield Named(name, content.read())
    _check_end(path)


def _opened_tar(path: str) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r|*")
    except TypeError as error:  # Python's own, of a file that ends within the head of its compression
        raise tarfile.ReadError("unexpected end of data") from error


def _check_end(archive: str) -> None:
    """`tarfile.ReadError` unless zeros end it: `tarfile` itself takes one that is cut off between two members as whole.

    Of one that is compressed, what decompresses it knows.
    """
    with open(archive, "rb") as file:
        if file.read(6).startswith(_COMPRESSED):
            return
        file.seek(-tarfile.BLOCKSIZE, os.SEEK_END)
        if any(file.read()):
            raise tarfile.ReadError("one that is cut off, without the zeros at its end")


def _is_taken(name: str, left_out: LeftOut) -> bool:
    """Whether a file of this name is taken for an image; if not, it is left out."""
    file = os.path.basename(name)
    is_picture, is_hidden = os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES, file.startswith(".")
    if is_picture and not is_hidden:
        return True
    if is_picture or not is_hidden:
        left_out.add(HIDDEN if is_hidden else OTHER, Path(name))
    return False
