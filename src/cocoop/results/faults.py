"""Why a file could not be read, in words."""

from __future__ import annotations

import json

from cocoop.results.typed import MistypedError


def fault_of_file(error: BaseException) -> str:
    """Why a file could not be read as JSON or as a record, such as "it is empty"; `error` is what reading it raised."""
    if isinstance(error, MistypedError):
        return str(error)
    if isinstance(error, json.JSONDecodeError):
        if not error.doc.strip():
            return "it is empty"
        # A string without an end is reported where it starts.
        if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
            return "it is cut off"
        return f"it is no JSON (line {error.lineno}, column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return "it is no UTF-8 text"
    if isinstance(error, OSError):
        return f"it cannot be read ({error.strerror})"
    return f"it holds {error}"  # NaN, which is not JSON; lists too deep; too large
