"""Where shards lie and outputs go: folders of this machine, and object stores by their URL, through fsspec.

A file of an output folder is there whole or not at all: beside its place and renamed on a disk, one upload to a store.
A store that does not answer is asked again, later and later; what it says then is an error of the shard at hand.
"""

from __future__ import annotations

import glob
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeVar

from cocoop.atomic import clear_leftovers, hidden_beside, write_whole
from cocoop.errors import InputError, RunError, plainly, reason

T = TypeVar("T")

TRIES = 5
"""How often a store is asked before it counts as failing."""

_WAIT = 0.5  # seconds, at most, before the second try; before each later one twice as long
_MEANT = (FileNotFoundError, FileExistsError)  # an answer, and no failure


class Found(NamedTuple):
    """A file: its path or URL, and its size in bytes."""

    place: str
    size: int


def is_remote(place: str) -> bool:
    """Whether this is the URL of an object store, such as "s3://bucket/folder"."""
    return "://" in place


def found(place: str) -> list[Found]:
    """The files that a path or URL names, or that match it as a pattern, by name; none where there are none."""
    if is_remote(place):
        store, path = _store(place)
        pattern = glob.has_magic(path)
        try:
            infos = _asked(place, lambda: store.glob(path, detail=True) if pattern else {path: store.info(path)})
        except FileNotFoundError:
            return []
        files = sorted((name, info) for name, info in infos.items() if info["type"] == "file")
        return [Found(str(store.unstrip_protocol(name)), int(info["size"] or 0)) for name, info in files]
    paths = [place] if os.path.lexists(place) else sorted(glob.glob(place, recursive=True))
    return [Found(path, os.path.getsize(path)) for path in paths if os.path.isfile(path)]


@contextmanager
def at_hand(place: str) -> Iterator[str]:
    """The path of a file of this machine with what lies at a place: of a store it is a copy, for as long as it takes.

    Raises:
        RunError: a store without that file, or that does not answer.
    """
    if not is_remote(place):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="cocoop-") as folder:
        copy, (store, path) = os.path.join(folder, "shard"), _store(place)
        try:
            _asked(place, lambda: store.get_file(path, copy))
        except FileNotFoundError as error:
            raise RunError(f"{place}: expected a shard; the store has no such file. Check the name.") from error
        yield copy


def opened(place: str) -> BinaryIO:
    """A file to read here and there. `OSError`, or the `RunError` of a store, where it cannot be opened."""
    if not is_remote(place):
        return open(place, "rb")
    store, path = _store(place)
    file: BinaryIO = _asked(place, lambda: store.open(path, "rb"))
    return file


def part_of(place: str, part: tuple[int, int] | None) -> bytes:
    """The bytes of a file, or of a part of it. `RunError` where they cannot be read."""
    start, stop = part or (None, None)
    try:
        if is_remote(place):
            store, path = _store(place)
            content: bytes = _asked(place, lambda: store.cat_file(path, start, stop))
            return content
        with open(place, "rb") as file:
            file.seek(start or 0)
            return file.read(-1 if stop is None else stop - (start or 0))
    except OSError as error:
        raise RunError(f"{place}: expected a file to read; got {plainly(error)}.") from error


