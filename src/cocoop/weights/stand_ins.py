"""What stands for the things that a weights pickle names, beside plain values and tensors."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from cocoop.weights.faults import shown


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """What stands for a function or a class; `make` takes the arguments as they came."""

    name: str
    make: Callable[..., object]


@dataclass(frozen=True, eq=False, slots=True)
class Inert:
    """What stands for a value that no tensor needs, such as a set or a number of numpy; it keeps nothing of it."""

    name: str


@dataclass(eq=False, slots=True)
class Record:
    """A TorchScript module: its attributes and nothing of its class but the name."""

    name: str
    attributes: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Stored:
    """The first `size` bytes of the storage `key`, numbers of kind `dtype`, mapped from the file."""

    key: str
    dtype: torch.dtype
    data: torch.UntypedStorage
    size: int


def kind_of(value: object) -> str:
    """What a message calls a value of a pickle."""
    return shown(value.name) if isinstance(value, Call | Inert | Record) else type(value).__name__
