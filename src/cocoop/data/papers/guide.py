"""Guides to the fifteen data sets: what each is and how it lies on a disk, for people and for checks.

Source: CoOp:DATASETS.md and CoOp:datasets/*.py @ ff61507c.
"""

from collections.abc import Mapping
from typing import NamedTuple

from cocoop.data.papers.table import PAPER_DATASETS


class Part(NamedTuple):
    """A folder ("/" at the end) or a file, below the data set's folder.

    holds: what is in it. raw: needed only where the split file is absent.
    """

    path: str
    holds: str
    raw: bool = False


class Guide(NamedTuple):
    """about: what it is. naming: how a class gets its name. parts: what has to be on the disk, beside a split file."""

    about: str
    naming: str
    parts: tuple[Part, ...]


_NUMBERED_NAMES = Part("classnames.txt", "lines like: n01440764 tench")
_BY_LINE = "What follows the WordNet number in classnames.txt."

GUIDES: dict[str, Guide] = {
    "imagenet": Guide(
        "1,000 kinds of animals, plants and things; what transfer starts from. Its validation images are the test.",
        f"{_BY_LINE} Labels follow the sorted folders.",
        (
            Part("images/train/", "a folder per class: n01440764/n01440764_10026.JPEG"),
            Part("images/val/", "the same folders: n01440764/ILSVRC2012_val_00000293.JPEG"),
            _NUMBERED_NAMES,
        ),
    ),
    "caltech101": Guide(
        "Things and animals, about 40 to 800 images of each.",
        "The folder's name; airplanes, Faces, Leopards and Motorbikes become airplane, face, leopard and motorbike. "
        "BACKGROUND_Google and Faces_easy are left out.",
        (Part("101_ObjectCategories/", "a folder per class: accordion/image_0001.jpg"),),
    ),
    "oxford_pets": Guide(
        "37 breeds of cats and dogs.",
        "The image's file name without its number, in lower case.",
        (
            Part("images/", "all images: Abyssinian_100.jpg"),
            Part("annotations/trainval.txt", "lines like: Abyssinian_100 1 1 1", raw=True),
            Part("annotations/test.txt", "the same for the test images", raw=True),
        ),
    ),
    "stanford_cars": Guide(
        "196 cars by maker, model and year.",
        'The name in cars_meta.mat with the year in front: "2012 Acura RL Sedan".',
        (
            Part("cars_train/", "00001.jpg and so on"),
            Part("cars_test/", "00001.jpg and so on"),
            Part("devkit/cars_train_annos.mat", "file names and classes of cars_train", raw=True),
            Part("devkit/cars_meta.mat", "class names", raw=True),
            Part("cars_test_annos_withlabels.mat", "the same for cars_test", raw=True),
        ),
    ),
    "oxford_flowers": Guide(
        "102 flowers that grow in Britain.",
        "cat_to_name.json's entry for the label of imagelabels.mat, which counts from 1.",
        (
            Part("jpg/", "all images: image_00001.jpg"),
            Part("imagelabels.mat", "the class of each image, from 1", raw=True),
            Part("cat_to_name.json", 'a name for each label: {"21": "fire lily", ...}', raw=True),
        ),
    ),
    "food101": Guide(
        "101 dishes.",
        "The folder's name.",
        (Part("images/", "a folder per class: apple_pie/1005649.jpg"),),
    ),
    "fgvc_aircraft": Guide(
        "100 variants of aircraft.",
        "A line of variants.txt; labels follow the lines.",
        (
            Part("images/", "all images: 0034309.jpg"),
            Part("variants.txt", "one name per line"),
            Part("images_variant_train.txt", "lines like: 1025794 707-320"),
            Part("images_variant_val.txt", "the same for val"),
            Part("images_variant_test.txt", "the same for test"),
        ),
    ),
    "sun397": Guide(
        "397 scenes, indoors and outdoors.",
        "The class's path without its letter, read backwards: /a/apartment_building/outdoor is \"outdoor "
        'apartment_building".',
        (
            Part("SUN397/", "a folder per class: a/abbey/sun_aaalbzqrimafwbiv.jpg"),
            Part("ClassName.txt", "lines like: /a/abbey", raw=True),
            Part("Training_01.txt", "lines like: /a/abbey/sun_aaalbzqrimafwbiv.jpg", raw=True),
            Part("Testing_01.txt", "the same for the test images", raw=True),
        ),
    ),
    "dtd": Guide(
        "47 textures, by the adjective for them.",
        "The folder's name.",
        (Part("images/", "a folder per class: banded/banded_0002.jpg"),),
    ),
    "eurosat": Guide(
        "Ten kinds of land, seen by a satellite.",
        'The folder\'s name written out: AnnualCrop is "Annual Crop Land", Highway is "Highway or Road".',
        (Part("2750/", "a folder per class: AnnualCrop/AnnualCrop_1.jpg"),),
    ),
    "ucf101": Guide(
        "101 things people do: the middle frame of each video.",
        "The action's name with _ between its words: ApplyEyeMakeup is Apply_Eye_Makeup.",
        (
            Part("UCF-101-midframes/", "a folder per class: Apply_Eye_Makeup/v_ApplyEyeMakeup_g01_c01.jpg"),
            Part("ucfTrainTestlist/classInd.txt", "lines like: 1 ApplyEyeMakeup", raw=True),
            Part(
                "ucfTrainTestlist/trainlist01.txt",
                "lines like: ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1",
                raw=True,
            ),
            Part("ucfTrainTestlist/testlist01.txt", "the same without the number", raw=True),
        ),
    ),
    "imagenetv2": Guide(
        "New test images for ImageNet's classes, collected as the first were.",
        f"{_BY_LINE} A folder's number is the line, from 0.",
        (
            Part("imagenetv2-matched-frequency-format-val/", "folders 0 to 999 of .jpeg files"),
            _NUMBERED_NAMES,
        ),
    ),
    "imagenet_sketch": Guide(
        "Sketches of ImageNet's classes.",
        f"{_BY_LINE} Labels follow the sorted folders.",
        (Part("images/", "a folder per class: n01440764/sketch_0.JPEG"), _NUMBERED_NAMES),
    ),
    "imagenet_a": Guide(
        "Photographs of 200 of ImageNet's classes that a ResNet-50 got wrong.",
        f"{_BY_LINE} Labels 0 to 199 follow the sorted folders.",
        (Part("imagenet-a/", "a folder for each of the 200 classes, and README.txt"), _NUMBERED_NAMES),
    ),
    "imagenet_r": Guide(
        "Paintings, toys, tattoos and other renditions of 200 of ImageNet's classes.",
        f"{_BY_LINE} Labels 0 to 199 follow the sorted folders.",
        (Part("imagenet-r/", "a folder for each of the 200 classes, and README.txt"), _NUMBERED_NAMES),
    ),
}
"""Name -> guide, in the order of `PAPER_DATASETS`."""

