"""Ragged packing: K class suffixes of different lengths laid side by side in rows, with almost no padding.

A row is a short sequence that holds several suffixes. A boolean mask keeps them apart: every token sees the
whole shared prefix and, of its row, only the earlier tokens of its own suffix. So linear layers run on about
T = sum of the suffix lengths tokens instead of K x 77, and attention is one call per layer.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_WIDEST_ROW = 64  # attention still costs little beside the linear layers
_NARROWEST_ROW = 12  # in narrower rows the prefix's keys and values, which every row has, are most of what it sees
_ENOUGH = 1.01  # slots per token; wider rows would save less than their attention costs


@dataclass(frozen=True, eq=False)
class Packing:
    """Where each suffix token lies. Axes: R rows of C slots, T suffix tokens, K classes, P prefix positions.

    Attributes:
        lengths: S_k, the number of suffix tokens of each class, EOT included. K values, sum T.
        prefix_length: P, the number of positions before every suffix.
        source: [R, C] int64, which of the T suffix tokens a slot holds; 0 in padding slots.
        position: [R, C] int64, the slot's position in its prompt, counted from SOS; 0 in padding slots.
        mask: [R, C, P + C] bool, True where a slot (axis 1) may look at a prefix position or slot (axis 2).
        eot: [K] int64, the slot of each class's EOT in the R * C flattened slots.
        ends: [R, Q] int64, the EOTs of each row as slots of the flattened slots. Rows with fewer than Q classes, the
            most in one row, are filled up with their first slot.
        end: [K] int64, where each class's EOT stands in the R * Q flattened `ends`.
    """

    lengths: tuple[int, ...]
    prefix_length: int
    source: Tensor
    position: Tensor
    mask: Tensor
    eot: Tensor
    ends: Tensor
    end: Tensor

    @property
    def ends_mask(self) -> Tensor:
        """[R, Q, P + C] bool: the rows of `mask` that belong to `ends`."""
        return self.mask.flatten(0, 1)[self.ends]


def pack(lengths: Sequence[int], prefix_length: int, device: torch.device | str = "cpu") -> Packing:
    """Lay suffixes of the given lengths (each at least 1; there may be none) into rows; see `Packing`."""
    rows = _tightest_rows(lengths)
    width = max((sum(lengths[k] for k in row) for row in rows), default=0)
    most = max(map(len, rows), default=0)
    start = [0]
    for length in lengths:
        start.append(start[-1] + length)

    source = torch.zeros(len(rows), width, dtype=torch.int64)
    position = torch.zeros(len(rows), width, dtype=torch.int64)
    owner = torch.full((len(rows), width), -1, dtype=torch.int64)
    eot = torch.zeros(len(lengths), dtype=torch.int64)
    end = torch.zeros(len(lengths), dtype=torch.int64)
    ends = (torch.arange(len(rows)) * width)[:, None].repeat(1, most)
    for r, row in enumerate(rows):
        slot = 0
        for nth, k in enumerate(row):
            span = slice(slot, slot + lengths[k])
            source[r, span] = torch.arange(start[k], start[k + 1])
            position[r, span] = prefix_length + torch.arange(lengths[k])
            owner[r, span] = k
            slot += lengths[k]
            eot[k] = ends[r, nth] = r * width + slot - 1
            end[k] = r * most + nth

    same_class = owner[:, :, None] == owner[:, None, :]
    earlier = torch.ones(width, width, dtype=torch.bool).tril()
    # Padding slots (owner -1) see the prefix and each other: harmless, and their softmax is never empty.
    mask = torch.cat([torch.ones(len(rows), width, prefix_length, dtype=torch.bool), same_class & earlier], dim=2)
    return Packing(
        lengths=tuple(lengths),
        prefix_length=prefix_length,
        source=source.to(device),
        position=position.to(device),
        mask=mask.to(device),
        eot=eot.to(device),
        ends=ends.to(device),
        end=end.to(device),
    )


def _tightest_rows(lengths: Sequence[int]) -> list[list[int]]:
    """Rows of class indices: the narrowest that are nearly all tokens, or else those with the fewest slots."""
    fewest, best = math.inf, list[list[int]]()
    narrowest = max([_NARROWEST_ROW, *lengths])
    for width in range(narrowest, max(narrowest, _WIDEST_ROW) + 1) if lengths else ():
        rows = _fill(lengths, width)
        slots = len(rows) * max(sum(lengths[k] for k in row) for row in rows)
        if slots < fewest:
            fewest, best = slots, rows
        if slots <= _ENOUGH * sum(lengths):
            break
    return best


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
