"""The public API as it stands: names, constructors, methods, with their arguments, annotations and defaults.

`public_api.txt` pins it. A change there is one that users see: `python tests/test_public_api.py > tests/public_api.txt`
writes it anew, for the change log to say what changed.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocoop

PINNED = Path(__file__).with_name("public_api.txt")


def described() -> list[str]:
    """One line for every public name, and for every public method that is not written down under a name before."""
    return [line for name in cocoop.__all__ for line in lines(name, getattr(cocoop, name))]


def lines(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield f"{name}: {json.dumps({key: known.__name__ for key, known in value.items()})}"
    elif not inspect.isclass(value):
        yield f"{name}{signature(value)}"
    elif issubclass(value, Exception):
        yield f"class {name}({', '.join(base.__name__ for base in value.__bases__)})"
    else:
        yield f"class {name}{signature(value)}"
        for method, member in sorted(own_members(value).items()):
            yield f"    {name}.{method}{member_signature(member)}"


def own_members(value: type) -> dict[str, Any]:
    """Public functions and properties by name, also of bases of this package that are not public themselves."""
    public = {getattr(cocoop, name) for name in cocoop.__all__ if name != "METHODS"} - {value}
    homes = [base for base in value.__mro__ if base.__module__.startswith("cocoop") and base not in public]
    members = {name: member for home in reversed(homes) for name, member in vars(home).items()}
    return {
        name: member
        for name, member in members.items()
        if not name.startswith("_")
        and hasattr(type(member), "__get__")
        and not type(member).__module__.startswith("sklearn")  # its `set_..._request`
    }


def member_signature(member: Any) -> str:
    if isinstance(member, classmethod | staticmethod):
        return f"{signature(member.__func__)}  [{type(member).__name__}]"
    if inspect.isfunction(member):
        return signature(member)
    return "  [property]"


def signature(value: Any) -> str:
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(value)))  # postponed annotations are texts


def test_the_public_api_is_as_pinned():
    pinned = PINNED.read_text(encoding="utf-8").splitlines()
    changes = list(difflib.unified_diff(pinned, described(), "pinned", "now", lineterm="", n=0))
    assert not changes, "\n".join(["the public API changed; if that is meant, see this file's beginning:", *changes])


def test_what_users_call_most_is_among_it():
    now = described()
    for start in ("class CoCoOp(clip: CLIP, ", "    PromptClassifier.predict(self, images: ", "read_dataset(source: "):
        assert sum(line.startswith(start) for line in now) == 1


if __name__ == "__main__":
    print("\n".join(described()))
