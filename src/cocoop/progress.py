"""What is said on stderr beside errors: notes, warnings, and progress bars where somebody watches. Durations."""

import sys
import warnings
from collections.abc import Iterable
from functools import partial
from threading import RLock
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")

_bars = True
_notes = True


def progress(items: Iterable[T], what: str, total: int | None = None, unit: str = "it") -> Iterable[T]:
    """Pass `items` through and show how far they got, and how many of `unit` a second.

    `what` names the work, `total` their number if unsized.
    """
    bar: Iterable[T] = tqdm(items, desc=what, total=total, unit=unit, delay=2, **_manners())
    return bar


def counter(what: str, total: int, unit: str, delay: float = 0) -> Any:
    """A bar for a `with` statement that is advanced by hand and appears after `delay` seconds.

    `.update(n)` counts n more; `.refresh()` redraws it, so that its clock goes on while nothing is finished.
    """
    return tqdm(desc=what, total=total, unit=unit, delay=delay, **_manners())


def duration(seconds: float) -> str:
    """A time in words: "40 seconds", from two minutes on "9.6 minutes", from an hour on "2.5 hours"."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:,.1f} hours"


def _manners() -> dict[str, Any]:
    # disable=None: silent unless stderr is a terminal.
    return {"disable": None if _bars and _notes else True, "leave": False, "dynamic_ncols": True}


def silence() -> None:
    """Show no bars in this process: where several work at once, one shows them for all."""
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
        print(text, file=sys.stderr)


def note_warnings(places: bool = False) -> None:
    """From now on show each warning of this process as a line of stderr, "note: ...".

    `places`: whether with its place in the code.
    """
    warnings.showwarning = partial(_note, places)


def _note(places: bool, message: Warning | str, _: object, file: str, line: int, *__: object, **___: object) -> None:
    note(f"note: {str(message).removeprefix('cocoop: ')}" + (f" ({file}, line {line})" if places else ""))
