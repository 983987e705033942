"""Files and folders that appear whole or not at all: made beside their place under a hidden name, and then renamed.

Beside it, because a rename is atomic within one file system only. What a process that is killed leaves behind is
called ".NAME.*.tmp".
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from cocoop.errors import RunError, plainly


def write_whole(path: Path, content: bytes, what: str, flush: bool = True) -> None:
    """Write a file, and its folder where missing. A reader meets the old file or the new one.

    Args:
        path: the file.
        content: all of it.
        what: the words for it in an error.
        flush: whether a loss of power, too, leaves the file whole; slower.

    Raises:
        RunError: the disk refuses.
    """
    with _renamed_to(path, what) as temporary, open(temporary, "xb") as file:
        file.write(content)
        if flush:
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def whole_folder(path: Path, what: str) -> Iterator[Path]:
    """A new folder to fill, which becomes `path` at the end, and is removed if anything is raised before.

    Args:
        path: must not exist by the end, or be an empty folder.
        what: the words for it in an error.

    Raises:
        RunError: the disk refuses, here or in the body.
    """
    with _renamed_to(path, what) as temporary:
        temporary.mkdir()
        yield temporary


def remove_folder(path: Path) -> None:
    """Remove a folder, if it is there: at once for those who look for `path`. `OSError` where the disk refuses."""
    hidden = hidden_beside(path)
    with suppress(FileNotFoundError):
        os.replace(path, hidden)
        shutil.rmtree(hidden)


def clear_leftovers(folder: Path, name: str | None = None, older_than: float = 0.0) -> None:
    """Remove what killed processes left in a folder; what cannot be removed stays hidden.

    Args:
        folder: where.
        name: of the file or folder that they were writing; None is any.
        older_than: in seconds. 0 only where no living process can be writing these.
    """
    for path in folder.glob(".*.tmp"):
        if name is not None and not path.name.startswith(f".{name}."):
            continue
        with suppress(OSError):
            if time.time() - path.stat().st_mtime >= older_than:
                # A process that is about to die must not rename what is half removed: so it goes by another name.
                doomed = hidden_beside(path.with_name(name or "left"))
                os.replace(path, doomed)
                _remove(doomed)


def hidden_beside(path: Path) -> Path:
    """A new name beside `path`, under which it is written before it is moved into place."""
    return path.with_name(f".{path.name}.{uuid4().hex}.tmp")


def is_unfinished(name: str) -> bool:
    """Whether a file or folder of this name is one that is being written, or was left by a killed process."""
    return name.startswith(".") and name.endswith(".tmp")


def advice(error: OSError, otherwise: str) -> str:
    """What to do about an error of the disk."""
    many = error.errno in (errno.EMFILE, errno.ENFILE)
    return "Have fewer files open at once, or raise their limit (ulimit -n)." if many else otherwise


@contextmanager
def _renamed_to(path: Path, what: str) -> Iterator[Path]:
    """A hidden path beside `path`, for the body to make; it is renamed at the end, or removed."""
    temporary = hidden_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        told = advice(error, "Check the folder's rights and free space, or choose another folder.")
        raise RunError(f"{path}: expected to write {what}; got {plainly(error)}. {told}") from error
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
