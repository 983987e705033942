"""The package's own family of errors.

Every message says three things: what was expected, what came, and what to do about it.
"""

import math
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Real
from typing import Any

from cocoop.escapes import shortened, visible

_MOST = 1200
"""Letters of a message. Names in it may be of any length, and of strangers."""


class CocoopError(Exception):
    """Base of every error this package raises on purpose. Its text is one line, which any terminal can show."""

    def __str__(self) -> str:
        return shortened(visible(super().__str__()), _MOST)


class InputError(CocoopError, ValueError):
    """The user's input cannot work: a wrong path, an unknown name, an image that does not decode."""


class NotFittedError(InputError):
    """A classifier was asked before it learned."""


class RunError(CocoopError, RuntimeError):
    """The input was fine but the run failed: a loss that is not finite, a disk that is full."""


def expect_choice(what: str, given: str, choices: Iterable[str]) -> None:
    """Raise `InputError` with the list of choices, and the nearest, unless `given` is one of them."""
    known = list(choices)
    if given not in known:
        near = get_close_matches(given.lower(), known, n=1) if isinstance(given, str) else []
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(f"{what}: expected one of {', '.join(known)}; got {given!r}.{hint}")


def expect_number(what: str, given: Any, most: float = math.inf) -> float:
    """The number as a float; raise `InputError` unless it is a finite one from 0 to `most`."""
    if not isinstance(given, Real) or isinstance(given, bool) or not 0 <= float(given) <= most or given == math.inf:
        wanted = "of 0 or more" if most == math.inf else f"from 0 to {most:g}"
        raise InputError(f"{what}: expected a number {wanted}; got {given!r}.")
    return float(given)


def reason(error: BaseException) -> str:
    """The kind of an error and the first line of its message, without a full stop: to stand in another message."""
    return f"{type(error).__name__}: {_first_line(error, 'no details')}".rstrip(".:")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the machine's or the GPU's memory was not enough; torch has no kind of its own for the machine's."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return not kinds.isdisjoint({"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)


def plainly(error: BaseException) -> str:
    """Why a file could not be used, to stand in another message: the system's words without number and path."""
    if isinstance(error, UnicodeDecodeError):
        return "text that is not UTF-8"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _first_line(error, type(error).__name__).rstrip(".")


def _first_line(error: BaseException, otherwise: str) -> str:
    return (str(error).strip().splitlines() or [otherwise])[0]
