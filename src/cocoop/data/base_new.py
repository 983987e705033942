"""The base-to-new protocol's two halves of a class list."""

from collections.abc import Sequence
from typing import Literal

from cocoop.data.examples import Example
from cocoop.errors import InputError, expect_choice

HALVES: tuple[Literal["base"], Literal["new"]] = ("base", "new")
"""The two halves: base classes are trained on, new ones only tested on."""


def base_to_new(*splits: Sequence[Example], half: Literal["base", "new"]) -> tuple[list[Example], ...]:
    """Keep one half of the classes in every split, in order, and number their labels from 0.

    The labels of the *first* split, sorted, are divided: the first ceil(n/2) are base, the rest new. So give
    the training split first; an image of another split whose label the first split lacks is in neither half.
    Returns one list per split.

    `InputError` for an unknown half, no split, or fewer than two classes in the first split.
    Source: CoOp:datasets/oxford_pets.py @ ff61507c, `subsample_classes`.
    """
    expect_choice("half", half, HALVES)
    labels = sorted({example.label for example in splits[0]}) if splits else []
    if len(labels) < 2:
        raise InputError(
            f"base_to_new: expected at least two classes in the first split; got {len(labels)}. "
            "Give the training split first."
        )
    middle = (len(labels) + 1) // 2
    selected = labels[:middle] if half == "base" else labels[middle:]
    renumbered = {label: number for number, label in enumerate(selected)}
    return tuple(
        [example._replace(label=renumbered[example.label]) for example in split if example.label in renumbered]
        for split in splits
    )
