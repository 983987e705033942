"""What a check found, also where the check itself fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from cocoop.errors import reason

REPORT = "Report it, with this table."


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    Attributes:
        check: what was looked at.
        found: what was found.
        state: "ok"; "note", if everything works but something is slower or missing; or "wrong".
        remedy: what to do; "" if nothing.
    """

    check: str
    found: str
    state: Literal["ok", "note", "wrong"] = "ok"
    remedy: str = ""


def findings_of(check: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What `look` finds; where it raises, what it raised is one more finding, under the name of the check."""
    try:
        yield from look()
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # whatever a broken installation raises, panics of compiled libraries too
        remedy = "Install what is missing, and look again." if isinstance(error, ImportError) else REPORT
        yield Finding(check, f"could not be looked at: {reason(error)}", "wrong", remedy)
