"""What a weights pickle may hold beside plain values: storages, tensors and modules, described and not made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from cocoop.weights.faults import damaged, shown

MAX_RANK = 16
_LARGEST = 2**48
"""Above any size, stride or offset of a real tensor, and far below where 64-bit sums of torch overflow."""


@dataclass(frozen=True, eq=False, slots=True)
class StorageRef:
    """A run of `numel` items of the storage `key`; `dtype` is None for plain bytes."""

    dtype: torch.dtype | None
    key: str
    numel: int


@dataclass(frozen=True, eq=False, slots=True)
class TensorRef:
    """A view of a storage. Offset and strides count items; all numbers are whole and not negative."""

    storage: StorageRef
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(eq=False, slots=True)
class Record:
    """A TorchScript module: its attributes and nothing of its class but the name."""

    name: str
    attributes: dict[Any, Any] = field(default_factory=dict)
    built: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class StorageKind:
    """What stands for a storage class's name."""

    dtype: torch.dtype | None


@dataclass(frozen=True, eq=False, slots=True)
class RecordClass:
    """What stands for the name of a TorchScript class."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """What stands for a function's name; `make` takes the arguments as they came."""

    name: str
    make: Callable[[tuple[Any, ...]], object]


@dataclass(frozen=True, eq=False, slots=True)
class Inert:
    """What stands for a value that no tensor needs, such as a set or a number of numpy; it keeps nothing of it."""

    name: str


def whole(numbers: object) -> bool:
    """Whether `numbers` is a tuple of at most `MAX_RANK` sizes, strides or offsets that a real tensor could have."""
    if not isinstance(numbers, tuple) or len(numbers) > MAX_RANK:
        return False
    return all(type(number) is int and 0 <= number < _LARGEST for number in numbers)


def storage(parts: object) -> StorageRef:
    """From ("storage", kind, key, device, number of items), as a pickle refers to numbers that lie outside it."""
    if type(parts) is not tuple or len(parts) != 5 or parts[0] != "storage":
        raise damaged("the five parts of a storage", kind_of(parts))
    _, kind, key, _, numel = parts
    if not isinstance(kind, StorageKind) or type(key) is not str or not whole((numel,)):
        raise damaged("a storage's kind, key and size", f"{kind_of(kind)}, {kind_of(key)} and {kind_of(numel)}")
    return StorageRef(kind.dtype, key, numel)


def kind_of(value: object) -> str:
    """What a message calls a value of a pickle."""
    if isinstance(value, TensorRef):
        return "Tensor"
    return shown(value.name) if isinstance(value, Call | Inert | Record | RecordClass) else type(value).__name__
