"""`Dataset`: labelled images in three splits, wherever they came from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

from cocoop.data.base_new import base_to_new
from cocoop.data.examples import Example
from cocoop.data.split import random_split
from cocoop.errors import InputError
from cocoop.rgb import Exif

Classes = Literal["all", "base", "new"]
"""All classes of a data set, or one half of them."""


@dataclass(frozen=True, repr=False)
class Dataset:
    """A data set as read from a disk. Images are listed, not opened.

    name: the registry's name, or the place it was read from.
    train, val, test: the splits; `val` and `train` may be empty (ImageNet's variants have a test split only). Data
        without a split have all their images in `train`, and `test` is empty: see `with_split`.
    class_names: [K] names by label 0..K-1; two may be equal (ImageNet's list has such a pair).
    template: the hand-written zero-shot prompt, with "{}" for the class name.
    image_root: the folder below which all images lie; paths in split files are relative to it.
    split_made: whether train, val and test were drawn here, because the disk holds no split. Keep such a split
        beside the results (`split_content`).
    notes: what its reader left out or took in a way that may not be meant, a line each.
    exif: how its images are opened, see `cocoop.rgb.as_rgb`: the papers' as the original opens them, to the bit.
    """

    name: str
    train: list[Example]
    val: list[Example]
    test: list[Example]
    class_names: list[str]
    template: str
    image_root: Path
    split_made: bool = False
    notes: tuple[str, ...] = field(default=(), compare=False)
    exif: Exif = "apply"

    def __repr__(self) -> str:
        images = " / ".join(f"{len(split):,}" for split in (self.train, self.val, self.test))
        return f"Dataset({self.name!r}: {len(self.class_names):,} classes, {images} images to train / val / test)"

    def with_split(self, seed: int = 0) -> Self:
        """Itself if it has test images; else its images in three splits, drawn by `random_split` from `seed`.

        Raises:
            InputError: no images, or a class with too few to be in all three (below 4).
        """
        if self.test:
            return self
        train, val, test = random_split(self.train, seed)
        return replace(self, train=train, val=val, test=test, split_made=True)

    def select(self, classes: Classes) -> Self:
        """The same data set with one half of its classes, numbered from 0; see `base_to_new`. "all" is itself.

        Raises:
            InputError: a class without a training image, which halves cannot be told from.
        """
        if classes == "all":
            return self
        labels = {example.label for example in self.train}
        if labels != set(range(len(self.class_names))):
            missing = sorted(set(range(len(self.class_names))) - labels)
            raise InputError(
                f"{self.name}: expected training images of all {len(self.class_names)} classes, to halve the class "
                f"list; got none of {', '.join(self.class_names[label] for label in missing[:5])}. Add images."
            )
        train, val, test = base_to_new(self.train, self.val, self.test, half=classes)
        middle = (len(self.class_names) + 1) // 2
        names = self.class_names[:middle] if classes == "base" else self.class_names[middle:]
        return replace(self, train=train, val=val, test=test, class_names=names)
