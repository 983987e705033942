"""OxfordPets: annotations/trainval.txt and test.txt, lines such as "Abyssinian_100 1 1 1"."""

from pathlib import Path

from cocoop.data.examples import Example, class_names
from cocoop.data.papers.raw import SPLIT_SEED, RawData
from cocoop.data.papers.raw.text import NUMBER, at, read_fields
from cocoop.data.split import hold_out

_LINE = rf"((\S+)_[^\s_]+) ({NUMBER}) \d+ \d+"
_FORM = '"Abyssinian_100 1 1 1" (image, class number from 1, species, breed)'


def read_oxford_pets(base: Path, images: Path) -> RawData:
    """The class is the image's name without its last "_number", in lower case; the label is the class number - 1.

    The official test images are the test split; 20 % of every class of trainval.txt are held out as val.
    Source: CoOp:datasets/oxford_pets.py @ ff61507c.
    """
    annotations = base / "annotations"
    trainval = _examples(annotations / "trainval.txt", images)
    test = _examples(annotations / "test.txt", images)
    with at(annotations / "trainval.txt"):
        train, val = hold_out(trainval, SPLIT_SEED)
    with at(annotations):
        return (train, val, test), class_names([*trainval, *test])


def _examples(path: Path, images: Path) -> list[Example]:
    return [
        Example(images / f"{image}.jpg", int(number) - 1, breed.lower())
        for image, breed, number in read_fields(path, _LINE, _FORM)
    ]
