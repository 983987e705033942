"""Files and folders that appear whole or not at all: made beside their place under a hidden name, and then renamed.

Beside it, because a rename is atomic within one file system only. The hidden name, ".NAME.MACHINE-PROCESS-RANDOM.tmp",
says who writes: what a process leaves behind that was killed is removed by the next one that writes in the folder.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from uuid import uuid4

from cocoop.errors import RunError, plainly

_FORGOTTEN = 86_400.0  # seconds after which an unfinished file counts as left behind, where its writer is unknown


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
    with renamed_to(path, what) as temporary, open(temporary, "xb") as file:
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
    with renamed_to(path, what) as temporary:
        temporary.mkdir()
        yield temporary


@contextmanager
def renamed_to(path: Path, what: str) -> Iterator[Path]:
    """A hidden path beside `path`, for the body to make; it is renamed at the end, or removed.

    Args:
        path: a file, the folder of which is made where missing, or a folder.
        what: the words for it in an error.

    Raises:
        RunError: the disk refuses, here or in the body.
    """
    temporary = hidden_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_once(path.parent, os.getpid())
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        told = advice(error, "Check the folder's rights and free space, or choose another folder.")
        raise RunError(f"{path}: expected to write {what}; got {plainly(error)}. {told}") from error
    except RunError as error:  # of a file inside, which the user knows by another name
        raise RunError(str(error).replace(str(temporary), str(path))) from error
    finally:
        _remove(temporary)


@cache
def _clear_once(folder: Path, process: int) -> None:
    """Clear a folder when a process writes there first; later it would find the same."""
    clear_leftovers(folder)


def remove_folder(path: Path) -> None:
    """Remove a folder, if it is there: at once for those who look for `path`. `OSError` where the disk refuses."""
    hidden = hidden_beside(path)
    with suppress(FileNotFoundError):
        os.replace(path, hidden)
        shutil.rmtree(hidden)


def clear_leftovers(folder: Path, name: str | None = None, alone: bool = False) -> None:
    """Remove what killed processes left in a folder; what cannot be removed stays hidden.

    What a living process is writing stays; so does what another machine has written to within a day.

    Args:
        folder: where.
        name: of the file or folder that they were writing; None is any.
        alone: nobody else can be writing these, for this process has the lock; so all of it goes.
    """
    for path in folder.glob(".*.tmp"):
        if name is not None and not path.name.startswith(f".{name}."):
            continue
        with suppress(OSError):
            if alone or _is_left_behind(path):
                # A process that is about to die must not rename what is half removed: so it goes by another name.
                doomed = hidden_beside(path.with_name(name or "left"))
                os.replace(path, doomed)
                _remove(doomed)


def hidden_beside(path: Path) -> Path:
    """A new name beside `path`, under which it is written before it is moved into place."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{uuid4().hex[:12]}.tmp")


def _is_left_behind(path: Path) -> bool:
    """Whether nobody will finish this file or folder. By the process where that can be known: a clock may jump."""
    writer = re.search(r"\.([0-9a-f]+)-([0-9]+)-[0-9a-f]+\.tmp$", path.name)
    if writer is not None and writer[1] == _machine() and os.name == "posix":  # elsewhere kill(n, 0) ends process n
        return not _is_alive(int(writer[2]))
    return time.time() - path.stat().st_mtime >= _FORGOTTEN


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's
        return True
    return True


@cache
def _machine() -> str:
    """Tells apart machines, their starts and their containers, in each of which processes are numbered anew."""
    known = [platform.node()]
    with suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        known.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(known).encode(errors="replace")).hexdigest()[:8]


def is_unfinished(name: str) -> bool:
    """Whether a file or folder of this name is one that is being written, or was left by a killed process."""
    return name.startswith(".") and name.endswith(".tmp")


def advice(error: OSError, otherwise: str) -> str:
    """What to do about an error of the disk."""
    many = error.errno in (errno.EMFILE, errno.ENFILE)
    return "Have fewer files open at once, or raise their limit (ulimit -n)." if many else otherwise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
