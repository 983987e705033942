"""What every command takes beside its own options: -q and -v, before its name or after it."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer

from cocoop.errors import CocoopError, InputError, RunError, is_out_of_memory, plainly, reason
from cocoop.progress import be_quiet, note, note_warnings, say
from cocoop.ranks import may_speak, place

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr, errors alone.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="The whole traceback of an error, and the place of a warning.")
]

_verbose = False


def behave(quiet: bool = False, verbose: bool = False) -> None:
    """Begin to be quiet or verbose."""
    global _verbose
    if quiet:
        be_quiet(True)
    if verbose:
        _verbose = True
        note_warnings(places=True)


def start_afresh() -> None:
    """Be neither, whatever an earlier command of this process was."""
    global _verbose
    _verbose = False
    be_quiet(place().rank > 0)
    note_warnings()


def with_manners(command: Callable[..., None], by_ranks: bool = False) -> Callable[..., None]:
    """The command with -q and -v behind its own options; and first it says the notes that its context carries.

    `by_ranks`: whether several processes of torchrun can do it together.
    """

    @wraps(command)
    def run(context: typer.Context, quiet: bool, verbose: bool, **options: Any) -> None:
        if place().size > 1 and not by_ranks:
            raise InputError(
                f"cocoop {context.info_name}: expected one process; torchrun has started {place().size}, which share "
                "the work of cocoop train alone. Start it without torchrun."
            )
        behave(quiet, verbose)
        for text in context.obj or ():
            note(text)
        command(**options)

    own, ours = (
        [one.replace(kind=Parameter.KEYWORD_ONLY) for one in signature(of, eval_str=True).parameters.values()]
        for of in (command, _ours)
    )
    parameters = [*own, *ours]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _ours(context: typer.Context, quiet: Quiet = False, verbose: Verbose = False) -> None: ...


@contextmanager
def stopped_by_hand(told: Callable[[KeyboardInterrupt], str]) -> Iterator[None]:
    """After Ctrl-C or SIGTERM say what `told` makes of it, and end with the exit code of that: 130, or 143."""
    code = 128 + signal.SIGINT

    def terminate(*_: object) -> None:
        nonlocal code
        code = 128 + signal.SIGTERM
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as error:
        note(told(error))
        raise typer.Exit(code) from None
    finally:
        if signal.getsignal(signal.SIGTERM) is terminate:
            signal.signal(signal.SIGTERM, before)


def exit_code(error: Exception) -> int:
    """Say what went wrong, and return the exit code: 2 where the input cannot work, else 1.

    Of the processes of torchrun the first to come here says it.
    """
    if not may_speak():
        return 2 if isinstance(error, InputError) else 1
    if _verbose:
        traceback.print_exception(error)
    if isinstance(error, CocoopError):
        say(f"cocoop: {error}")
        return 2 if isinstance(error, InputError) else 1
    if is_out_of_memory(error):
        say(
            f"cocoop: memory: expected enough of it for this command; got {reason(error)}. Give it a "
            "--memory-budget or smaller batches, or end other programs."
        )
        return 1
    advice = "" if _verbose else " Run it again with --verbose for the place, and report that."
    say(f"cocoop: an error that nobody expected: {reason(error)}.{advice}")
    return 1


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def refusal_of_stdout(raised: Exception | None = None) -> RunError | None:
    """Write what was printed so far; gives the error of a place that does not take it, which gets nothing more.

    Of a pipe whose reader has gone, such as `head`, no word is said. `raised`: by the command; printing may have, and
    nothing else that the package does raises such errors without the name of a file.
    """
    refused = _refusal(sys.stdout)
    _refusal(sys.stderr)
    if isinstance(raised, OSError) and raised.filename is None and raised.errno in _NO_ROOM:
        refused = raised
    if refused is None or refused.errno == errno.EPIPE:
        return None
    return RunError(
        f"stdout: expected to print the results; got {plainly(refused)}. Send them to a place with room for them."
    )


def _refusal(stream: Any) -> OSError | None:
    try:
        if stream is not None:
            stream.flush()
    except OSError as error:
        # Python tries once more at its end, and would show a traceback.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        return error
    return None
