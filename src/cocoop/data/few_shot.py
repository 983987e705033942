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


def sample_lopsided(train: Sequence[Example], shots: int, seed: int) -> list[Example]:
    """As many images as `shots` of each class would be, but unequally many of the classes; the same for the same seed.

    Every class has one. Each further image is of a class that is drawn with a chance in proportion to how many the
    class has already (Polya's urn), among those that have images left: of many classes half get fewer than about 0.7
    times, and one in twenty more than three times as many as `shots`.

    `InputError` where `shots` is below 1.
    """
    _check_shots(shots)
    groups = positions_by_label([example.label for example in train])
    wanted = sum(min(shots, len(positions)) for positions in groups.values())
    stream = Random(operator.index(seed))
    urn, counts = [*groups], dict.fromkeys(groups, 1)  # a ball for every image so far
    while len(urn) < wanted:
        label = stream.choice(urn)
        if counts[label] < len(groups[label]):
            urn.append(label)
            counts[label] += 1
    return [train[i] for label, positions in groups.items() for i in stream.sample(positions, counts[label])]


def few_shot_indices(labels: Sequence[int], shots: int, seed: int) -> list[int]:
    """The training picks of `sample_few_shot` as positions in `labels` [N], for images that are not files."""
    return _pick(labels, shots, Random(operator.index(seed)))


def _pick(labels: Sequence[int], count: int, stream: Random) -> list[int]:
    _check_shots(count)
    picked: list[int] = []
    for items in positions_by_label(labels).values():
        picked += stream.sample(items, count) if len(items) >= count else items
    return picked


def _check_shots(count: int) -> None:
    if count < 1:
        raise InputError(f"shots: expected 1 or more images per class (the papers use 1, 2, 4, 8, 16); got {count}.")
