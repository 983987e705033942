"""A folder per class and no official split: Caltech101, Food101, DTD and EuroSAT."""

from collections.abc import Collection, Mapping
from pathlib import Path

from cocoop.data.papers.raw import SPLIT_SEED, RawData
from cocoop.data.papers.raw.listing import class_folders, list_examples
from cocoop.data.papers.raw.text import at
from cocoop.data.split import random_split
from cocoop.errors import InputError

CALTECH101_DROPPED = frozenset({"BACKGROUND_Google", "Faces_easy"})
"""Folders of Caltech101 that are no classes here (CoOp:datasets/caltech101.py @ ff61507c)."""

CALTECH101_NAMES = {"airplanes": "airplane", "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike"}
"""Caltech101's folder -> class name, where they differ (same source)."""

EUROSAT_NAMES = {
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
"""EuroSAT's folder -> class name (CoOp:datasets/eurosat.py @ ff61507c)."""


def read_caltech101(_: Path, images: Path) -> RawData:
    """Read 101_ObjectCategories without its two folders that are no classes."""
    return _read(images, CALTECH101_NAMES, CALTECH101_DROPPED)


def read_plain_folders(_: Path, images: Path) -> RawData:
    """Food101 and DTD: every folder is a class of its name."""
    return _read(images, {}, frozenset())


def read_eurosat(_: Path, images: Path) -> RawData:
    """Read 2750: ten folders, renamed to the words that the prompts use."""
    return _read(images, EUROSAT_NAMES, frozenset())


def _read(images: Path, renamed: Mapping[str, str], dropped: Collection[str]) -> RawData:
    """Labels follow the folders' names, before they are renamed. Images are sorted, then split 50/20/30 at random.

    Source: CoOp:datasets/dtd.py @ ff61507c, `read_and_split_data`, which shuffles an unsorted listing.
    """
    folders = [folder for folder in class_folders(images) if folder not in dropped]
    if not folders:
        raise InputError(
            f"{images}: expected one sub-folder of images per class; got only {', '.join(sorted(dropped))}."
        )
    names = [renamed.get(folder, folder) for folder in folders]
    examples = list_examples(images, folders, names)
    with at(images):
        return random_split(examples, SPLIT_SEED), names
