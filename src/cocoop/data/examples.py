"""One labelled image, and what a list of them says about its classes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cocoop.class_names import composed
from cocoop.errors import InputError


class Example(NamedTuple):
    """One labelled image.

    `path` is the image file, `label` an integer from 0, `class_name` the name as the data spells it, in Unicode's
    composed form (underscores kept; prompts turn them into spaces, see `cocoop.class_names.prompt_name`).
    """

    path: Path
    label: int
    class_name: str


def class_names(examples: Sequence[Example]) -> list[str]:
    """Return the K class names of `examples`, ordered by label.

    Labels must be exactly 0..K-1 and each must go with one name; `InputError` otherwise. (The original takes
    any of the names of a label: Dassl:dassl/data/datasets/base_dataset.py @ c61a1b57, `get_lab2cname`.)
    """
    names: dict[int, str] = {}
    for example in examples:
        known = names.setdefault(example.label, composed(example.class_name))
        if known != composed(example.class_name):
            raise InputError(
                f"examples: expected one name per label; got {known!r} and {example.class_name!r} for label "
                f"{example.label} ({example.path}). Correct the labels."
            )
    if not names:
        raise InputError("examples: expected at least one labelled image; got none.")
    labels = sorted(names)
    if labels != list(range(len(labels))):
        missing = next(label for label in range(len(labels)) if label not in names)
        raise InputError(
            f"examples: expected labels 0..{len(labels) - 1} for {len(labels)} classes; got {labels[0]}.."
            f"{labels[-1]} without {missing}. Number the classes from 0 without gaps."
        )
    return [names[label] for label in labels]


def labelled(examples: Sequence[Example]) -> tuple[list[Path], list[int]]:
    """The files [N] of `examples`, and their labels [N], as `Classifier.fit` takes them."""
    return [example.path for example in examples], [example.label for example in examples]


def positions_by_label(labels: Iterable[int]) -> dict[int, list[int]]:
    """Label -> its positions in `labels`; labels in order of first appearance, positions ascending.

    Source: Dassl:dassl/data/datasets/base_dataset.py @ c61a1b57, `split_dataset_by_label`. The order of the
    groups matters: the few-shot sampler draws from one random stream, group after group.
    """
    groups: dict[int, list[int]] = {}
    for position, label in enumerate(labels):
        groups.setdefault(label, []).append(position)
    return groups
