"""Hand-written prompts: a text with "{}" where the class name goes."""

from __future__ import annotations

from collections.abc import Sequence
from reprlib import repr as shortened
from typing import Any

from cocoop.class_names import prompt_name
from cocoop.errors import InputError

PLAIN = "a photo of a {}."
"""The template where nothing is known of the data set."""


def expect_template(setting: str, given: Any, wanted: str = "a text") -> None:
    """Raise `InputError` unless `given` is a text with {}; it names the setting and what that should be."""
    if not isinstance(given, str) or "{}" not in given:
        raise InputError(
            f"{setting}: expected {wanted} with {{}} where the class name goes, such as {PLAIN!r}; got "
            f"{shortened(given)}."
        )


def filled(template: str, class_names: Sequence[str]) -> list[str]:
    """The template with each name in it, [K]; "_" in a name is a space."""
    return [template.replace("{}", prompt_name(name)) for name in class_names]
