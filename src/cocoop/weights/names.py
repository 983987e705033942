"""What a weights pickle may name. A name is looked up in a literal table and never imported, so nothing of it runs."""

import re
from collections.abc import Callable
from typing import Any

import torch

from cocoop.weights.described import Call, Inert, RecordClass, StorageKind, StorageRef, TensorRef, whole
from cocoop.weights.faults import damaged, shown, unknown, unsafe

_LONGEST_NAME = 500


def _tensor(args: tuple[Any, ...], dtype: torch.dtype | None, metadata: object) -> TensorRef:
    """From (storage, offset, size, stride, ...), of which the rest does not matter to the values."""
    storage, offset, size, stride = args[:4]
    if not isinstance(storage, StorageRef) or not (whole((offset,)) and whole(size) and whole(stride)):
        raise damaged("a tensor's storage, offset, size and strides", "other values in its place")
    if len(size) != len(stride):
        raise damaged("a tensor with as many strides as axes", f"{len(size)} axes and {len(stride)} strides")
    if metadata:
        raise unknown("tensors with further properties, such as conjugated ones")
    kind = dtype if dtype is not None else storage.dtype
    if kind is None:
        raise damaged("a tensor of numbers", "one of plain bytes")
    return TensorRef(storage, kind, offset, size, stride)


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


def _first(*counts: int) -> Callable[[tuple[Any, ...]], object]:
    """A function of so many arguments that gives the first: what it adds does not matter here."""

    def make(args: tuple[Any, ...]) -> object:
        if len(args) not in counts:
            raise damaged(f"{' or '.join(map(str, counts))} arguments", f"{len(args)}")
        return args[0]

    return make


def _nothing(name: str) -> Callable[[tuple[Any, ...]], object]:
    """A function whose arguments do not matter, and whose value no tensor needs."""
    return lambda _: Inert(name)


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
    "torch._utils._rebuild_parameter_with_state": _first(4),
    "torch.jit._pickle.build_intlist": _first(1),
    "torch.jit._pickle.build_tensorlist": _first(1),
    "torch.jit._pickle.build_doublelist": _first(1),
    "torch.jit._pickle.build_boollist": _first(1),
    "torch.jit._pickle.restore_type_tag": _first(2),
    "torch.Size": _first(1),
    "torch.device": _first(1, 2),
    "collections.OrderedDict": _ordered_dict,
}
_INERT = (
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in ("set", "bytes", "bytearray", "complex")
    ),
    "collections.Counter",
    "_codecs.encode",
    *("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
)
"""Makers of values that stand beside tensors. Open_clip's learning rates are scalars of numpy; protocol 2 writes bytes
as a call of encode."""
_OF_TORCH = re.compile(
    r"torch\.(_utils\._rebuild_\w+|_tensor\._rebuild_from_type_v2|nn\.parameter\.Parameter|serialization\._get_layout"
    r"|((cuda|sparse|cuda\.sparse|storage)\.)?\w*(Tensor|Storage)|(q?u?int|b?float|complex|bits|per_)\w+)"
)
"""What torch.load(weights_only=True) takes too: odd to find in a CLIP, but no sign of harm."""
_NAMES: dict[str, object] = {
    **{name: Call(name, make) for name, make in _CALLS.items()},
    **{name: Call(name, _nothing(name)) for name in _INERT},
    **{f"torch.{kind}Storage": StorageKind(dtype) for kind, dtype in _STORAGES.items()},
    **{str(dtype): dtype for dtype in (*_STORAGES.values(), *_NEW_DTYPES)},
    "torch.storage.UntypedStorage": StorageKind(None),
}
"""All that a pickle may name, beside the classes of TorchScript (`__torch__.`), which become records."""


def named(module: str, name: str) -> object:
    """What stands for a name in a pickle. Raises a `Fault` for every name that is not in the table."""
    if len(module) + len(name) > _LONGEST_NAME:  # such names, joined again and again, would fill the memory
        raise unsafe("tensors and plain values alone", f"a pickle that asks for {shown(module)}.{shown(name)}")
    full = f"{module}.{name}"
    if full.startswith("__torch__."):
        return RecordClass(full)
    if full not in _NAMES and _OF_TORCH.fullmatch(full):
        raise unknown(shown(full))
    if full not in _NAMES:
        raise unsafe("tensors and plain values alone", f"a pickle that asks for {shown(full)}")
    return _NAMES[full]
