"""Labels and class names: what a user gives as either, numbered 0..K-1, or refused in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cocoop.class_names import as_read, check_class_names, check_spelling, composed, listed, plain_labels
from cocoop.errors import InputError

_SHOWN = 10


def number_classes(labels: Sequence[Any], class_names: Sequence[str] | None) -> tuple[NDArray[Any], list[int]]:
    """The classes [K] and each image's number among them.

    Without `class_names`, labels are names (or anything whose `str` is one) and classes are sorted. With them, labels
    are numbers into the list, whose order stays and in which two names may be equal.

    Raises:
        InputError: labels that are missing, of several kinds, no names, or of one class only.
    """
    if class_names is not None:
        names = list_names(class_names)
        if len(names) < 2:
            raise InputError(f"class names: expected at least two classes; got one class only, {names[0]!r}.")
        return np.asarray(names), label_numbers(labels, names)
    plain = plain_labels(labels)
    check_class_names([str(label) for label in sorted(set(plain))])  # an array would drop what is refused here
    classes, numbers = np.unique(np.asarray(plain), return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"labels: expected at least two classes; got one class only, {classes.tolist()[0]!r}.")
    return classes, numbers.tolist()


def new_classes(given: Iterable[Any], allow_equal: bool) -> tuple[NDArray[Any], list[str]]:
    """Other classes as a user gives them -> as the columns of probabilities [K], and their names.

    Args:
        given: names, or numbers whose `str` is the name, all of one kind, in an order that stays.
        allow_equal: whether two names may read the same in a prompt, as two of ImageNet's do.

    Raises:
        InputError: one text, a set (whose order changes), mixed kinds, none, an empty name, or equal ones.
    """
    classes = plain_labels(listed(given), what="class names")
    names = [str(value) for value in classes]
    (check_spelling if allow_equal else check_class_names)(names)
    return np.asarray(classes), names


def list_names(class_names: Iterable[str]) -> list[str]:
    """Class names [K] into which labels are numbers; two may be equal. `InputError` unless they are a list of texts."""
    given = listed(class_names)
    check_spelling(given)
    return [composed(name) for name in given]


def label_numbers(labels: Sequence[Any], class_names: Sequence[str]) -> list[int]:
    """The labels [N] as plain integers; `InputError` unless each numbers one of the class names [K]."""
    numbers = plain_labels(labels)
    for number in numbers:
        if type(number) is not int or not 0 <= number < len(class_names):
            raise InputError(
                f"labels: expected numbers 0..{len(class_names) - 1} into the {len(class_names)} class names; got "
                f"{number!r}. Without class_names, labels are names themselves."
            )
    return numbers


def number_labels(classes: NDArray[Any], labels: Sequence[Any], class_names: Sequence[str] | None = None) -> list[int]:
    """Each label's number among the classes [K] of a fitted classifier.

    With `class_names`, labels are numbers into that list, which may be another than the classifier's. A name that is
    none of the classes' is that of the class that reads the same in a prompt: "red_circle" is "red circle".

    Raises:
        InputError: a label that is none of the classes, or the name of two.
    """
    names = plain_labels(classes.tolist())  # older run folders keep names as they were spelled
    if class_names is None:
        given = plain_labels(labels)
    else:
        names, theirs = [str(name) for name in names], list_names(class_names)
        numbered = label_numbers(labels, theirs)
        if theirs == names:
            return numbered
        given = [theirs[number] for number in numbered]
    spelled = _numbers(names)
    read = _numbers(map(_as_read, names)) if set(given) - spelled.keys() else {}  # red_circle for "red circle"
    places = {label: spelled.get(label) or read.get(_as_read(label), []) for label in set(given)}
    unknown = sorted(repr(label) for label, numbers in places.items() if not numbers)
    if unknown:
        raise InputError(
            f"labels: expected classes of this model ({_shortened([repr(name) for name in names])}); got "
            f"{_shortened(unknown)}. Set the class list first to score other classes (set_classes in Python, "
            "--folder-classes on the command line)."
        )
    twice = sorted(str(label) for label, numbers in places.items() if len(numbers) > 1)
    if twice:
        raise InputError(
            f"labels: expected names of one class each; got {', '.join(twice)}, which two classes of this model have. "
            "Classify into the data's own classes (set_classes; --folder-classes)."
        )
    return [places[label][0] for label in given]


def _numbers(names: Iterable[Any]) -> dict[Any, list[int]]:
    numbers: dict[Any, list[int]] = {}
    for number, name in enumerate(names):
        numbers.setdefault(name, []).append(number)
    return numbers


def _as_read(label: Any) -> Any:
    return as_read(label) if isinstance(label, str) else label


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", ... {len(names):,} in all" if len(names) > _SHOWN else "")
