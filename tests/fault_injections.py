"""What puts faults of the machine in the way of a command; `fault_cases.py` has them in its rows."""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

Patch = pytest.MonkeyPatch
Injection = Callable[[Patch], None]


@contextmanager
def injected(inject: Injection, patch: Patch) -> Iterator[None]:
    """The fault is in the way inside."""
    with patch.context() as inner:
        inject(inner)
        try:
            yield
        finally:
            while _UNDO:
                _UNDO.pop()()


def _writes(mode: str) -> bool:
    return not set(mode).isdisjoint("wxa+")


def _hits(path: Any, names: tuple[str, ...]) -> bool:
    place = os.path.abspath(path) if isinstance(path, str | os.PathLike) else ""
    return place.startswith(os.getcwd()) and any(name in place for name in names)


def full(*names: str) -> Injection:
    """A disk without room for files below the working directory with one of these texts in their path.

    The error is the kernel's own: the files appear, and what is written goes to /dev/full.
    """

    def inject(patch: Patch) -> None:
        opened = builtins.open

        def wrapped(path: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
            if not (_writes(mode) and _hits(path, names)):
                return opened(path, mode, *more, **options)
            opened(path, mode, *more, **options).close()
            return opened("/dev/full", mode.replace("x", "w").replace("a", "w"), *more, **options)

        for module in (builtins, io):
            patch.setattr(module, "open", wrapped)

    return inject


def read_only(*names: str) -> Injection:
    """A file system that may only be read, as far as paths have one of these texts in them."""

    def inject(patch: Patch) -> None:
        def refusing(function: Callable[..., Any], makes: Callable[..., bool]) -> Callable[..., Any]:
            def wrapped(path: Any, *more: Any, **options: Any) -> Any:
                if _hits(path, names) and makes(path, *more):
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
                return function(path, *more, **options)

            return wrapped

        wrapped = refusing(builtins.open, lambda path, mode="r", *_: _writes(mode))
        for module in (builtins, io):
            patch.setattr(module, "open", wrapped)
        patch.setattr(os, "open", refusing(os.open, lambda path, flags, *_: bool(flags & (os.O_CREAT | os.O_WRONLY))))
        patch.setattr(os, "mkdir", refusing(os.mkdir, lambda path, *_: not os.path.lexists(path)))
        patch.setattr(os, "replace", refusing(os.replace, lambda *_: True))

    return inject


def limited(size: int) -> Injection:
    """No file may have more bytes, as a quota has it: for what libraries write that are not Python."""

    def inject(patch: Patch) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        _UNDO.append(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))

    return inject


_UNDO: list[Callable[[], None]] = []


def rights(patch: Patch) -> None:
    """A folder that this user may not write in; the superuser may anywhere."""
    patch.setattr(os, "access", lambda path, mode, **_: mode == os.R_OK or not _hits(path, ("locked",)))


def memory(patch: Patch) -> None:
    """A step that asks for more memory than there is: torch's own error."""
    patch.setattr("cocoop.training.step.Step.__call__", lambda *_: torch.empty(2**55))


def clock(patch: Patch) -> None:
    """A clock that jumps a year back and forth at each look."""
    now = [1e9]

    def jumping() -> float:
        now.append(-now[-1] + 2e9 + 3e7)
        return now[-1]

    patch.setattr("time.time", jumping)


def out_of_memory_killer(patch: Patch) -> None:
    """Each process of a benchmark is killed as soon as it begins."""
    from cocoop import workers

    started = workers._Worker.__init__

    def killed(self: Any, *arguments: Any) -> None:
        started(self, *arguments)
        os.kill(self.process.pid, signal.SIGKILL)

    patch.setattr(workers._Worker, "__init__", killed)


def no_shared_memory(patch: Patch) -> None:
    """A container without /dev/shm, and images enough for processes."""
    patch.setattr("cocoop.features.ahead.SHARED_MEMORY", Path("/nowhere"))
    patch.setattr("cocoop.features.ahead._IMAGES_PER_PROCESS", 1)
    patch.setattr("cocoop.features.ahead.usable_cpus", lambda: 4)
    patch.setattr("cocoop.features.ahead.from_processes", lambda *_: pytest.fail("processes without shared memory"))


def few_files(patch: Patch) -> None:
    """No more than 64 open files, with those that Python has."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    _UNDO.append(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, before))


def overtaken(patch: Patch) -> None:
    """Somebody else makes the folder while the training is at work."""
    from cocoop import protocols

    learned = protocols.fit_and_score

    def wrapped(*arguments: Any) -> Any:
        run = learned(*arguments)
        Path("new").mkdir()
        Path("new", "mine").touch()
        return run

    patch.setattr(protocols, "fit_and_score", wrapped)


def nowhere_to_print(patch: Patch) -> None:
    """`> /dev/full`."""
    _sent_nowhere(patch, "sys.stdout")


def nowhere_to_note(patch: Patch) -> None:
    """`2> /dev/full`."""
    _sent_nowhere(patch, "sys.stderr")


def _sent_nowhere(patch: Patch, stream: str) -> None:
    full = open("/dev/full", "w")  # noqa: SIM115
    patch.setattr(stream, full)
    _UNDO.append(full.close)


def nothing(patch: Patch) -> None:
    """The command itself asks for what cannot be."""
