"""ImageNet and its four variants, by hand."""

import gc

import pytest
from raw_layouts import images, parts, write

from cocoop.data import read_paper_dataset
from cocoop.errors import InputError

CLASSNAMES = "n01440764 tench\nn03773504 missile\nn02012849 crane bird\nn04008634 missile\n"
"""Lines as in the papers' file, with its pair of equal names; not in the order of the folders."""

IMAGENET = {
    "imagenet/classnames.txt": CLASSNAMES,
    "imagenet/images/.DS_Store": "",
    **images(
        "imagenet/images/train/n04008634/n04008634_7.JPEG",
        "imagenet/images/train/n01440764/n01440764_9.JPEG",
        "imagenet/images/train/n01440764/n01440764_10.JPEG",
        "imagenet/images/train/n01440764/.n01440764_1.JPEG",
        "imagenet/images/train/n03773504/n03773504_3.JPEG",
        "imagenet/images/train/n03773504/Thumbs.db",
        "imagenet/images/val/n03773504/ILSVRC2012_val_00000002.JPEG",
        "imagenet/images/val/n01440764/ILSVRC2012_val_00000001.JPEG",
        "imagenet/images/val/n04008634/ILSVRC2012_val_00000003.JPEG",
        "imagenet/images/val/README.txt",
    ),
}


def test_imagenet(tmp_path):
    root = write(tmp_path, IMAGENET)
    dataset = read_paper_dataset("imagenet", root)
    test = [
        ("val/n01440764/ILSVRC2012_val_00000001.JPEG", 0, "tench"),
        ("val/n03773504/ILSVRC2012_val_00000002.JPEG", 1, "missile"),
        ("val/n04008634/ILSVRC2012_val_00000003.JPEG", 2, "missile"),
    ]
    assert parts(dataset, root / "imagenet" / "images") == {
        # In plain string order: 10 before 9.
        "train": [
            ("train/n01440764/n01440764_10.JPEG", 0, "tench"),
            ("train/n01440764/n01440764_9.JPEG", 0, "tench"),
            ("train/n03773504/n03773504_3.JPEG", 1, "missile"),
            ("train/n04008634/n04008634_7.JPEG", 2, "missile"),
        ],
        "val": test,
        "test": test,
    }
    assert dataset.val is dataset.test
    assert dataset.class_names == ["tench", "missile", "missile"]
    assert not dataset.split_made
    assert gc.isenabled()


def test_the_mark_that_windows_editors_put_in_front_of_utf8_is_no_part_of_the_first_line(tmp_path):
    root = write(tmp_path, {**IMAGENET, "imagenet/classnames.txt": "\ufeff" + CLASSNAMES})
    assert read_paper_dataset("imagenet", root).class_names == ["tench", "missile", "missile"]


def test_imagenetv2_folders_are_lines_of_the_list(tmp_path):
    folder = "imagenetv2/imagenetv2-matched-frequency-format-val"
    names = [f"n{number:08d} class {number}" for number in range(11)]
    files = images(*(f"{folder}/{label}/{label:040x}.jpeg" for label in range(11)))
    root = write(tmp_path, {**files, "imagenetv2/classnames.txt": "\n".join(names)})
    dataset = read_paper_dataset("imagenetv2", root)
    got = parts(dataset, root / folder)
    assert (got["train"], got["val"]) == ([], [])
    # By number: folder 2 before folder 10.
    assert got["test"][2] == ("2/0000000000000000000000000000000000000002.jpeg", 2, "class 2")
    assert got["test"][10] == ("10/000000000000000000000000000000000000000a.jpeg", 10, "class 10")
    assert dataset.class_names == [f"class {number}" for number in range(11)]


@pytest.mark.parametrize(
    ("name", "base", "folder"),
    [
        ("imagenet_sketch", "imagenet-sketch", "images"),
        ("imagenet_a", "imagenet-adversarial", "imagenet-a"),
        ("imagenet_r", "imagenet-rendition", "imagenet-r"),
    ],
)
def test_variants_number_their_own_folders(tmp_path, name, base, folder):
    files = images(f"{base}/{folder}/n02012849/b.jpg", f"{base}/{folder}/n02012849/a.jpg")
    files |= images(f"{base}/{folder}/n01440764/0.1_digital clock _ spray_0.8.jpg")
    root = write(tmp_path, {**files, f"{base}/{folder}/README.txt": "", f"{base}/classnames.txt": CLASSNAMES})
    dataset = read_paper_dataset(name, root)
    assert parts(dataset, root / base / folder) == {
        "train": [],
        "val": [],
        "test": [
            ("n01440764/0.1_digital clock _ spray_0.8.jpg", 0, "tench"),
            ("n02012849/a.jpg", 1, "crane bird"),
            ("n02012849/b.jpg", 1, "crane bird"),
        ],
    }
    assert dataset.class_names == ["tench", "crane bird"]
    assert not dataset.split_made


@pytest.mark.parametrize(
    ("changed", "gone", "message"),
    [
        ({}, "classnames.txt", r"imagenet/classnames.txt: expected .*\"n01440764 tench\"; there is no such file"),
        ({"classnames.txt": "n01440764\n"}, None, r"classnames.txt, line 1: expected .*; got 'n01440764'"),
        (
            {"classnames.txt": "n01440764 tench\n"},
            None,
            r"images/train: .*classnames.txt names; got 2 others.*n03773504",
        ),
        ({}, "images/train", r"images/train: expected one sub-folder of images per class; got no such folder"),
        ({}, "images/val/n03773504", r"images/val: expected the same sub-folders as in .*; got 1 .*first n03773504"),
        ({}, "images/val/n03773504/ILSVRC2012_val_00000002.JPEG", r"val/n03773504: expected images; got 0 other"),
    ],
)
def test_wrong_layouts(tmp_path, changed, gone, message):
    base = write(tmp_path, IMAGENET) / "imagenet"
    write(base, changed)
    if gone:
        (base / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=message):
        read_paper_dataset("imagenet", tmp_path)
    assert gc.isenabled()


def test_validation_images_that_are_not_sorted_into_folders(tmp_path):
    files = {name: content for name, content in IMAGENET.items() if "/val/" not in name}
    root = write(tmp_path, {**files, **images("imagenet/images/val/ILSVRC2012_val_00000001.JPEG")})
    with pytest.raises(InputError, match=r"images/val: expected one sub-folder of images per class; got no sub-folder"):
        read_paper_dataset("imagenet", root)


def test_imagenetv2_without_a_folder(tmp_path):
    folder = "imagenetv2/imagenetv2-matched-frequency-format-val"
    root = write(tmp_path, {**images(f"{folder}/0/a.jpeg"), "imagenetv2/classnames.txt": CLASSNAMES})
    with pytest.raises(InputError, match=r"format-val/1: expected a folder of images; got no such folder"):
        read_paper_dataset("imagenetv2", root)
