"""SUN397: ClassName.txt, and the images of the first official partition in Training_01.txt and Testing_01.txt."""

from pathlib import Path

from cocoop.data.examples import Example
from cocoop.data.papers.raw import SPLIT_SEED, RawData
from cocoop.data.papers.raw.text import at, label_by_name, read_fields
from cocoop.data.split import hold_out


def read_sun397(base: Path, images: Path) -> RawData:
    """Labels follow the lines of ClassName.txt. 20 % of every class of Training_01.txt are held out as val.

    A class is a path; its name drops the first letter's folder and puts the parts in reverse, so that
    "/a/apartment_building/outdoor" is "outdoor apartment_building".
    Source: CoOp:datasets/sun397.py @ ff61507c.
    """
    listed_in = base / "ClassName.txt"
    classes = [path for (path,) in read_fields(listed_in, r"/([^/\s]/\S+)", '"/a/apartment_building/outdoor"')]
    labels = {path: label for label, path in enumerate(classes)}
    names = [" ".join(reversed(path.split("/")[1:])) for path in classes]

    def examples(path: Path) -> list[Example]:
        fields = read_fields(path, r"/(\S+)/([^/\s]+)", '"/a/abbey/sun_aaa.jpg"')
        listed = ((label_by_name(path, folder, labels, listed_in), folder, image) for folder, image in fields)
        return [Example(images / folder / image, label, names[label]) for label, folder, image in listed]

    trainval = examples(base / "Training_01.txt")
    test = examples(base / "Testing_01.txt")
    with at(base / "Training_01.txt"):
        train, val = hold_out(trainval, SPLIT_SEED)
    return (train, val, test), names
