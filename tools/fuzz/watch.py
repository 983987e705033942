"""One reading, watched: what it raised, how long it took, how much memory, and whether it left its own files."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cocoop.errors import CocoopError
from cocoop.escapes import visible
from cocoop.progress import be_quiet

SECONDS = 20
"""Of processor time, after which a reading hangs."""

_EVENTS = {"os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "pty.spawn"}
"""Of Python's audit: what no reader may do, whatever it is given."""

_trespasses: list[str] = []
_watching = False


class HungError(BaseException):
    """The time is up. Readers that catch all `Exception`s do not catch it."""


class Outcome(NamedTuple):
    """verdict: "read", "refused", "crashed" or "hung". told: the error, with its place if it is a crash."""

    verdict: str
    told: str


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event in _EVENTS:
        _trespasses.append(f"{event} {arguments[:2]}")
    elif event in ("open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
        place = arguments[0] if arguments else None
        if isinstance(place, str) and "outside" in Path(os.path.abspath(place)).parts:
            _trespasses.append(f"{event} {place}")


def begin(most_memory: int) -> None:
    """Watch this process from now on; it may have so many bytes of memory more than it has."""
    sys.addaudithook(_audit)
    signal.signal(signal.SIGPROF, _too_long)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + most_memory, resource.RLIM_INFINITY))
    warnings.simplefilter("ignore")
    be_quiet(True)


def _too_long(*_: object) -> None:
    raise HungError


def watched(read: Callable[[], None]) -> Outcome:
    """What comes of a reading."""
    error: BaseException | None = None
    with _alarm(), _guard():
        try:
            read()
        except BaseException as raised:
            error = raised
    if isinstance(error, KeyboardInterrupt):
        raise error
    if isinstance(error, HungError):
        return Outcome("hung", _place(error))
    if _trespasses:
        told = "; ".join(_trespasses[:3])
        _trespasses.clear()
        return Outcome("crashed", f"trespass: {told}")
    if error is None:
        return Outcome("read", "")
    if isinstance(error, CocoopError):
        return _of_refusal(str(error))
    return Outcome("crashed", f"{type(error).__name__}: {str(error)[:300]!r} {_place(error)}")


def _of_refusal(message: str) -> Outcome:
    """A message is one line of text that a terminal can show, of a length that somebody reads."""
    if visible(message) != message:
        return Outcome("crashed", f"unprintable message: {message[:400]!a}")
    if len(message) > 2000:
        return Outcome("crashed", f"message of {len(message):,} letters: {message[:300]!a}")
    return Outcome("refused", message)


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


@contextlib.contextmanager
def _guard() -> Iterator[None]:
    global _watching
    _watching = True
    try:
        yield
    finally:
        _watching = False


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/cocoop/" in frame.filename] or frames
    shown = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in [*own[-2:], frames[-1]]]
    return f"at {' < '.join(dict.fromkeys(reversed(shown)))}"
