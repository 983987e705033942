"""Places to write to, tried before the work; and what was learned, kept somewhere else where one fails after it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain, count
from os import PathLike
from pathlib import Path

from filelock import FileLock, Timeout

from cocoop.atomic import clear_leftovers, hidden_beside
from cocoop.errors import InputError, RunError, plainly
from cocoop.results.tensors import Array, write_tensors


def real_place(folder: str | PathLike[str]) -> Path:
    """The absolute path of a folder; that of its target if it is a link, whether or not the target is there."""
    path = Path(folder).absolute()
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def check_free(folder: str | PathLike[str], what: str = "the run") -> None:
    """Raise `InputError` if `folder` is there and is not an empty folder. Looks only. `what` is to lie there."""
    path = real_place(folder)
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{folder}: expected a new or empty folder for {what}; it exists. Choose another name.")
    if os.path.ismount(path):  # nothing can be moved to where it is
        raise InputError(f"{folder}: expected a folder for {what}; it is a whole file system. Choose one in it.")


def check_new(folder: str | PathLike[str]) -> None:
    """Raise `InputError` unless a run folder can be written as `folder`, which must not be there yet, or be empty.

    Writes a small one in the nearest folder above that is there, and removes it again, so that a place that cannot
    work is known before hours of training. That the disk has room for the real one cannot be known.
    """
    check_free(folder)
    path = real_place(folder)
    above = next(parent for parent in path.parents if os.path.lexists(parent))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        reason = "a folder without the right to write" if above.is_dir() else "a file"
        raise InputError(f"{folder}: expected a place to write the run folder; {above} is {reason}. Choose another.")
    missing = path.relative_to(above)
    trial = hidden_beside(above / missing.parts[0])
    run = trial / missing
    temporary = hidden_beside(run)
    try:
        temporary.mkdir(parents=True)
        (temporary / "record.json").write_bytes(b"{}")
        hidden_beside(state_file(run)).touch()  # the longest of the names beside a run
        os.replace(temporary, run)
    except OSError as error:
        raise InputError(
            f"{folder}: expected a place to write the run folder; got {error.strerror} below {above}. Choose another."
        ) from error
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def check_file(path: str | PathLike[str]) -> None:
    """Raise `InputError` unless the file `path` can be written, or written over; tried with an empty file beside it."""
    place = Path(path)
    reason = None
    if os.path.lexists(place) and not place.is_file():
        reason = "is a folder" if place.is_dir() else "is no file that can be replaced"
    elif not place.parent.is_dir():
        reason = "lies in a folder that is not there"
    else:
        trial = hidden_beside(place)
        try:
            trial.touch(exist_ok=False)
            trial.unlink()
        except OSError as error:
            reason = f"cannot be written ({error.strerror})"
    if reason is not None:
        raise InputError(f"{path}: expected a file to write; it {reason}. Give another file name.")


def state_file(folder: str | PathLike[str]) -> Path:
    """Where a training that is to become the run `folder` keeps its state: a hidden file beside it, of no other run."""
    place = real_place(folder)
    return place.with_name(f".{place.name}.state")


def lock_file(folder: str | PathLike[str]) -> Path:
    """What a training holds that is to become the run `folder`, see `alone_at`."""
    place = real_place(folder)
    return place.with_name(f".{place.name}.lock")


@contextmanager
def alone_at(lock: Path, busy: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a place for this process; the system lets go of it when the process dies.

    Args:
        lock: a file, made here and removed at the end, as are missing folders above it that stay empty.
        busy: the error where another process holds it.
        patience: seconds to wait for that one.

    Raises:
        InputError: another process holds it, or the file cannot be made.
    """
    missing = [folder for folder in lock.parents if not folder.exists()]
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock, timeout=patience).acquire()
    except Timeout as error:
        raise InputError(busy) from error
    except OSError as error:
        raise InputError(
            f"{lock.parent}: expected a folder to write results into; got {plainly(error)}. Choose another."
        ) from error
    with held:
        try:
            yield
        finally:
            with suppress(OSError):  # while it is held: who waits for the removed file takes a new one
                lock.unlink()
                for folder in missing:
                    folder.rmdir()


def remove_state(state: Path) -> None:
    """Remove such a file, if it is there, and what killed processes left of it. What cannot be removed stays."""
    with suppress(OSError):
        state.unlink()
    clear_leftovers(state.parent, state.name)


@contextmanager
def keeping(folder: str | PathLike[str], learned: Callable[[Exception], Mapping[str, Array]]) -> Iterator[None]:
    """Keep what was learned if what is done within fails, and say where it is.

    Args:
        folder: where the run would have been. The tensors go beside it, or else to a folder for temporary files.
        learned: the exception -> the learned tensors by state-dict name; none if nothing was learned.

    Raises:
        RunError: in place of what was raised, if anything was learned.
    """
    try:
        yield
    except Exception as error:  # not Ctrl-C: the training's own state goes on from there
        tensors = learned(error)
        if not tensors:
            raise
        told = f"No run was written; {_keep(real_place(folder), tensors)}"
        if state_file(folder).exists():
            told += " The same command goes on from the training's state, which is kept, too."
        what = str(error) if isinstance(error, InputError | RunError) else f"{type(error).__name__}: {error}."
        raise RunError(f"{what} {told}") from error


def _keep(path: Path, tensors: Mapping[str, Array]) -> str:
    """Write the tensors to a new file, and say which."""
    numbered = (path.with_name(f"{path.name}.learned-{number}.safetensors") for number in count(2))
    names = chain([path.with_name(f"{path.name}.learned.safetensors")], numbered)
    try:
        place = next(name for name in names if not os.path.lexists(name))
        write_tensors(place, tensors)
    except (RunError, OSError):  # often what has failed before
        try:
            place = Path(tempfile.mkdtemp(prefix="cocoop-")) / "learned.safetensors"
            write_tensors(place, tensors)
        except (RunError, OSError) as error:
            return f"the learned tensors could not be kept either ({error})."
    return f"the learned tensors are in {place}."
