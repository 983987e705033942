"""Build a module around existing tensors, without allocating others first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cocoop.errors import InputError

_Module = TypeVar("_Module", bound=nn.Module)


def check_layers(what: str, width: int, heads: int, eps: float) -> None:
    """Raise `InputError` unless `heads` divide the width, and `eps` fits a layer norm."""
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise InputError(
            f"{what}: expected a width that whole heads share; got {heads!r} heads for a width of {width}."
        )
    if not isinstance(eps, float | int) or not 0 < eps < 1:
        raise InputError(f"{what}: expected an eps of the layer norms between 0 and 1, such as 1e-5; got {eps!r}.")


class _NoStart(TorchFunctionMode):
    """Skips `torch.nn.init`, which imports a compiler on the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def fill(what: str, build: Callable[[], _Module], weights: Mapping[str, Tensor]) -> _Module:
    """The module that `build` makes, with these tensors as its own: no copy, no random start.

    Args:
        what: the name of what is built, for the message.
        build: makes the module. It runs on the meta device: what it makes has a shape and no memory.
        weights: a state dict, complete.

    Raises:
        InputError: the tensors are not those of the module, by name or shape.
    """
    with torch.device("meta"), _NoStart():
        module = build()
    try:
        module.load_state_dict(weights, assign=True)
    except RuntimeError as error:  # one line for each tensor; the first few tell
        reason = " ".join(str(error).split()[:60])
        raise InputError(f"{what}: expected all tensors of one CLIP, in matching shapes; got: {reason}") from error
    return module
