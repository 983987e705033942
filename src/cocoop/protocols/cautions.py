"""What the figures of a run on a user's own images do not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from cocoop.class_names import as_read, in_a_list
from cocoop.classifier import Classifier
from cocoop.clip.sources.load import BUNDLED
from cocoop.data import OFFLINE, OFFLINE_VARIANTS, Dataset, Example
from cocoop.evaluation import distinct
from cocoop.results import Calibration, Learning, RunRecord


class _Figures(Protocol):
    """Those of `Metrics` and of a record's `Figures` that are looked at."""

    @property
    def n(self) -> int: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def per_class_accuracy(self) -> dict[str, float]: ...


def cautions(
    classifier: Classifier, dataset: Dataset, record: RunRecord, tested_on_training: int, tested_on_validation: int
) -> Iterator[str]:
    """What to know beside the figures of a training, a line each.

    Args:
        classifier: fitted on shots of `dataset`.
        dataset: what `fit_and_score` was given.
        record: with the figures of "test", if any image was scored.
        tested_on_training: how many images of the test split were learned from, too.
        tested_on_validation: how many were left out because they were validated on.
    """
    if classifier.picked_:
        yield from _few_images(classifier, dataset, record)
    if tested_on_training:
        count, total = f"{tested_on_training:,}", f"{len(dataset.test):,}"
        yield f"{count} of the {total} test images were learned from, too; `evaluate` leaves them out"
    if tested_on_validation:
        yield f"{tested_on_validation:,} of the {len(dataset.test):,} test images are validation images, and left out"
    learned, beside = record.results.get("test"), record.zero_shot.get("test")
    if learned is not None and beside is not None:
        yield from untested(learned, dataset.class_names)
        if record.learning is not None:
            yield from worse_than_zero_shot(record.learning, learned, beside)


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


def for_photographs(clip: str, datasets: Iterable[Dataset], do: str = "add") -> Iterator[str]:
    """A line if the bundled CLIP, by its name, sees anything but what is drawn here; `do` is what to do with --clip."""
    if clip in BUNDLED and any(dataset.name not in (*OFFLINE, *OFFLINE_VARIANTS) for dataset in datasets):
        yield f"the bundled CLIP {clip!r} is for trials; for photographs {do} --clip openai/clip-vit-base-patch16"


def other_classes(trained: Sequence[object], chosen: Sequence[str]) -> Iterator[str]:
    """A line if some classes of the training are not among those to choose from.

    With fewer, or none of those that are alike, the question is an easier one.
    """
    left = {as_read(name) for name in chosen}
    missing = [str(name) for name in trained if as_read(str(name)) not in left]
    if missing:
        yield (
            f"{len(missing):,} of the run's {len(trained):,} classes are not among the {len(chosen):,} to choose from "
            f"here: {_first(missing)}. With fewer or other classes the question is another one, and may be easier"
        )


def untested(figures: _Figures, class_names: Sequence[str]) -> Iterator[str]:
    """A line if the scored images are not of all the classes [K] that they were classified into."""
    tested, names = figures.per_class_accuracy, distinct(class_names)
    if len(tested) == 1:
        [name] = tested
        yield (
            f"all {figures.n:,} scored images are of one class, {name}: the figures do not say how often others are "
            "taken for it"
        )
    elif len(tested) < len(names):
        yield f"no scored image of {_first([name for name in names if name not in tested])}"


def worse_than_zero_shot(learning: Learning, learned: _Figures, beside: _Figures) -> Iterator[str]:
    """What to say and to try where learning did harm on the scored images; `beside` are zero-shot's on the same."""
    if learned.accuracy >= beside.accuracy:
        return
    rates = f"{learned.accuracy:.2f} % to its {beside.accuracy:.2f} %"
    yield f"learning did worse than the hand-written prompt on these images, {rates}; what may help:"
    if learning.augment:
        yield "  augment=False (--no-augment), if a cut or mirrored image shows something else, as signs and letters do"
    yield f"  a lower lr than {learning.lr:g}, fewer epochs than {learning.epochs}, or more shots"
    yield "  choose among these on images of their own (a val split), not on the ones scored here"


def half_calibrated(calibration: Calibration | None, dataset: Dataset) -> Iterator[str]:
    """A line if some of the images that are scored may be those that the temperature was fitted on."""
    if calibration is not None and calibration.part == "half" and calibration.dataset == dataset.name:
        yield (
            f"the temperature was fitted on {calibration.images:,} images of this data, some of which may be scored "
            "here; --calibrate shows the calibration error on others"
        )


def need_not_calibrate(calibration: Calibration) -> Iterator[str]:
    """A line if the images do not tell the temperature from 1, with which nothing changes."""
    low, high = calibration.interval
    if low <= 1 <= high:
        yield (
            f"a temperature of 1 lies in the interval: these {calibration.images:,} images do not say that the "
            "probabilities need a calibration; more images may. --no-calibrate takes it out again"
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
    return ", ".join(map(in_a_list, names[:shown])) + (
        f" and {len(names) - shown:,} others" if len(names) > shown else ""
    )
