"""Named arrays as a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from cocoop.atomic import write_whole
from cocoop.errors import InputError

Array = NDArray[Any]


def write_tensors(
    path: str | PathLike[str], tensors: Mapping[str, Array], metadata: dict[str, str] | None = None, flush: bool = True
) -> None:
    """Write named arrays as a safetensors file, texts in its header, at once. `RunError` where the disk refuses.

    `flush`: as in `write_whole`.
    """
    # Not `save_file`, whose file only the owner may read. Not `ascontiguousarray`, which makes a list of a scalar.
    content = save({name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}, metadata)
    write_whole(Path(path), content, "tensors", flush)


def read_tensors(path: str | PathLike[str]) -> dict[str, Array]:
    """Read such a file back. `InputError` where it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: expected a safetensors file; got {error}. Train again.") from error
