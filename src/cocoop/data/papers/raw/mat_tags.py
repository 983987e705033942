"""The tags of a MATLAB file, looked at before SciPy reads it: SciPy 1.17 crashes on types that there are none of.

A file of MATLAB 5 to 7.2 is a header of 128 bytes and elements. An element is a tag, its type and its size in bytes,
and what it holds, filled up to 8 bytes; one of up to 4 bytes has both in one word. A matrix holds elements: its flags,
whose lowest byte is its class, its sizes, its name, and its numbers, or the matrices in its cells and fields. A
compressed element is another, packed by zlib. Source: MathWorks, "MAT-File Format", R2023b.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13})
_LETTERS = frozenset({1, 2, 4, 16, 17, 18})
_CELLS, _STRUCTS, _TEXTS, _ARRAYS = 1, 2, 4, range(6, 16)
"""Classes of matrices; there are no objects, sparse ones and functions in the papers' files."""
_COMPLEX = 0x0800
_MOST = 2**28
"""Bytes, unpacked."""
_DEEPEST = 16


def check_tags(content: bytes) -> None:
    """Raise `ValueError` unless all elements are of known types, lie within each other, and are not too many."""
    order = _ORDERS.get(content[124:128])
    if order is None:
        raise ValueError("no file of MATLAB 5 to 7.2")
    left = _MOST
    for kind, data in _elements(content[128:], order, outermost=True):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(data, left)
            if unpacker.unconsumed_tail:
                raise ValueError(f"more than {_MOST:,} bytes, unpacked")
            left -= len(unpacked)
            for inner, of_inner in _elements(unpacked, order):
                _check(inner, of_inner, order, 0)
        else:
            _check(kind, data, order, 0)


class _Head(NamedTuple):
    """kind: the class of a matrix. items: how many. parts: of each number, 2 if they are complex."""

    kind: int
    items: int
    parts: int


def _check(kind: int, data: bytes, order: str, depth: int) -> None:
    if kind != _MATRIX or depth > _DEEPEST:
        raise ValueError(f"an element of type {kind} where a matrix should be, or one too deep in others")
    if not data:
        return
    elements = list(_elements(data, order))
    head, held = _head(elements, order), elements[3:]
    if head.kind == _STRUCTS:
        head, held = head._replace(items=head.items * _fields(held, order)), held[2:]
    if head.kind in (_CELLS, _STRUCTS):
        _expect(len(held) == head.items)  # SciPy reads so many, wherever the matrix ends
        for inner, of_inner in held:
            _check(inner, of_inner, order, depth + 1)
    else:
        allowed = _LETTERS if head.kind == _TEXTS else _NUMBERS
        _expect(len(held) == head.parts and all(inner in allowed for inner, _ in held))


def _head(elements: list[tuple[int, bytes]], order: str) -> _Head:
    """What the flags and sizes of a matrix say; its name is behind them."""
    kinds = [(kind, len(data)) for kind, data in elements[:3]]
    _expect(len(kinds) == 3 and kinds[0] == (_UINT32, 8) and (kinds[1][0], kinds[2][0]) == (_INT32, _INT8))
    _expect(kinds[1][1] % 4 == 0 and 8 <= kinds[1][1] <= 128)
    (flags,) = struct.unpack(f"{order}I", elements[0][1][:4])
    sizes = struct.unpack(f"{order}{kinds[1][1] // 4}i", elements[1][1])
    _expect(flags & 0xFF in (_CELLS, _STRUCTS, _TEXTS, *_ARRAYS))
    _expect(min(sizes) >= 0 and math.prod(sizes) <= _MOST // 8)
    return _Head(flags & 0xFF, math.prod(sizes), 2 if flags & _COMPLEX else 1)


def _fields(held: list[tuple[int, bytes]], order: str) -> int:
    """How many fields a struct has, by the length of a name and all names."""
    _expect(len(held) >= 2 and (held[0][0], len(held[0][1]), held[1][0]) == (_INT32, 4, _INT8))
    length = int.from_bytes(held[0][1], "little" if order == "<" else "big", signed=True)
    _expect(length > 0 and len(held[1][1]) % length == 0)
    return len(held[1][1]) // length


def _expect(holds: bool) -> None:
    if not holds:
        raise ValueError("a matrix whose flags, sizes and elements do not fit")


def _elements(data: bytes, order: str, outermost: bool = False) -> Iterator[tuple[int, bytes]]:
    """The elements that lie one behind the other: type and content."""
    place = 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}2I", data, place)
        if kind >> 16:
            kind, size, start, step = kind & 0xFFFF, kind >> 16, place + 4, 8
            if size > 4 or kind in (_MATRIX, _COMPRESSED):
                raise ValueError(f"a small element of {size} bytes and type {kind}")
        else:
            start, step = place + 8, 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data) or (kind == _COMPRESSED and not outermost):
            raise ValueError("an element that does not end where it should")
        yield kind, data[start : start + size]
        place += step
    if place < len(data):
        raise ValueError("a part of an element at the end")
