"""What a run folder keeps of a method: its settings and its learned tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from numbers import Real
from reprlib import repr as shortened
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cocoop.errors import InputError
from cocoop.methods.base import Method


def expect_setting(name: str, value: Any) -> None:
    """Raise `InputError` unless a run folder can keep a setting: None, texts, finite numbers, and lists of such."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False, default=_number).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{name}: expected None, a text, a finite number or a list of such, which a run folder can keep; got "
            f"{shortened(value)} ({error})."
        ) from error


def _number(value: Any) -> float:
    if isinstance(value, Real | np.generic):
        return float(value)
    raise TypeError(f"{type(value).__name__} is none of these")


def expect_rebuildable(model: Method) -> None:
    """Raise `InputError` unless a method's `settings` are its constructor's keywords: a folder builds it with them.

    A subclass that takes fewer keywords than the class above, and keeps that one's `settings`, has others.
    """
    wanted, got = list(type(model).setting_defaults()), list(model.settings)
    if set(wanted) != set(got):
        raise InputError(
            f"{type(model).__name__}.settings: expected the keywords of its constructor "
            f"({', '.join(wanted) or 'none'}); got {', '.join(got) or 'none'}. Return each of them there; or let "
            "__init__ take **others for those of the class above."
        )


def load_tensors(model: Method, tensors: Mapping[str, NDArray[Any]], expected: str) -> None:
    """Put learned tensors into a method, in place. `InputError`, which begins with `expected`, for others."""
    learned = model.state_dict()
    wanted = {name: list(tensor.shape) for name, tensor in learned.items()}
    got = {name: list(array.shape) for name, array in tensors.items()}
    for name in sorted(wanted.keys() | got.keys()):
        if wanted.get(name) != got.get(name):
            raise InputError(
                f"{expected}, with {name} of shape {wanted.get(name)}; got {got.get(name)}. Give the CLIP it was "
                "trained on."
            )
        array = tensors[name]
        if learned[name].is_floating_point() and not (array.dtype.kind == "f" and np.isfinite(array).all()):
            raise InputError(
                f"{expected}, with a {name} of finite numbers; got others, of {array.dtype}. The file is damaged: copy "
                "it again, or train again."
            )
    model.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
