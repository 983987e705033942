"""Former names of options, which keep working for one release, with a note."""

from __future__ import annotations

import json
from collections.abc import Sequence

_NOW = {
    "--features": ("--feature-cache {}",),
    "--compile": ("--cuda-graph {}",),
    "--context": ("--set context={text}",),
    "--random-context": ("--set context=none", "--set context_length={}"),
    "--class-specific": ("--set class_specific=true",),
    "--class-position": ("--set class_position={text}",),
    "--template": ("--set templates={text}",),
}
"""Old option -> what it is now, with {} for its value if it has one, {text} where that stays a text ("none", "8")."""


def renamed(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments with today's options, and one note for each that had another name."""
    new: list[str] = []
    notes: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*new, argument, *rest], notes
        option, equals, value = argument.partition("=")
        forms = _NOW.get(option)
        if forms is None:
            new.append(argument)
            continue
        takes_value = any("{" in form for form in forms)
        if takes_value and not equals:
            if not rest:
                new.append(argument)
                continue
            value = rest.pop(0)
        for form in forms:
            name, _, place = form.partition(" ")
            new += [name, place.replace("{}", value).replace("{text}", json.dumps(value, ensure_ascii=False))]
        shown = " ".join(forms).replace("{}", "...").replace("{text}", "...")
        notes.append(f"note: {option} is called {shown} now; the old name will be gone in the next release")
    return new, notes
