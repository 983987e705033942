"""The images that are explained, with their classes where these are known."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cocoop.classifier import Classifier
from cocoop.data import (
    IMAGE_SUFFIXES,
    OFFLINE,
    OFFLINE_VARIANTS,
    PAPER_DATASETS,
    Dataset,
    ImageError,
    LeftOut,
)
from cocoop.data.hugging_face import HUB_PREFIX
from cocoop.data.manifest import MANIFEST_SUFFIXES
from cocoop.errors import InputError
from cocoop.labels import number_labels
from cocoop.protocols.own_images import not_trained_on
from cocoop.serving import Named, named_pictures
from cocoop.serving.encode import load


class Given(NamedTuple):
    """Images to explain.

    pictures: [N]. labels: [N] numbers of their classes among the classifier's, or None. of: which images these are.
    notes: what to know beside it, a line each.
    """

    pictures: list[Named]
    labels: list[int] | None
    of: str
    notes: tuple[str, ...] = ()


def is_labelled(sources: Sequence[str]) -> bool:
    """Whether what a user names are labelled images for `read_dataset`, and not pictures for `named_pictures`.

    They are if it is one name of a data set, "hf:...", a manifest, a split file, or a folder with folders in it and no
    picture beside them.
    """
    if len(sources) != 1:
        return False
    [source] = sources
    if source in (*PAPER_DATASETS, *OFFLINE, *OFFLINE_VARIANTS) or source.startswith(HUB_PREFIX):
        return True
    if os.path.isdir(source):
        return _has_only_folders(Path(source))
    return os.path.isfile(source) and source.lower().endswith((*MANIFEST_SUFFIXES, ".json"))


def pictures_given(classifier: Classifier, sources: Sequence[str]) -> Given:
    """Pictures without labels, as `named_pictures` reads them. `InputError` as there, or where there is none.

    None is left out; of those that the classifier learned from it is said how many there are.
    """
    left_out = LeftOut()
    pictures = list(named_pictures(sources, left_out))
    if not pictures:
        raise InputError(f"{', '.join(sources)}: expected pictures; got none. Name some, or a folder that holds some.")
    return Given(pictures, None, f"the images given{_learned_from(classifier, pictures)}", tuple(left_out.notes()))


def dataset_given(classifier: Classifier, dataset: Dataset, include_training: bool) -> Given:
    """The test split of a data set, or all images where there is none; those that the run learned from are left out.

    Args:
        classifier: fitted, and set to the classes to choose from.
        dataset: its images have labels where all its classes are the classifier's; else a note says that they have not.
        include_training: whether images that it learned from, or was validated on, are taken as well.

    Raises:
        InputError: all images were learned from.
    """
    examples = dataset.test or dataset.train
    others = not_trained_on(classifier, examples)
    taken = examples if include_training else others
    if not taken:
        raise InputError(
            f"{dataset.name}: expected images that the run was not trained on; all {len(examples)} were. Give other "
            "images, or add --include-training."
        )
    notes, trained = [*dataset.notes], len(examples) - len(others)
    of = f"images of {dataset.name} that the run did not learn from"
    if trained and include_training:
        of = f"images of {dataset.name}, {trained:,} of which the run learned from or was validated on"
    elif trained:
        notes.append(f"left out {trained:,} images that the run learned from or was validated on")
    try:
        labels = number_labels(classifier.classes_, [example.label for example in taken], dataset.class_names)
    except InputError as error:
        labels = None
        notes.append(f"there is no accuracy, because the labels do not fit. {error}")
    return Given([Named(str(example.path), example.path) for example in taken], labels, of, tuple(notes))


def _learned_from(classifier: Classifier, pictures: Sequence[Named]) -> str:
    known, count = classifier.trained_on | classifier.validated_on, 0
    for named in pictures if known else ():
        with suppress(ImageError):  # who encodes them says so
            content = load(named.picture)
            count += isinstance(content, bytes) and sha256(content).hexdigest() in known
    return f", {count:,} of which the run learned from or was validated on" if count else ""


def _has_only_folders(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:  # who reads it says why
        return False
    pictures = any(os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES for entry in shown)
    return not pictures and any(entry.is_dir() for entry in shown)
