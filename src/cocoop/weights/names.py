"""What a weights pickle may name, each with what stands for it. A name is never imported, so nothing of it runs."""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cocoop.weights.faults import shown, unknown, unsafe
from cocoop.weights.stand_ins import Call, Inert, Record
from cocoop.weights.storages import view

_LONGEST_NAME = 500


def _tensor_v2(
    storage: object, offset: object, size: object, stride: object, grad: object, hooks: object, metadata: object = None
) -> Tensor:
    return _tensor_v3(storage, offset, size, stride, grad, hooks, None, metadata)


def _tensor_v3(
    storage: object,
    offset: object,
    size: object,
    stride: object,
    grad: object,
    hooks: object,
    dtype: torch.dtype | None,
    metadata: object = None,
) -> Tensor:
    """As torch.save writes dtypes that have no class of storages."""
    if metadata:
        raise unknown("tensors with further properties, such as conjugated ones")
    return view(storage, dtype, offset, size, stride)


def _parameter(data: object, grad: object, hooks: object, state: object = None) -> object:
    return data


def _nothing(name: str) -> Callable[..., Inert]:
    """A function whose arguments do not matter."""
    return lambda *_: Inert(name)


def _ordered_dict() -> dict[Any, Any]:
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
_CALLS: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "collections.OrderedDict": _ordered_dict,
}
_INERT = (
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in ("set", "bytes", "bytearray", "complex")
    ),
    *(f"torch.jit._pickle.{name}" for name in ("build_intlist", "build_tensorlist", "build_doublelist")),
    *(f"torch.jit._pickle.{name}" for name in ("build_boollist", "restore_type_tag")),
    *("torch.Size", "torch.device", "collections.Counter", "_codecs.encode"),
    *("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
)
"""Makers of values that stand beside tensors. Open_clip's learning rates are scalars of numpy; protocol 2 writes bytes
as a call of encode."""
_OF_TORCH = re.compile(
    r"torch\.(_utils\._rebuild_\w+|_tensor\._rebuild_from_type_v2|nn\.parameter\.Parameter|serialization\._get_layout"
    r"|((cuda|sparse|cuda\.sparse|storage)\.)?\w*(Tensor|Storage)|(q?u?int|b?float|complex|bits|per_)\w+)"
)
"""Further names that torch.load(weights_only=True) takes: a CLIP has no use for them, but they do no harm."""
_NAMES: dict[str, object] = {
    **{name: Call(name, make) for name, make in _CALLS.items()},
    **{name: Call(name, _nothing(name)) for name in _INERT},
    **{f"torch.{kind}Storage": dtype for kind, dtype in _STORAGES.items()},
    **{str(dtype): dtype for dtype in (*_STORAGES.values(), *_NEW_DTYPES)},
    "torch.storage.UntypedStorage": torch.uint8,
}
"""All that a pickle may name, beside the classes of TorchScript (`__torch__.`), which become records."""


def stand_in(module: str, name: str, passed_over: bool = False) -> object:
    """What stands for a name in a pickle. Raises a `Fault` for every name that is not in the table.

    `passed_over`: whether the name stands where no tensor is looked for: then any will do, and an `Inert` comes of it.
    """
    if len(module) + len(name) > _LONGEST_NAME:  # such names, joined again and again, would fill the memory
        raise unsafe("tensors and plain values alone", f"a pickle that asks for {shown(module)}.{shown(name)}")
    full = f"{module}.{name}"
    if full.startswith("__torch__."):
        return Call(full, lambda: Record(full))
    if full not in _NAMES and passed_over:
        return Call(full, _nothing(full))
    if full not in _NAMES and _OF_TORCH.fullmatch(full):
        raise unknown(shown(full))
    if full not in _NAMES:
        raise unsafe("tensors and plain values alone", f"a pickle that asks for {shown(full)}")
    return _NAMES[full]
