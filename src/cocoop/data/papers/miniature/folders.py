"""Miniatures of the data sets that come as one folder per class, without an official split."""

from collections.abc import Mapping

from cocoop.data.papers.miniature.layout import Miniature, MiniatureClass, cut, lines

_HIDDEN = b"left by a file manager"


def caltech101(images: int) -> Miniature:
    """Two folders are no classes, two are renamed and capitals sort before all others."""
    names = {
        "Faces": "face",
        "Leopards": "leopard",
        "Motorbikes": "motorbike",
        "accordion": "accordion",
        "airplanes": "airplane",
        "crocodile_head": "crocodile_head",
    }
    strays = {
        f"{folder}/image_{i:04d}.jpg": 6 + i % 6 for folder in ("BACKGROUND_Google", "Faces_easy") for i in (1, 2)
    }
    files = {"101_ObjectCategories/BACKGROUND_Google/tmp": b"", "101_ObjectCategories/.DS_Store": _HIDDEN}
    return Miniature(_classes(names, "{folder}/image_{i:04d}.jpg", images), files, strays)


def food101(images: int) -> Miniature:
    """With the official lists in `meta`, which the papers do not use."""
    folders = ("apple_pie", "baby_back_ribs", "baklava", "bibimbap", "macaroni_and_cheese", "waffles")
    classes = _classes({folder: folder for folder in folders}, "{folder}/{i}005649.jpg", images)
    meta = {
        "classes": folders,
        "labels": [folder.replace("_", " ").capitalize() for folder in folders],
        "train": [path.removesuffix(".jpg") for kind in classes for path in kind.learn],
        "test": [path.removesuffix(".jpg") for kind in classes for path in kind.test],
    }
    files = {f"meta/{name}.txt": lines(rows) for name, rows in meta.items()}
    return Miniature(classes, {**files, "images/.DS_Store": _HIDDEN})


def dtd(images: int) -> Miniature:
    """With the official lists in `labels`, which the papers do not use, and a hidden file among the images."""
    folders = ("banded", "chequered", "cobwebbed", "grid", "polka-dotted", "waffled")
    classes = _classes({folder: folder for folder in folders}, "{folder}/{folder}_{i:04d}.jpg", images)
    files = {
        "labels/train1.txt": lines([path for kind in classes for path in kind.learn]),
        "labels/test1.txt": lines([path for kind in classes for path in kind.test]),
        "images/waffled/.directory": _HIDDEN,
    }
    return Miniature(classes, files)


def eurosat(images: int) -> Miniature:
    """All ten classes, because each has a rule of its own."""
    names = {
        "AnnualCrop": "Annual Crop Land",
        "Forest": "Forest",
        "HerbaceousVegetation": "Herbaceous Vegetation Land",
        "Highway": "Highway or Road",
        "Industrial": "Industrial Buildings",
        "Pasture": "Pasture Land",
        "PermanentCrop": "Permanent Crop Land",
        "Residential": "Residential Buildings",
        "River": "River",
        "SeaLake": "Sea or Lake",
    }
    return Miniature(_classes(names, "{folder}/{folder}_{i}.jpg", images), {})


def _classes(names: Mapping[str, str], pattern: str, images: int) -> list[MiniatureClass]:
    return [
        MiniatureClass(name, look, *cut([pattern.format(folder=folder, i=i) for i in range(1, images + 1)]))
        for look, (folder, name) in enumerate(names.items())
    ]
