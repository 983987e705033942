"""Former names of options, which keep working for one release, with a note."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

_Forms = dict[str, tuple[str, ...]]

_FEATURES: _Forms = {"--features": ("--feature-cache {}",)}
_NOW: dict[str, _Forms] = {
    "train": {
        **_FEATURES,
        "--compile": ("--cuda-graph {}",),
        "--context": ("--set context={text}",),
        "--random-context": ("--set context=none", "--set context_length={}"),
        "--class-specific": ("--set class_specific=true",),
        "--class-position": ("--set class_position={text}",),
        "--template": ("--set templates={text}",),
    },
    "evaluate": _FEATURES,
    "predict": {**_FEATURES, "--results-format": ("--format {}",)},
    "benchmark": _FEATURES,
    "bench": {"--classes": ("--class-counts {}",), "--images": ("--batch-sizes {}",)},
    "info": {"--classes": ("--class-counts {}",)},
    "datasets check": {"--root": ("--data-root {}",)},
    "datasets sample": {"--root": ("--data-root {}",)},
}
"""Command -> option that it had -> what that is now: {} is its value, {text} a value that stays text ("none", "8")."""


def with_new_names(arguments: Sequence[str], group: Any) -> tuple[list[str], list[str]]:
    """The arguments with today's options, and one note for each that had another name.

    Args:
        arguments: of the command line.
        group: the command line, as `typer.main.get_command` makes it. It tells which options take the next word.
    """
    name, command, begins = _command(arguments, group)
    now = _NOW.get(name, {})
    takes_next = _options_with_value(command) if now else set()
    new: list[str] = [*arguments[:begins]]
    notes: list[str] = []
    words = iter(arguments[begins:])
    for word in words:
        if word == "--":
            return [*new, word, *words], notes
        option, equals, value = word.partition("=")
        forms = now.get(option)
        if forms is None:
            new.append(word)
            if word in takes_next:
                new += islice(words, 1)
            continue
        if not equals and any("{" in form for form in forms):
            given = next(words, None)
            if given is None:
                return [*new, word], notes
            value = given
        for form in forms:
            name, _, place = form.partition(" ")
            new += [name, place.replace("{}", value).replace("{text}", json.dumps(value, ensure_ascii=False))]
        shown = " ".join(forms).replace("{}", "...").replace("{text}", "...")
        notes.append(f"note: {option} is called {shown} now; the old name will be gone in the next release")
    return new, notes


def _command(arguments: Sequence[str], group: Any) -> tuple[str, Any, int]:
    """The name of the command that is called, such as "datasets check", it, and where its arguments begin."""
    names: list[str] = []
    command = group
    for position, word in enumerate(arguments):
        if word.startswith("-"):
            continue
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        names.append(word)
        if not hasattr(command, "commands"):
            return " ".join(names), command, position + 1
    return "", group, 0


def _options_with_value(command: Any) -> set[str]:
    return {name for option in command.params if not getattr(option, "is_flag", True) for name in option.opts}
