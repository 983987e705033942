"""Named arrays as a safetensors file, with a checksum of all that it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from cocoop.atomic import write_whole
from cocoop.errors import InputError

Array = NDArray[Any]

_CHECKSUM = "sha256"
"""The text of the header that has it; files of before have none, and those of other programs."""
_KINDS = "biuf"
"""Of the numbers that are read: what NumPy computes with, and so neither bfloat16 nor what has 8 bits or fewer."""


def write_tensors(
    path: str | PathLike[str], tensors: Mapping[str, Array], texts: Mapping[str, str] | None = None, flush: bool = True
) -> None:
    """Write named arrays as a safetensors file, texts in its header, at once. `RunError` where the disk refuses.

    `flush`: as in `write_whole`.
    """
    # Not `save_file`, whose file only the owner may read. Not `ascontiguousarray`, which makes a list of a scalar.
    arrays = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    header = dict(texts or {})
    content = save(arrays, header | {_CHECKSUM: _checksum(arrays, header)})
    write_whole(Path(path), content, "tensors", flush)


def read_tensors(path: str | PathLike[str]) -> dict[str, Array]:
    """Read such a file back. `InputError` where it is missing or damaged, by its checksum, too, if it has one."""
    try:
        return read_with_texts(path)[0]
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{path}: expected a safetensors file; got {error}. Train again.") from error


def read_with_texts(path: str | PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the texts of its header. `OSError`, `SafetensorError`, or `ValueError` for what is not as written.

    The texts alone are not proven by a file that has lost its checksum.
    """
    with safe_open(path, "numpy") as file:
        arrays = {name: _array(file, name) for name in file.keys()}  # noqa: SIM118, it is no dict
        header = dict(file.metadata() or {})
    written = header.pop(_CHECKSUM, None)
    if written is not None and written != _checksum(arrays, header):
        raise ValueError("numbers or names that are not those that were written (their checksum differs)")
    return arrays, header


def _array(file: Any, name: str) -> Array:
    try:
        array: Array = file.get_tensor(name)
    except (AttributeError, KeyError, TypeError) as error:  # NumPy has no such type
        raise ValueError(f"{name!r} of a type that NumPy has not ({error})") from error
    if array.dtype.kind not in _KINDS or array.dtype.itemsize > 8:
        raise ValueError(f"{name!r} of the type {array.dtype}")
    return array


def _checksum(arrays: Mapping[str, Array], texts: Mapping[str, str]) -> str:
    """SHA-256 of names, types, shapes and numbers, and of the texts."""
    total = sha256(json.dumps(texts, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name].astype(arrays[name].dtype.newbyteorder("<"), copy=False)
        total.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        total.update(array.tobytes())
    return total.hexdigest()
