"""Few-shot sampling: the original's picks, without its global random state."""

import operator
from collections.abc import Sequence
from random import Random

from cocoop.data.examples import Example, positions_by_label
from cocoop.errors import InputError

MAX_VAL_SHOTS = 4
"""The validation split gets min(shots, 4) images per class (CoOp:datasets/oxford_pets.py @ ff61507c)."""


def sample_few_shot(
    train: Sequence[Example], val: Sequence[Example], shots: int, seed: int
) -> tuple[list[Example], list[Example]]:
    """Pick `shots` training and min(`shots`, 4) validation images per class; return `(train, val)`.

    The same images in the same order as the original code for the same seed: after `random.seed(seed)`, one
    `random.sample` per class, classes in order of first appearance, train before val, one stream. A class
    with fewer images gives all it has, in their order. Every seed counts, 0 too (the original leaves seed 0
    unseeded); Python takes a seed's absolute value, so -1 picks as 1 does. Pure: the global random state is
    neither read nor changed.

    Sample on all classes, then call `base_to_new`: the original does so, and base and new share one pick.
    ImageNet has no validation split there: give `val=[]`.

    `InputError` where `shots` is below 1.
    Source: CoOp:datasets/oxford_pets.py @ ff61507c; Dassl:dassl/data/datasets/base_dataset.py @ c61a1b57,
    `generate_fewshot_dataset` with repeat=False.
    """
    stream = Random(operator.index(seed))  # NumPy's integers, too
    picks = [
        [split[i] for i in _pick([example.label for example in split], count, stream)]
        for split, count in ((train, shots), (val, min(shots, MAX_VAL_SHOTS)))
    ]
    return picks[0], picks[1]


def few_shot_indices(labels: Sequence[int], shots: int, seed: int) -> list[int]:
    """The training picks of `sample_few_shot` as positions in `labels` [N], for images that are not files."""
    return _pick(labels, shots, Random(operator.index(seed)))


def _pick(labels: Sequence[int], count: int, stream: Random) -> list[int]:
    if count < 1:
        raise InputError(f"shots: expected 1 or more images per class (the papers use 1, 2, 4, 8, 16); got {count}.")
    picked: list[int] = []
    for items in positions_by_label(labels).values():
        picked += stream.sample(items, count) if len(items) >= count else items
    return picked
