"""The fifteen data sets of the papers, one row each: where they lie, how large they are, how their prompt reads.

Source of layouts, split files, templates and class counts: CoOp:DATASETS.md, CoOp:datasets/*.py and
CoOp:trainers/zsclip.py @ ff61507c. Source of sizes: the published split files, and the papers'
tables where there is no split file.
"""

from typing import NamedTuple


class Sizes(NamedTuple):
    """Numbers of images; 0 where the data set has no such split."""

    train: int
    val: int
    test: int


class PaperDataset(NamedTuple):
    """One data set as the papers use it.

    title: how the papers write it. folder: below the data root. images: below `folder`, what the paths of the split
    file are relative to ("" for `folder` itself). split_file: in `folder`; None where the data have an official split.
    template: the zero-shot prompt, "{}" for the class name. homepage: where to get it.
    """

    title: str
    folder: str
    images: str
    split_file: str | None
    classes: int
    sizes: Sizes
    template: str
    homepage: str


_PHOTO = "a photo of a {}."

PAPER_DATASETS: dict[str, PaperDataset] = {
    "imagenet": PaperDataset(
        "ImageNet",
        "imagenet",
        "images",
        None,
        1000,
        Sizes(1_281_167, 50_000, 50_000),
        _PHOTO,
        "https://image-net.org",
    ),
    "caltech101": PaperDataset(
        "Caltech101",
        "caltech-101",
        "101_ObjectCategories",
        "split_zhou_Caltech101.json",
        100,
        Sizes(4_128, 1_649, 2_465),
        _PHOTO,
        "https://data.caltech.edu/records/mzrjq-6wc02",
    ),
    "oxford_pets": PaperDataset(
        "OxfordPets",
        "oxford_pets",
        "images",
        "split_zhou_OxfordPets.json",
        37,
        Sizes(2_944, 736, 3_669),
        "a photo of a {}, a type of pet.",
        "https://www.robots.ox.ac.uk/~vgg/data/pets/",
    ),
    "stanford_cars": PaperDataset(
        "StanfordCars",
        "stanford_cars",
        "",
        "split_zhou_StanfordCars.json",
        196,
        Sizes(6_509, 1_635, 8_041),
        _PHOTO,
        "https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
    ),
    "oxford_flowers": PaperDataset(
        "Flowers102",
        "oxford_flowers",
        "jpg",
        "split_zhou_OxfordFlowers.json",
        102,
        Sizes(4_093, 1_633, 2_463),
        "a photo of a {}, a type of flower.",
        "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    ),
    "food101": PaperDataset(
        "Food101",
        "food-101",
        "images",
        "split_zhou_Food101.json",
        101,
        Sizes(50_500, 20_200, 30_300),
        "a photo of {}, a type of food.",
        "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    ),
    "fgvc_aircraft": PaperDataset(
        "FGVCAircraft",
        "fgvc_aircraft",
        "images",
        None,
        100,
        Sizes(3_334, 3_333, 3_333),
        "a photo of a {}, a type of aircraft.",
        "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
    ),
    "sun397": PaperDataset(
        "SUN397",
        "sun397",
        "SUN397",
        "split_zhou_SUN397.json",
        397,
        Sizes(15_880, 3_970, 19_850),
        _PHOTO,
        "https://vision.princeton.edu/projects/2010/SUN/",
    ),
    "dtd": PaperDataset(
        "DTD",
        "dtd",
        "images",
        "split_zhou_DescribableTextures.json",
        47,
        Sizes(2_820, 1_128, 1_692),
        "{} texture.",
        "https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    ),
    "eurosat": PaperDataset(
        "EuroSAT",
        "eurosat",
        "2750",
        "split_zhou_EuroSAT.json",
        10,
        Sizes(13_500, 5_400, 8_100),
        "a centered satellite photo of {}.",
        "https://github.com/phelber/EuroSAT",
    ),
    "ucf101": PaperDataset(
        "UCF101",
        "ucf101",
        "UCF-101-midframes",
        "split_zhou_UCF101.json",
        101,
        Sizes(7_639, 1_898, 3_783),
        "a photo of a person doing {}.",
        "https://www.crcv.ucf.edu/data/UCF101.php",
    ),
    "imagenetv2": PaperDataset(
        "ImageNetV2",
        "imagenetv2",
        "imagenetv2-matched-frequency-format-val",
        None,
        1000,
        Sizes(0, 0, 10_000),
        _PHOTO,
        "https://github.com/modestyachts/ImageNetV2",
    ),
    "imagenet_sketch": PaperDataset(
        "ImageNet-Sketch",
        "imagenet-sketch",
        "images",
        None,
        1000,
        Sizes(0, 0, 50_889),
        _PHOTO,
        "https://github.com/HaohanWang/ImageNet-Sketch",
    ),
    "imagenet_a": PaperDataset(
        "ImageNet-A",
        "imagenet-adversarial",
        "imagenet-a",
        None,
        200,
        Sizes(0, 0, 7_500),
        _PHOTO,
        "https://github.com/hendrycks/natural-adv-examples",
    ),
    "imagenet_r": PaperDataset(
        "ImageNet-R",
        "imagenet-rendition",
        "imagenet-r",
        None,
        200,
        Sizes(0, 0, 30_000),
        _PHOTO,
        "https://github.com/hendrycks/imagenet-r",
    ),
}
"""Name -> row, in the papers' order."""

TRAINABLE = tuple(name for name, row in PAPER_DATASETS.items() if row.sizes.train)
"""The eleven with training images: tables 1 and 2, and the few-shot curves."""

TRANSFER_TARGETS = TRAINABLE[1:]
"""The ten that table 2 tests on, after training on ImageNet."""

IMAGENET_VARIANTS = tuple(name for name, row in PAPER_DATASETS.items() if not row.sizes.train)
"""The four that table 3 tests on, after training on ImageNet."""
