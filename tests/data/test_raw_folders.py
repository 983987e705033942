"""Caltech101, Food101, DTD and EuroSAT from their class folders, by hand."""

import pytest
from raw_layouts import images, listed, parts, write

from cocoop.data import read_paper_dataset
from cocoop.errors import InputError

CALTECH = "caltech-101/101_ObjectCategories"


def numbered(folder, count=4):
    return images(*(f"{folder}/image_{number:04d}.jpg" for number in range(1, count + 1)))


@pytest.fixture
def caltech(tmp_path):
    folders = ["accordion", "Leopards", "BACKGROUND_Google", "Faces", "Faces_easy", "airplanes", "Motorbikes"]
    files = {name: content for folder in folders for name, content in numbered(f"{CALTECH}/{folder}").items()}
    strays = images(f"{CALTECH}/.cache/1.jpg", f"{CALTECH}/Faces/.hidden.jpg", f"{CALTECH}/Faces/Thumbs.db")
    return write(tmp_path, {**files, **strays, f"{CALTECH}/notes.txt": "no class"})


def test_caltech101(caltech):
    dataset = read_paper_dataset("caltech101", caltech)
    assert dataset.class_names == ["face", "leopard", "motorbike", "accordion", "airplane"]
    assert dataset.image_root == caltech / CALTECH
    assert (dataset.name, dataset.template, dataset.split_made) == ("caltech101", "a photo of a {}.", True)
    everything = listed([*dataset.train, *dataset.val, *dataset.test], caltech / CALTECH)
    assert sorted(everything) == [
        ("Faces/image_0001.jpg", 0, "face"),
        ("Faces/image_0002.jpg", 0, "face"),
        ("Faces/image_0003.jpg", 0, "face"),
        ("Faces/image_0004.jpg", 0, "face"),
        ("Leopards/image_0001.jpg", 1, "leopard"),
        ("Leopards/image_0002.jpg", 1, "leopard"),
        ("Leopards/image_0003.jpg", 1, "leopard"),
        ("Leopards/image_0004.jpg", 1, "leopard"),
        ("Motorbikes/image_0001.jpg", 2, "motorbike"),
        ("Motorbikes/image_0002.jpg", 2, "motorbike"),
        ("Motorbikes/image_0003.jpg", 2, "motorbike"),
        ("Motorbikes/image_0004.jpg", 2, "motorbike"),
        ("accordion/image_0001.jpg", 3, "accordion"),
        ("accordion/image_0002.jpg", 3, "accordion"),
        ("accordion/image_0003.jpg", 3, "accordion"),
        ("accordion/image_0004.jpg", 3, "accordion"),
        ("airplanes/image_0001.jpg", 4, "airplane"),
        ("airplanes/image_0002.jpg", 4, "airplane"),
        ("airplanes/image_0003.jpg", 4, "airplane"),
        ("airplanes/image_0004.jpg", 4, "airplane"),
    ]
    # round(0.5 x 4) = 2, round(0.2 x 4) = 1 and the rest of every class.
    assert [len(split) for split in (dataset.train, dataset.val, dataset.test)] == [10, 5, 5]


def test_the_split_is_the_same_again_and_writes_nothing(caltech):
    before = sorted(caltech.rglob("*"))
    assert read_paper_dataset("caltech101", caltech) == read_paper_dataset("caltech101", caltech)
    assert sorted(caltech.rglob("*")) == before


def test_the_draw_itself(tmp_path):
    """Random(0) shuffles [1, 2, 3, 4] to [3, 1, 2, 4], the next one to [1, 2, 4, 3]: 50, 20 and 30 % in this order."""
    root = write(tmp_path, {**numbered("food-101/images/waffles"), **numbered("food-101/images/apple_pie")})
    assert parts(read_paper_dataset("food101", root), root / "food-101/images") == {
        "train": [
            ("apple_pie/image_0003.jpg", 0, "apple_pie"),
            ("apple_pie/image_0001.jpg", 0, "apple_pie"),
            ("waffles/image_0001.jpg", 1, "waffles"),
            ("waffles/image_0002.jpg", 1, "waffles"),
        ],
        "val": [("apple_pie/image_0002.jpg", 0, "apple_pie"), ("waffles/image_0004.jpg", 1, "waffles")],
        "test": [("apple_pie/image_0004.jpg", 0, "apple_pie"), ("waffles/image_0003.jpg", 1, "waffles")],
    }


def test_dtd_keeps_the_folders_names(tmp_path):
    root = write(tmp_path, {**numbered("dtd/images/polka-dotted", 10), **numbered("dtd/images/banded", 10)})
    write(root, images("dtd/images/banded/.directory"))
    dataset = read_paper_dataset("dtd", root)
    assert dataset.class_names == ["banded", "polka-dotted"]
    assert [len(split) for split in (dataset.train, dataset.val, dataset.test)] == [10, 4, 6]
    assert dataset.template == "{} texture."


def test_eurosat_names(tmp_path):
    folders = (
        "SeaLake River Residential PermanentCrop Pasture Industrial Highway HerbaceousVegetation Forest AnnualCrop"
    )
    root = write(tmp_path, {n: b"" for folder in folders.split() for n in numbered(f"eurosat/2750/{folder}")})
    dataset = read_paper_dataset("eurosat", root)
    assert dataset.class_names == [
        "Annual Crop Land",
        "Forest",
        "Herbaceous Vegetation Land",
        "Highway or Road",
        "Industrial Buildings",
        "Pasture Land",
        "Permanent Crop Land",
        "Residential Buildings",
        "River",
        "Sea or Lake",
    ]
    assert {(e.path.parent.name, e.label, e.class_name) for e in dataset.test if e.label in (0, 9)} == {
        ("AnnualCrop", 0, "Annual Crop Land"),
        ("SeaLake", 9, "Sea or Lake"),
    }


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"dtd/labels/x.txt": ""}, r"dtd/images: expected one sub-folder of images per class; got no such folder"),
        ({"dtd/images": ""}, r"dtd/images: expected one sub-folder .*; got .*Not a directory"),
        ({"dtd/images/1.jpg": ""}, r"dtd/images: expected one sub-folder .*; got no sub-folder"),
        ({"dtd/images/banded/readme.txt": ""}, r"dtd/images/banded: expected images; got 1 other files"),
        (images("dtd/images/a/1.jpg", "dtd/images/a/2.jpg"), r"dtd/images: class 'a': expected enough images.*got 2"),
    ],
)
def test_wrong_layouts(tmp_path, files, message):
    with pytest.raises(InputError, match=message) as raised:
        read_paper_dataset("dtd", write(tmp_path, files))
    assert str(raised.value).endswith(
        " See `cocoop datasets show dtd` for the layout and `cocoop datasets check dtd --data-root DIR` for what is "
        "missing."
    )


def test_caltech101_with_nothing_but_the_dropped_folders(tmp_path):
    with pytest.raises(InputError, match="got only BACKGROUND_Google, Faces_easy"):
        read_paper_dataset("caltech101", write(tmp_path, numbered(f"{CALTECH}/Faces_easy")))
