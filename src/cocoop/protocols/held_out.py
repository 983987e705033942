"""How a user's own training images are divided: what is learned from, what a training is watched on, and the others."""

from __future__ import annotations

import operator
from random import Random
from typing import NamedTuple

from cocoop.data import MAX_VAL_SHOTS, Dataset, Example, few_shot_indices, positions_by_label
from cocoop.errors import InputError

SHARE = 0.1
"""Of each class's images, where all others are learned from; one at least, unless the class has only one."""


class HeldOut(NamedTuple):
    """Images to validate on, and what that leaves of the training split.

    examples: the images. positions: of those of them in the training split, which are neither learned from nor scored.
    given: the positions of what a fit is given to pick from.
    """

    examples: list[Example]
    positions: frozenset[int]
    given: list[int]


def held_out(dataset: Dataset, shots: int | None, seed: int) -> HeldOut:
    """The val split, if there is one that is not the test split too; else, by the seed, training images that are not
    learned from.

    These are min(shots, 4) per class, as many as the papers validate on, of those that the pick of `shots` leaves; the
    pick is the same as without. With all images (None) they are a `SHARE` of each class.

    Raises:
        InputError: no image is left.
    """
    everything = list(range(len(dataset.train)))
    if dataset.val and dataset.val != dataset.test:  # ImageNet's are one and the same list
        return HeldOut(dataset.val, frozenset(), everything)
    labels = [example.label for example in dataset.train]
    learned = set() if shots is None else set(few_shot_indices(labels, shots, seed))
    stream, held = Random(operator.index(seed)), list[int]()
    for of_class in positions_by_label(labels).values():
        free = [position for position in of_class if position not in learned]
        count = max(1, int(SHARE * len(free))) if shots is None else min(shots, MAX_VAL_SHOTS)
        held += stream.sample(free, min(count, len(free) - (shots is None)))  # of all images, one is learned from
    if not held:
        raise InputError(
            f"validation: expected images that are not learned from; {dataset.name} has none left. Use fewer shots, or "
            "add a val split."
        )
    positions = frozenset(held)
    given = [position for position in everything if position not in positions] if shots is None else everything
    return HeldOut([dataset.train[position] for position in held], positions, given)