class OutputFolder(Protocol):
    """Where outputs go. Names may have one folder in front: "manifest/NAME.json"."""

    def prepare(self) -> None:
        """Make the folder, and clear what killed processes left there. `InputError` where that cannot be."""

    def names(self) -> list[str]:
        """The names of the files in it, but not in folders of it, sorted; none of a folder that is not there."""

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, whole, in place of one that may be there. `RunError` where that is refused."""

    def write_first(self, name: str, parts: Iterable[bytes]) -> None:
        """Put a file there, whole, unless one is there: of several that do so the first is right."""

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""

    def open(self, name: str) -> BinaryIO:
        """A file to read, with a place to seek."""

    def place(self, name: str) -> str:
        """Its path or URL."""


def output_folder(place: str) -> OutputFolder:
    """The folder at a path, or below a URL."""
    return _Store(place) if is_remote(place) else _Disk(Path(os.path.abspath(place)))


class _Disk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.folder}: expected a folder for the outputs; got {plainly(error)}. Choose another --shards."
            ) from error
        for folder in [self.folder, *self.folder.glob("*/")]:
            clear_leftovers(folder)

    def names(self) -> list[str]:
        try:
            with os.scandir(self.folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))
        except FileNotFoundError:
            return []

    def write(self, name: str, content: bytes) -> None:
        write_whole(self.folder / name, content, "the output of a shard")

    def write_first(self, name: str, parts: Iterable[bytes]) -> None:
        hidden = hidden_beside(self.folder / name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(hidden, "xb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            _move_first(hidden, self.folder / name)
        except FileExistsError:
            pass
        except OSError as error:
            told = f"expected to write it; got {plainly(error)}. Check the folder's rights and free space."
            raise RunError(f"{self.folder / name}: {told}") from error
        finally:
            hidden.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def open(self, name: str) -> BinaryIO:
        return opened(self.place(name))

    def place(self, name: str) -> str:
        return str(self.folder / name)


def _move_first(hidden: Path, path: Path) -> None:
    """Move a file, unless something is at the place: `FileExistsError` then."""
    try:
        os.link(hidden, path)  # a rename would not mind what is there
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError(path) from None
        os.replace(hidden, path)


class _Store:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def prepare(self) -> None:
        _store(self.url)

    def names(self) -> list[str]:
        store, root = _store(self.url)
        store.invalidate_cache()  # others write there, too
        try:
            infos = _asked(self.url, lambda: store.ls(root, detail=True))
        except FileNotFoundError:
            return []
        return sorted(str(info["name"]).rpartition("/")[2] for info in infos if info["type"] == "file")

    def write(self, name: str, content: bytes) -> None:
        store, path = _store(self.place(name))

        def upload() -> None:
            store.pipe_file(path, content)
            size = store.size(path)
            if size != len(content):
                raise OSError(f"{size:,} of {len(content):,} bytes are there after the upload")

        try:
            _asked(self.place(name), upload)
        except BaseException:
            with suppress(Exception):  # a store without whole uploads may have a part of it
                if store.size(path) != len(content):
                    store.rm_file(path)
            raise

    def write_first(self, name: str, parts: Iterable[bytes]) -> None:
        content = b"".join(parts)
        store, path = _store(self.place(name))
        with suppress(FileExistsError):
            _asked(self.place(name), lambda: store.pipe_file(path, content, mode="create"))

    def remove(self, name: str) -> None:
        store, path = _store(self.place(name))
        with suppress(FileNotFoundError):
            _asked(self.place(name), lambda: store.rm_file(path))

    def open(self, name: str) -> BinaryIO:
        return opened(self.place(name))

    def place(self, name: str) -> str:
        return f"{self.url}/{name}"


def _asked(place: str, question: Callable[[], T]) -> T:
    """What a store answers, if need be after some tries. `RunError` where it goes on failing."""
    for number in range(TRIES):
        try:
            return question()
        except _MEANT:
            raise
        except Exception as error:  # every store has errors of its own
            failure = error
        if number + 1 == TRIES or isinstance(failure, PermissionError):
            break
        time.sleep(_WAIT * 2**number * random.uniform(0.5, 1))  # not all workers at the same moment
    raise RunError(
        f"{place}: expected a store that answers; got {reason(failure)}, the last time of {number + 1}. Check its "
        "state and your rights, and run the same again."
    ) from failure


def _store(url: str) -> tuple[Any, str]:
    """The file system of a URL, which fsspec keeps, and the path there."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise InputError(
            f"{url}: expected fsspec, which reads and writes object stores; got {error}. Install it: "
            "pip install 'cocoop[cluster]'."
        ) from error
    try:
        store, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{url}: expected a URL that fsspec knows; got {plainly(error)}. Correct it, or install what is missing."
        ) from error
    return store, str(path)
