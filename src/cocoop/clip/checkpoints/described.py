"""What a weights pickle may hold beside plain values: storages, tensors and modules, described and not made.

A name in the pickle is looked up in a literal table and never imported; what the table gives are descriptions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from cocoop.clip.checkpoints.faults import damaged, shown, unsafe

MAX_RANK = 16
_LARGEST = 2**48
"""Above any size, stride or offset of a real tensor, and far below where 64-bit sums of torch overflow."""
_LONGEST_NAME = 500


@dataclass(frozen=True, eq=False, slots=True)
class StorageRef:
    """A run of `numel` items in the archive's entry data/`key`; `dtype` is None for plain bytes."""

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


def _tensor(args: tuple[Any, ...], dtype: torch.dtype | None, metadata: object) -> TensorRef:
    """From (storage, offset, size, stride, ...), of which the rest does not matter to the values."""
    storage, offset, size, stride = args[:4]
    if not isinstance(storage, StorageRef) or not (whole((offset,)) and whole(size) and whole(stride)):
        raise damaged("a tensor's storage, offset, size and strides", "other values in its place")
    if len(size) != len(stride):
        raise damaged("a tensor with as many strides as axes", f"{len(size)} axes and {len(stride)} strides")
    if metadata:
        raise unsafe("plain tensors", "one with further properties, such as a conjugated one")
    kind = dtype if dtype is not None else storage.dtype
    if kind is None:
        raise damaged("a tensor of numbers", "one of plain bytes")
    return TensorRef(storage, kind, offset, size, stride)


def whole(numbers: object) -> bool:
    """Whether `numbers` is a tuple of at most `MAX_RANK` sizes, strides or offsets that a real tensor could have."""
    if not isinstance(numbers, tuple) or len(numbers) > MAX_RANK:
        return False
    return all(type(number) is int and 0 <= number < _LARGEST for number in numbers)


def _tensor_v2(args: tuple[Any, ...]) -> TensorRef:
    """(storage, offset, size, stride, requires_grad, hooks[, metadata])."""
    if len(args) not in (6, 7):
        raise damaged("a tensor of 6 or 7 parts", f"{len(args)} parts")
    return _tensor(args, None, args[6] if len(args) == 7 else None)


def _tensor_v3(args: tuple[Any, ...]) -> TensorRef:
    """(storage, offset, size, stride, requires_grad, hooks, dtype[, metadata]): dtypes without a storage class."""
    if len(args) not in (7, 8) or not isinstance(args[6], torch.dtype):
        raise damaged("a tensor of 7 or 8 parts with its dtype", f"{len(args)} parts")
    return _tensor(args, args[6], args[7] if len(args) == 8 else None)


def _first(count: int) -> Callable[[tuple[Any, ...]], object]:
    """A function of `count` arguments that gives the first: what it adds does not matter here."""

    def make(args: tuple[Any, ...]) -> object:
        if len(args) != count:
            raise damaged(f"{count} arguments", f"{len(args)}")
        return args[0]

    return make


def _ordered_dict(args: tuple[Any, ...]) -> object:
    if args:
        raise damaged("an OrderedDict that starts empty", f"one with {len(args)} arguments")
    return {}


_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
_NEW_DTYPES = (torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2)
_CALLS: dict[str, Callable[[tuple[Any, ...]], object]] = {
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _first(3),
    "torch.jit._pickle.build_intlist": _first(1),
    "torch.jit._pickle.build_tensorlist": _first(1),
    "torch.jit._pickle.build_doublelist": _first(1),
    "torch.jit._pickle.build_boollist": _first(1),
    "torch.jit._pickle.restore_type_tag": _first(2),
    "torch.Size": _first(1),
    "torch.device": _first(1),
    "collections.OrderedDict": _ordered_dict,
}
_NAMES: dict[str, object] = {
    **{name: Call(name, make) for name, make in _CALLS.items()},
    **{f"torch.{kind}Storage": StorageKind(dtype) for kind, dtype in _STORAGES.items()},
    **{str(dtype): dtype for dtype in (*_STORAGES.values(), *_NEW_DTYPES)},
    "torch.storage.UntypedStorage": StorageKind(None),
}
"""All that a pickle may name, beside the classes of TorchScript (`__torch__.`), which become records."""


def named(module: str, name: str) -> object:
    """What stands for a name in a pickle. Raises a `Fault` for every name that tensors do not need."""
    if len(module) + len(name) > _LONGEST_NAME:  # such names, joined again and again, would fill the memory
        raise unsafe("tensors and plain values alone", f"a pickle that asks for {shown(module)}.{shown(name)}")
    full = f"{module}.{name}"
    if full.startswith("__torch__."):
        return RecordClass(full)
    if full not in _NAMES:
        raise unsafe("tensors and plain values alone", f"a pickle that asks for {shown(full)}")
    return _NAMES[full]
