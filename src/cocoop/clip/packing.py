"""Ragged packing: K class suffixes of different lengths laid side by side in rows, with almost no padding.

A row is a short sequence that holds several suffixes. A boolean mask keeps them apart: every token sees the
whole shared prefix and, of its row, only the earlier tokens of its own suffix. So linear layers run on about
T = sum of the suffix lengths tokens instead of K x 77, and attention is one call per layer.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_WIDEST_ROW = 64  # by then padding is below 1 %, and attention still costs little beside the linear layers


@dataclass(frozen=True, eq=False)
class Packing:
    """Where each suffix token lies. Axes: R rows of C slots, T suffix tokens, K classes, P prefix positions.

    Attributes:
        lengths: S_k, the number of suffix tokens of each class, EOT included. K values, sum T.
        prefix_length: P, the number of positions before every suffix.
        source: [R, C] int64, which of the T suffix tokens a slot holds; 0 in padding slots.
        position: [R, C] int64, the slot's position in its prompt, counted from SOS; 0 in padding slots.
        mask: [R, 1, C, P + C] bool, True where a slot (axis 2) may look at a prefix position or slot (axis 3).
        eot: [K] int64, the slot of each class's EOT in the R * C flattened slots.
    """

    lengths: tuple[int, ...]
    prefix_length: int
    source: Tensor
    position: Tensor
    mask: Tensor
    eot: Tensor

    @property
    def eot_position(self) -> Tensor:
        """[K] int64: the position of each class's EOT in its full prompt."""
        return torch.tensor(self.lengths, device=self.eot.device) + (self.prefix_length - 1)


def pack(lengths: Sequence[int], prefix_length: int, device: torch.device | str = "cpu") -> Packing:
    """Lay suffixes of the given lengths (each at least 1) into rows; see `Packing`."""
    rows = _tightest_rows(lengths)
    width = max(sum(lengths[k] for k in row) for row in rows)
    start = [0]
    for length in lengths:
        start.append(start[-1] + length)

    source = torch.zeros(len(rows), width, dtype=torch.int64)
    position = torch.zeros(len(rows), width, dtype=torch.int64)
    owner = torch.full((len(rows), width), -1, dtype=torch.int64)
    eot = torch.zeros(len(lengths), dtype=torch.int64)
    for r, row in enumerate(rows):
        slot = 0
        for k in row:
            span = slice(slot, slot + lengths[k])
            source[r, span] = torch.arange(start[k], start[k + 1])
            position[r, span] = prefix_length + torch.arange(lengths[k])
            owner[r, span] = k
            slot += lengths[k]
            eot[k] = r * width + slot - 1

    same_class = owner[:, :, None] == owner[:, None, :]
    earlier = torch.ones(width, width, dtype=torch.bool).tril()
    # Padding slots (owner -1) see the prefix and each other: harmless, and their softmax is never empty.
    mask = torch.cat([torch.ones(len(rows), width, prefix_length, dtype=torch.bool), same_class & earlier], dim=2)
    return Packing(
        lengths=tuple(lengths),
        prefix_length=prefix_length,
        source=source.to(device),
        position=position.to(device),
        mask=mask[:, None].to(device),
        eot=eot.to(device),
    )


def _tightest_rows(lengths: Sequence[int]) -> list[list[int]]:
    """Rows of class indices, at the row width that needs the fewest slots (the narrowest of equals)."""
    longest = max(lengths)
    candidates = (_fill(lengths, width) for width in range(longest, max(longest, _WIDEST_ROW) + 1))
    return min(candidates, key=lambda rows: len(rows) * max(sum(lengths[k] for k in row) for row in rows))


def _fill(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Fill one row after another, each time with the longest suffix that still fits."""
    waiting: dict[int, list[int]] = {length: [] for length in sorted(set(lengths), reverse=True)}
    for k in reversed(range(len(lengths))):
        waiting[lengths[k]].append(k)
    left = Counter(lengths)
    rows: list[list[int]] = []
    while left:
        row, room = [], width
        for length, classes in waiting.items():
            for _ in range(min(room // length, len(classes))):
                row.append(classes.pop())
                room -= length
                left[length] -= 1
        left = +left
        rows.append(row)
    return rows
