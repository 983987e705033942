"""Files of torch.save before torch 1.6: five pickles, then the bytes of each storage. Nothing in them is run.

The pickles are a number that marks the format, its version, the machine that wrote the file, what was saved, and a
list of the storages' keys. Then, for each key in that order: how many items it has, in 8 bytes, and the items.
"""

import io
import os
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from cocoop.weights.contents import state_in
from cocoop.weights.described import StorageRef, TensorRef, kind_of, storage
from cocoop.weights.faults import big_endian, damaged, shown, unknown, unsafe
from cocoop.weights.mapped import map_tensors
from cocoop.weights.unpickle import MAX_PICKLE, read_pickle

MAX_STORAGES = 20_000

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_COUNT = 8  # bytes


def is_legacy(head: bytes) -> bool:
    """Whether a file that begins with `head` is of this format."""
    return head[:1] == b"\x80" and _MAGIC.to_bytes(10, "little") in head[:32]  # after the pickle's protocol


def read_legacy(path: Path) -> dict[str, Tensor]:
    """Tensors by name, mapped from the file where they lie aligned in it; torch did not align them, so most do not.

    Raises a `Fault` for a file that is damaged or asks for more.
    """
    with path.open("rb") as file:
        pickles = io.BytesIO(file.read(MAX_PICKLE))
        _expect_header(pickles)
        storages = _Storages()
        wanted = state_in(read_pickle(pickles, storages.stored), TensorRef)
        keys = read_pickle(pickles)
        spans = storages.spans(file, pickles.tell(), keys)
        size = os.fstat(file.fileno()).st_size
    for ref in wanted.values():
        if ref.storage.key not in spans:
            raise damaged(f"storage {shown(ref.storage.key)} in the file", "a list of storages without it")
    return map_tensors(path, size, wanted, spans)


def _expect_header(pickles: io.BytesIO) -> None:
    magic, version, machine = (read_pickle(pickles) for _ in range(3))
    if (magic, version) != (_MAGIC, _VERSION) or not isinstance(machine, dict):
        raise damaged(f"the format's mark, version {_VERSION} and a dict", "something else")
    if machine.get("little_endian") is not True:
        raise big_endian()


class _Storages:
    """What the saved object says of its storages, and where they lie."""

    def __init__(self) -> None:
        self._item_sizes: dict[str, int] = {}

    def stored(self, parts: object) -> StorageRef:
        """As `storage`, with one part more: the storage's place in another, None in all but the oldest."""
        if type(parts) is not tuple or len(parts) != 6:
            raise damaged("the six parts of a storage", kind_of(parts))
        if parts[5] is not None:
            raise unknown("a storage that is part of another")
        found = storage(parts[:5])
        size = found.dtype.itemsize if found.dtype else 1
        if self._item_sizes.setdefault(found.key, size) != size:
            raise damaged(f"storage {shown(found.key)} with items of one size", "it with two")
        return found

    def spans(self, file: BinaryIO, start: int, keys: object) -> dict[str, tuple[int, int]]:
        """Key of a storage -> where its bytes start in the file, and how many they are. The first is at `start`."""
        if not isinstance(keys, list) or len(keys) > MAX_STORAGES:
            raise unsafe(f"a list of at most {MAX_STORAGES:,} storages", "a longer one, or none")
        end = file.seek(0, io.SEEK_END)
        found: dict[str, tuple[int, int]] = {}
        for key in keys:
            if type(key) is not str or key not in self._item_sizes or key in found:
                raise damaged("each storage of the object once", shown(key) if type(key) is str else kind_of(key))
            file.seek(start)
            length = int.from_bytes(file.read(_COUNT), "little") * self._item_sizes[key]
            start += _COUNT
            if start + length > end:
                raise damaged(f"{length:,} bytes of storage {shown(key)}", "a file that ends before")
            found[key] = start, length
            start += length
        return found