OFFLINE_ABOUT = {
    "digits": "Real handwritten digits of 8 x 8 pixels, from scikit-learn.",
    "pictographs": "Signs of Unicode by their names, drawn here.",
    "shapes": "Shapes in combinations of texture and colour that the bundled CLIP never saw, drawn here.",
}
"""Name -> what it is, for the data sets that need no download. The tests of the drawn ones also come shifted."""


def layout_tree(name: str) -> str:
    """How one of the fifteen lies below the data root: a line per folder and file, indented, and what each holds."""
    row = PAPER_DATASETS[name]
    parts = list(GUIDES[name].parts)
    if row.split_file:
        without = "without it, those marked * are needed" if any(part.raw for part in parts) else "may be absent"
        parts.append(Part(row.split_file, f"the papers' split; {without}"))
    lines: dict[str, str] = {}  # path so far -> what it holds
    for part in parts:
        pieces = f"{row.folder}/{part.path}".rstrip("/").split("/")
        for depth in range(1, len(pieces)):
            lines.setdefault("/".join(pieces[:depth]) + "/", "")
        lines[f"{row.folder}/{part.path}"] = part.holds + (" *" if part.raw else "")
    return _indented(lines)


def _indented(lines: Mapping[str, str]) -> str:
    """Paths, folders with "/" at the end, as a tree with their texts in one column."""
    shown = []
    for path, text in lines.items():
        *above, last = path.rstrip("/").split("/")
        shown.append(("  " * len(above) + last + "/" * path.endswith("/"), text))
    width = max(len(name) for name, _ in shown)
    return "\n".join(f"{name.ljust(width)}  {text}".rstrip() for name, text in shown)
