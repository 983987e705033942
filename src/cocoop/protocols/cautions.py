"""What the figures of a run on a user's own images do not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from cocoop.classifier import Classifier
from cocoop.data import Dataset, Example
from cocoop.results import RunRecord


def cautions(
    classifier: Classifier, dataset: Dataset, record: RunRecord, tested_on_training: int, tested_on_validation: int
) -> Iterator[str]:
    """What to know beside the figures, a line each; nothing where nothing was learned.

    Args:
        classifier: fitted on shots of `dataset`.
        dataset: what `fit_and_score` was given.
        record: with the figures of "test", if any image was scored.
        tested_on_training: how many images of the test split were learned from, too.
        tested_on_validation: how many were left out because they were validated on.
    """
    if not classifier.picked_:
        return
    yield from _few_images(classifier, dataset, record)
    if tested_on_training:
        count, total = f"{tested_on_training:,}", f"{len(dataset.test):,}"
        yield f"{count} of the {total} test images were learned from, too; `evaluate` leaves them out"
    if tested_on_validation:
        yield f"{tested_on_validation:,} of the {len(dataset.test):,} test images are validation images, and left out"
    yield from _worse_than_zero_shot(record)


def in_two_classes(told: Iterable[tuple[str, Example]]) -> Iterator[str]:
    """A line if the same picture has two labels; `told` are the fingerprint of each image and the image."""
    first: dict[str, Example] = {}
    pairs = [
        (known, example)
        for fingerprint, example in told
        if (known := first.setdefault(fingerprint, example)).label != example.label
    ]
    if pairs:
        known, again = pairs[0]
        yield (
            f"the same picture is in two classes ({len(pairs):,} of them): {known.path} ({known.class_name}) and "
            f"{again.path} ({again.class_name})" + (", ..." if len(pairs) > 1 else "")
        )


def _few_images(classifier: Classifier, dataset: Dataset, record: RunRecord) -> Iterator[str]:
    counts = Counter(dataset.train[index].label for index in record.picked)
    names = list(enumerate(dataset.class_names))
    none = [name for label, name in names if not counts[label]]
    few = [name for label, name in names if 0 < counts[label] < (classifier.shots or 1)]
    if none:
        yield f"no image to learn from of {_first(none)}"
    if few:
        yield f"fewer than {classifier.shots} images to learn from of {_first(few)}"


def _first(names: list[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} others" if len(names) > shown else "")


def _worse_than_zero_shot(record: RunRecord) -> Iterator[str]:
    """What to say and to try where learning did harm on the scored images."""
    learning, learned, beside = record.learning, record.results.get("test"), record.zero_shot.get("test")
    if learning is None or learned is None or beside is None or learned.accuracy >= beside.accuracy:
        return
    yield "learning did worse than the hand-written prompt on these images; what may help:"
    if learning.augment:
        yield "  augment=False (--no-augment), if a cut or mirrored image shows something else, as signs and letters do"
    yield f"  a lower lr than {learning.lr:g}, fewer epochs than {learning.epochs}, or more shots"
    yield "  choose among these on images of their own (a val split), not on the ones scored here"
