"""What is said on stderr beside errors: notes, warnings, and progress, as a bar or a line now and then. Durations."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sized
from contextlib import suppress
from functools import partial
from threading import RLock
from typing import Any, Generic, Protocol, Self, TypeVar

from tqdm import tqdm

from cocoop.escapes import visible

T = TypeVar("T")

_EVERY = 30.0
"""Seconds between two lines where stderr is no terminal."""

_bars = True
_notes = True


class Bar(Protocol):
    """What is advanced by hand, in a `with` statement."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""

    def update(self, n: int = 1) -> object:
        """Count n more."""

    def refresh(self) -> object:
        """Draw it again, so that its clock goes on while nothing is finished."""

    def set_postfix_str(self, s: str, refresh: bool = True) -> object:
        """What it says beside its numbers, from the next drawing on, or at once with `refresh`."""


def progress(items: Iterable[T], what: str, total: int | None = None, unit: str = "it") -> Iterable[T]:
    """Pass `items` through and show how far they got, and how many of `unit` a second, if it takes over two seconds.

    `what` names the work, `total` their number if unsized.
    """
    if _is_silent() or _is_watched():
        bar: Iterable[T] = tqdm(items, desc=visible(what), total=total, unit=unit, delay=2, **_manners())
        return bar
    return _Lines(what, len(items) if total is None and isinstance(items, Sized) else total, unit, items)


def counter(what: str, total: int, unit: str, delay: float = 0, done: int = 0) -> Bar:
    """A `Bar`, which appears after `delay` seconds; `done` of `total` were done before."""
    if _is_silent() or _is_watched():
        bar: Bar = tqdm(desc=visible(what), total=total, unit=unit, delay=delay, initial=done, **_manners())
        return bar
    return _Lines(what, total, unit, done=done)


class _Lines(Generic[T]):
    """A bar for a file or a pipe: a plain line on stderr every `_EVERY` seconds, so that what is shorter has none."""

    def __init__(self, what: str, total: int | None, unit: str, items: Iterable[T] = (), done: int = 0) -> None:
        self._what, self._total, self._items = visible(what), total, items
        self._unit = unit.strip() if unit != "it" else ""
        self._before = self._done = done
        self._said = ""
        self._begun = time.monotonic()
        self._due = self._begun + _EVERY

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[T]:
        for item in self._items:
            yield item
            self.update()

    def update(self, n: int = 1) -> None:
        self._done += n
        self.refresh()

    def refresh(self) -> None:
        now = time.monotonic()
        if now >= self._due:
            say(self._line(now - self._begun))
            self._due = now + _EVERY

    def set_postfix_str(self, s: str, refresh: bool = True) -> None:
        self._said = s
        if refresh:
            self.refresh()

    def _line(self, seconds: float) -> str:
        of = "" if self._total is None else f" of {self._total:,}"
        parts = [self._said, f"{self._done:,}{of} {self._unit}".rstrip()]
        if self._done > self._before:
            rate = (self._done - self._before) / seconds
            shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
            parts.append(f"{shown} {self._unit}/s" if self._unit else f"{shown} a second")
            if self._total is not None:
                parts.append(f"{duration((self._total - self._done) / rate)} left")
        return f"{self._what}: {', '.join(filter(None, parts))}"


def _is_watched() -> bool:
    """Whether stderr is a terminal; without any (a windowed program) nothing is shown, as with a terminal's bars."""
    return sys.stderr is None or sys.stderr.isatty()


def duration(seconds: float) -> str:
    """A time in words: "40 seconds", from two minutes on "9.6 minutes", from an hour on "2.5 hours"."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:,.1f} hours"


def _is_silent() -> bool:
    return not (_bars and _notes)


def _manners() -> dict[str, Any]:
    # disable=None: silent unless stderr is a terminal.
    return {"disable": True if _is_silent() else None, "leave": False, "dynamic_ncols": True}


def silence() -> None:
    """Show no progress in this process: where several work at once, one shows it for all."""
    global _bars
    _bars = False
    # tqdm's own lock is shared between processes: a killed process would leave it behind, and Python would warn.
    tqdm.set_lock(RLock())


def be_quiet(quiet: bool) -> None:
    """Whether bars, notes and warnings are kept back in this process."""
    global _notes
    _notes = not quiet


def is_quiet() -> bool:
    """Whether they are."""
    return not _notes


def note(text: str) -> None:
    """Say something about the run on stderr."""
    if _notes:
        say(text)


def say(text: str) -> None:
    """A line on stderr, quiet or not. Where that takes none, the work goes on."""
    with suppress(OSError):
        print(visible(text), file=sys.stderr, flush=True)


def note_warnings(places: bool = False) -> None:
    """From now on show each warning of this process as a line of stderr, "note: ...".

    `places`: whether with its place in the code.
    """
    warnings.showwarning = partial(_note, places)


def _note(places: bool, message: Warning | str, _: object, file: str, line: int, *__: object, **___: object) -> None:
    note(f"note: {str(message).removeprefix('cocoop: ')}" + (f" ({file}, line {line})" if places else ""))
