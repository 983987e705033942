"""Tensors as views of a file mapped into memory."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocoop.weights.contents import expect_honest
from cocoop.weights.described import TensorRef
from cocoop.weights.faults import broken, damaged, shown


def map_tensors(
    path: Path, size: int, wanted: dict[str, TensorRef], spans: dict[str, tuple[int, int]]
) -> dict[str, Tensor]:
    """The wanted tensors, of a file of `size` bytes. `spans`: key of a storage -> its start and length in bytes.

    A storage that does not start at a multiple of its items' size is copied, as not every processor reads such
    numbers. Raises a `Fault` for tensors that reach outside their storage, or claim more than the file can hold.
    """
    mapped: Any  # torch's annotation has every kind of storage here
    try:
        mapped = torch.UntypedStorage.from_file(str(path), shared=False, nbytes=size)
    except RuntimeError as error:
        raise broken("a file that can be mapped into memory", error) from error
    items = {ref.storage.key: 1 for ref in wanted.values()}
    for ref in wanted.values():
        items[ref.storage.key] = max(items[ref.storage.key], ref.dtype.itemsize)
    storages = {key: _storage(mapped, *spans[key], item) for key, item in items.items()}
    tensors = {name: _view(name, ref, storages[ref.storage.key]) for name, ref in wanted.items()}
    expect_honest(tensors, size)
    return tensors


def _storage(mapped: torch.UntypedStorage, start: int, length: int, item: int) -> torch.UntypedStorage:
    part: torch.UntypedStorage = mapped[start : start + length]
    return part if start % item == 0 else part.clone()


def _view(name: str, ref: TensorRef, storage: torch.UntypedStorage) -> Tensor:
    """The tensor as a view: never outside its storage, which torch would silently enlarge instead."""
    held = ref.storage.numel * (ref.storage.dtype.itemsize if ref.storage.dtype else 1)
    if held > storage.nbytes():
        raise damaged(f"{held:,} bytes in storage {shown(ref.storage.key)}", f"{storage.nbytes():,}")
    last = sum((length - 1) * stride for length, stride in zip(ref.size, ref.stride, strict=True))
    end = ref.offset + (0 if 0 in ref.size else last + 1)
    if end * ref.dtype.itemsize > held:
        raise damaged(f"{shown(name)} inside its storage of {held:,} bytes", "one that reaches outside")
    try:
        return torch.empty(0, dtype=ref.dtype).set_(storage, ref.offset, ref.size, ref.stride)
    except RuntimeError as error:  # sizes beside a zero whose product is too large
        raise broken(f"a possible shape of {shown(name)}", error) from error
