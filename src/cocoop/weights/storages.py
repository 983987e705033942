"""Tensors as views of a file mapped into memory."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocoop.weights.faults import broken, damaged, shown
from cocoop.weights.stand_ins import Stored, kind_of

MAX_RANK = 16
_ALIGNED = 16  # bytes of the largest number, complex128
_LARGEST = 2**48
"""Above any size, stride or offset of a real tensor, and far below where 64-bit sums of torch overflow."""


class Storages:
    """The storages that lie in a file of `size` bytes. `spans`: key -> start and length in bytes; no two overlap."""

    def __init__(self, path: Path, size: int, spans: dict[str, tuple[int, int]]) -> None:
        self._spans = spans
        self._parts: dict[str, torch.UntypedStorage] = {}
        try:
            mapped: Any = torch.UntypedStorage.from_file(str(path), shared=False, nbytes=size)
        except RuntimeError as error:
            raise broken("a file that can be mapped into memory", error) from error
        self._mapped = mapped

    def stored(self, parts: object) -> Stored:
        """From ("storage", kind, key, device, number of items), as a pickle refers to numbers that lie outside it."""
        if type(parts) is not tuple or len(parts) != 5 or parts[0] != "storage":
            raise damaged("the five parts of a storage", kind_of(parts))
        _, dtype, key, _, count = parts
        if not isinstance(dtype, torch.dtype) or type(key) is not str or not whole(count):
            raise damaged("a storage's kind, key and size", f"{kind_of(dtype)}, {kind_of(key)} and {kind_of(count)}")
        if key not in self._spans:
            raise damaged(f"the entry data/{shown(key)}, which the pickle refers to", "an archive without it")
        size, length = count * dtype.itemsize, self._spans[key][1]
        if size > length:
            raise damaged(f"{size:,} bytes in storage {shown(key)}", f"{length:,}")
        return Stored(key, dtype, self._part(key), size)

    def _part(self, key: str) -> torch.UntypedStorage:
        """Mapped where it is aligned, as torch writes it, and else copied: not every processor reads other numbers."""
        if key not in self._parts:
            start, length = self._spans[key]
            part = self._mapped[start : start + length]
            self._parts[key] = part if start % _ALIGNED == 0 else part.clone()
        return self._parts[key]


def whole(*numbers: object) -> bool:
    """Whether each is a size, stride or offset that a real tensor could have."""
    return all(type(number) is int and 0 <= number < _LARGEST for number in numbers)


def view(stored: Any, dtype: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    """A tensor over a part of a storage, from what a pickle gives for each.

    Offset and strides count items, which are of `dtype`, or of the storage's own if that is None. Raises a `Fault` for
    a tensor that reaches outside its storage, which torch would silently enlarge instead.
    """
    shaped = type(size) is tuple and type(stride) is tuple and whole(offset, *size, *stride)
    if not shaped or not isinstance(stored, Stored) or not isinstance(dtype, torch.dtype | None):
        raise damaged("a tensor's storage, offset, size and strides", "other values in its place")
    if len(size) != len(stride) or len(size) > MAX_RANK:
        raise damaged(f"as many strides as axes, at most {MAX_RANK}", f"{len(size)} axes and {len(stride)} strides")
    tensor = torch.empty(0, dtype=dtype or stored.dtype)
    last = sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    end = offset + (0 if 0 in size else last + 1)
    if end * tensor.itemsize > stored.size:
        expected = f"a tensor inside the {stored.size:,} bytes of storage {shown(stored.key)}"
        raise damaged(expected, "one that reaches outside")
    try:
        return tensor.set_(stored.data, offset, size, stride)
    except RuntimeError as error:  # sizes beside a zero whose product is too large
        raise broken("a possible shape of a tensor", error) from error
