"""Settings as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from cocoop.errors import InputError


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by name, copied, with numbers of NumPy and other kinds as Python's own.

    Raises:
        InputError: a value that a run folder could not keep.
    """
    return {name: _plain(name, value) for name, value in values.items()}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(name, item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    raise InputError(
        f"{name}: expected what a run folder can keep: None, texts, finite numbers, and lists of them; got "
        f"{value if isinstance(value, float) else type(value).__name__}."
    )
