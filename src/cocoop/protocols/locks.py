"""Who is at work in the folder of a benchmark: one process with all of it, or some with a trial each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cocoop.results import alone_at

_OTHERS_TAKE = 30.0
"""Seconds after which who holds the folder is no other process that has just begun with a trial, but has all of it."""


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Hold the folder, made if need be, for this process; the system lets go of it when the process dies.

    `InputError` where another process has it, or a trial in it.
    """
    with alone_at(out / ".lock", _busy(out)):
        for of_trial in out.glob(".lock-*"):
            with alone_at(of_trial, _busy(out)):
                pass
        yield


@contextmanager
def alone_with(out: Path, number: int) -> Iterator[None]:
    """Hold one trial of the folder. `InputError` where another process has that trial, or the whole folder."""
    with ExitStack() as held:
        with alone_at(out / ".lock", _busy(out), _OTHERS_TAKE):
            held.enter_context(alone_at(out / f".lock-{number}", _busy(out)))
        yield


def _busy(out: Path) -> str:
    return (
        f"{out}: expected a folder for this benchmark alone; another one is at work in it. Wait for it, or choose "
        "another --out."
    )
