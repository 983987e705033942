"""Miniatures of ImageNet and its four variants: twelve classes that they share."""

from cocoop.data.papers.miniature.layout import Miniature, MiniatureClass, lines, parts

NAMES = {
    "n01440764": "tench",
    "n01443537": "goldfish",
    "n01484850": "great white shark",
    "n01498041": "stingray",
    "n01514859": "hen",
    "n01531178": "goldfinch",
    "n02012849": "crane bird",
    "n02106662": "German Shepherd Dog",
    "n03126707": "construction crane",
    "n03773504": "missile",
    "n04008634": "missile",
    "n07697313": "cheeseburger",
}
"""WordNet number -> class name. Two classes are called "missile", as in the full list."""

IN_A = ("n01498041", "n01531178", "n02106662", "n07697313")
IN_R = ("n01443537", "n01484850", "n01498041", "n01514859", "n01531178", "n02106662", "n03773504", "n07697313")
"""The classes, of the twelve, that ImageNet-A has, and those that ImageNet-R has."""

_CLASSNAMES = {"classnames.txt": lines([f"{number} {name}" for number, name in NAMES.items()])}
_ALL = tuple(NAMES)


def imagenet(images: int) -> Miniature:
    """Training images carry their class's number, validation images a running one."""
    train, val, test = parts(images)
    classes = [
        MiniatureClass(
            name,
            look,
            [f"train/{number}/{number}_{i}.JPEG" for i in range(1, train + val + 1)],
            [f"val/{number}/ILSVRC2012_val_{len(NAMES) * i + look + 1:08d}.JPEG" for i in range(test)],
        )
        for look, (number, name) in enumerate(NAMES.items())
    ]
    return Miniature(classes, {**_CLASSNAMES, "images/.DS_Store": b"left by a file manager"})


def imagenetv2(images: int) -> Miniature:
    """Folders are called by label: as text, "10" comes before "2"."""
    folders = {number: str(label) for label, number in enumerate(NAMES)}
    return Miniature(_variant(_ALL, "{folder}/{i:040x}.jpeg", images, folders), _CLASSNAMES)


def imagenet_sketch(images: int) -> Miniature:
    """Folders are called as in ImageNet."""
    return Miniature(_variant(_ALL, "{folder}/sketch_{i}.JPEG", images), _CLASSNAMES)


def imagenet_a(images: int) -> Miniature:
    """Some of the classes, numbered among themselves; names of all in `classnames.txt`; a README among the folders."""
    classes = _variant(IN_A, "{folder}/0.{i:06d}_digital clock _ hair spray_0.86566.jpg", images)
    return Miniature(classes, {**_CLASSNAMES, "imagenet-a/README.txt": b"Natural adversarial examples.\n"})


def imagenet_r(images: int) -> Miniature:
    """The layout of ImageNet-A, with other classes."""
    classes = _variant(IN_R, "{folder}/art_{i}.jpg", images)
    return Miniature(classes, {**_CLASSNAMES, "imagenet-r/README.txt": b"Renditions.\n"})


def _variant(
    numbers: tuple[str, ...], pattern: str, images: int, folders: dict[str, str] | None = None
) -> list[MiniatureClass]:
    """Test images alone: of each class as many as ImageNet's miniature has for validation."""
    folders = folders or {number: number for number in numbers}
    test = range(parts(images)[2])
    return [
        MiniatureClass(
            NAMES[number], _ALL.index(number), [], [pattern.format(folder=folders[number], i=i) for i in test]
        )
        for number in numbers
    ]
