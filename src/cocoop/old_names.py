"""The names that a classifier's parameters had until the last release. This file goes with the next one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

RENAMED = {"features": "feature_cache", "compile": "cuda_graph"}
"""A classifier's parameters: name before -> name now."""

NOW_SETTINGS = ("context", "context_length", "class_specific", "class_position", "templates")
"""What were parameters of a classifier, and are settings of a method now."""

OLD_NAMES = (*RENAMED, *NOW_SETTINGS)
"""All names that a classifier's parameters had until the last release."""


def from_old_names(
    given: Mapping[str, Any], beside: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Parameters by the names that they had before -> by those of now, each with a `FutureWarning`.

    Args:
        given: some of `OLD_NAMES` -> values.
        beside: the parameters by today's names that came with them.
        settings: what those of `given` that are settings now are added to.

    Raises:
        TypeError: one parameter came by both of its names.
    """
    now: dict[str, Any] = {}
    for name, value in given.items():
        if name in RENAMED:
            called = RENAMED[name]
            both = beside.get(called) not in (None, "auto")  # their defaults
            now[called] = value
        else:
            called = f"settings={{{name!r}: ...}}"
            both = name in (beside.get("settings") or {})
            now["settings"] = {**(now.get("settings", settings) or {}), name: value}
        if both:
            raise TypeError(f"{name} is called {called} now: expected one of the two; got both")
        text = f"{name} is called {called} now; the old name will be gone in the next release"
        warnings.warn(text, FutureWarning, stacklevel=3)
    return now
