"""ImageNet and its four variants: a folder per class, and classnames.txt with lines such as "n01440764 tench".

The original takes images in the order in which the file system lists them, which differs from disk to disk; here
they are sorted. So ImageNet's few-shot picks are those of a sorted listing.
"""

from pathlib import Path

from cocoop.data.papers.raw import RawData
from cocoop.data.papers.raw.listing import class_folders, list_examples
from cocoop.data.papers.raw.text import read_fields
from cocoop.errors import InputError


def read_imagenet(base: Path, images: Path) -> RawData:
    """Read images/train and images/val. The validation images are val and test: one and the same list.

    Labels follow the sorted folders. Two classes may have one name: the list of the papers has such pairs.
    Source: CoOp:datasets/imagenet.py @ ff61507c.
    """
    folders, names = _classes(base, images / "train")
    differing = sorted({*folders} ^ {*class_folders(images / "val")})
    if differing:
        raise InputError(
            f"{images / 'val'}: expected the same sub-folders as in {images / 'train'}, one per class; got "
            f"{len(differing)} that only one of them has, first {differing[0]}."
        )
    test = list_examples(images / "val", folders, names)
    return (list_examples(images / "train", folders, names), test, test), names


def read_imagenet_variant(base: Path, images: Path) -> RawData:
    """ImageNet-Sketch, -A and -R: a test split only, labels by sorted folders (0..199 for A and R).

    Source: CoOp:datasets/imagenet_sketch.py, imagenet_a.py, imagenet_r.py @ ff61507c.
    """
    folders, names = _classes(base, images)
    return ([], [], list_examples(images, folders, names)), names


def read_imagenetv2(base: Path, images: Path) -> RawData:
    """ImageNetV2: a test split only; folder "7" holds the class of the eighth line of classnames.txt.

    Source: CoOp:datasets/imagenetv2.py @ ff61507c.
    """
    names = list(_names_by_folder(base / "classnames.txt").values())
    return ([], [], list_examples(images, [str(label) for label in range(len(names))], names)), names


def _classes(base: Path, images: Path) -> tuple[list[str], list[str]]:
    """The class folders below `images`, and their names."""
    by_folder = _names_by_folder(base / "classnames.txt")
    folders = class_folders(images)
    unnamed = [folder for folder in folders if folder not in by_folder]
    if unnamed:
        raise InputError(
            f"{images}: expected only sub-folders that {base / 'classnames.txt'} names; got {len(unnamed)} others, "
            f"first {unnamed[0]}."
        )
    return folders, [by_folder[folder] for folder in folders]


def _names_by_folder(path: Path) -> dict[str, str]:
    return {folder: name for folder, name in read_fields(path, r"(\S+) (.+)", '"n01440764 tench"')}
