"""The parts of a miniature in memory, before it is written."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class MiniatureClass(NamedTuple):
    """One class of a miniature.

    name: as the split file spells it. look: which of the drawings shows it. learn, test: its images, as the data set's
    own lists part them; paths below the folder of images.
    """

    name: str
    look: int
    learn: list[str]
    test: list[str]


class Miniature(NamedTuple):
    """A whole data set: its classes by label, and the files beside the images by path below the data set's folder.

    strays: images that belong to no class, path below the folder of images -> look.
    """

    classes: list[MiniatureClass]
    files: Mapping[str, bytes]
    strays: Mapping[str, int] = {}

    @property
    def looks(self) -> dict[str, int]:
        """Every image: path below the folder of images -> look."""
        listed = {path: kind.look for kind in self.classes for path in kind.learn + kind.test}
        return {**listed, **self.strays}


def parts(images: int) -> tuple[int, int, int]:
    """Images of one class -> how many for train, val and test: about 50, 20 and 30 %. At least one each from 4 on."""
    train, val = round(0.5 * images), round(0.2 * images)
    return train, val, images - train - val


def cut(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """The images of one class -> those to learn from (train and val), those to test on."""
    learn = len(paths) - parts(len(paths))[2]
    return list(paths[:learn]), list(paths[learn:])


def lines(rows: Sequence[str], end: str = "\n") -> bytes:
    """One row per line."""
    return "".join(row + end for row in rows).encode()


def mat(content: Mapping[str, Any]) -> bytes:
    """A MATLAB 5 file of the named arrays; the same bytes every time."""
    from scipy.io import savemat  # takes a second to import

    file = io.BytesIO()
    savemat(file, dict(content))
    # The first 116 bytes are free text, where savemat puts the time of day.
    return b"MATLAB 5.0 MAT-file, a miniature".ljust(116) + file.getvalue()[116:]


def split_json(classes: Sequence[MiniatureClass]) -> bytes:
    """A split file that differs from what the raw annotations give: each class from its last image to its first."""
    split: dict[str, list[list[Any]]] = {"train": [], "val": [], "test": []}
    for label, kind in enumerate(classes):
        val = parts(len(kind.learn) + len(kind.test))[1]
        learn = kind.learn[::-1]
        for part, paths in (("train", learn[val:]), ("val", learn[:val]), ("test", kind.test[::-1])):
            split[part] += [[path, label, kind.name] for path in paths]
    return json.dumps(split).encode()
