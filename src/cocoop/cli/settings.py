"""A method's settings as they are written on a command line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from cocoop.errors import InputError

_WORDS = {"none": None, "true": True, "false": False}


def parse_settings(given: Iterable[str]) -> dict[str, Any]:
    """["weight=8", "context=none", "templates=a {}."] -> {"weight": 8, "context": None, "templates": "a {}."}.

    "none", "true" and "false" are None, True and False in any case; another value is read as JSON where it is that (8,
    0.5, "text", [1, 2]), and as a text otherwise, {} too, which is a template. A name that is given several times has a
    list of its values.

    Raises:
        InputError: a part that is not NAME=VALUE.
    """
    values: dict[str, list[Any]] = {}
    for part in given:
        name, equals, text = part.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--set: expected NAME=VALUE, such as context_length=4; got {part!r}.")
        values.setdefault(name, []).append(_value(text))
    return {name: several if len(several) > 1 else several[0] for name, several in values.items()}


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or brackets without end
        return text
    return text if isinstance(value, dict) else value
