"""StanfordCars and Flowers102 from MATLAB files with the field names of the original devkits, by hand."""

import json

import numpy as np
import pytest
from raw_layouts import parts, write
from scipy.io import savemat

from cocoop.data import read_paper_dataset
from cocoop.errors import InputError

NAMES = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012"]
BOX = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def annotations(*rows, fields=("class", "fname")):
    """A 1 x N struct array, as the devkit's; rows are (class number, file)."""
    kinds = [(field, object) for field in (*BOX, *fields)]
    return {"annotations": np.array([[(1, 2, 30, 40, *row) for row in rows]], dtype=kinds)}


def class_names(*names):
    """A 1 x K cell array of texts."""
    cells = np.empty((1, len(names)), dtype=object)
    cells[0] = names
    return {"class_names": cells}


@pytest.fixture
def cars(tmp_path):
    folder = tmp_path / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit" / "cars_meta.mat", class_names(*NAMES))
    learned = [(np.uint8(2), f"0000{number}.jpg") for number in range(1, 6)]
    learned += [(np.uint8(1), f"0000{number}.jpg") for number in range(6, 9)]
    savemat(folder / "devkit" / "cars_train_annos.mat", annotations(*learned))
    # The devkit's own file of the test images has no classes; it must not be taken.
    savemat(folder / "devkit" / "cars_test_annos.mat", annotations(("00001.jpg",), fields=("fname",)))
    tested = annotations((np.float64(1), "00001.jpg"), (np.uint16(2), "00002.jpg"))
    savemat(folder / "cars_test_annos_withlabels.mat", tested)
    return tmp_path


def test_stanford_cars(cars):
    """Random(0) shuffles [1, 2, 3, 4, 5] to [3, 2, 1, 5, 4] and the next [6, 7, 8] to [6, 7, 8]; the first is val."""
    dataset = read_paper_dataset("stanford_cars", cars)
    hummer, ram = "2000 AM General Hummer SUV", "2012 Ram C/V Cargo Van Minivan"
    assert parts(dataset, cars / "stanford_cars") == {
        "train": [
            ("cars_train/00002.jpg", 1, ram),
            ("cars_train/00001.jpg", 1, ram),
            ("cars_train/00005.jpg", 1, ram),
            ("cars_train/00004.jpg", 1, ram),
            ("cars_train/00007.jpg", 0, hummer),
            ("cars_train/00008.jpg", 0, hummer),
        ],
        "val": [("cars_train/00003.jpg", 1, ram), ("cars_train/00006.jpg", 0, hummer)],
        "test": [("cars_test/00001.jpg", 0, hummer), ("cars_test/00002.jpg", 1, ram)],
    }
    assert dataset.class_names == [hummer, ram]
    assert dataset.image_root == cars / "stanford_cars"
    assert dataset.split_made


FLOWERS = {"3": "canterbury bells", "1": "pink primrose", "2": "hard-leaved pocket orchid"}


def flowers(root, labels, names):
    write(root, {"oxford_flowers/cat_to_name.json": names if isinstance(names, str) else json.dumps(names)})
    savemat(root / "oxford_flowers" / "imagelabels.mat", {"labels": np.array([labels])})
    return root


def test_oxford_flowers(tmp_path):
    """Random(0) shuffles four to the order 3, 1, 2, 4, the next four to 1, 2, 4, 3; then come 2, 1 and 1 of each."""
    labels = np.array([3, 3, 1, 3, 1, 1, 3, 1, 2, 2, 2, 2], dtype=np.uint8)
    root = flowers(tmp_path, labels, FLOWERS)
    dataset = read_paper_dataset("oxford_flowers", root)
    bells, primrose, orchid = FLOWERS.values()
    orchid, primrose = "hard-leaved pocket orchid", "pink primrose"
    got = parts(dataset, root / "oxford_flowers" / "jpg")
    # Images of label 3: 1, 2, 4, 7; of label 1: 3, 5, 6, 8; of label 2: 9 to 12.
    assert got["train"][:4] == [
        ("image_00004.jpg", 2, bells),
        ("image_00001.jpg", 2, bells),
        ("image_00003.jpg", 0, primrose),
        ("image_00005.jpg", 0, primrose),
    ]
    assert got["val"][:2] == [("image_00002.jpg", 2, bells), ("image_00008.jpg", 0, primrose)]
    assert got["test"][:2] == [("image_00007.jpg", 2, bells), ("image_00006.jpg", 0, primrose)]
    assert sorted(got["train"][4:] + got["val"][2:] + got["test"][2:]) == [
        (f"image_{number:05d}.jpg", 1, orchid) for number in (9, 10, 11, 12)
    ]
    assert dataset.class_names == [primrose, orchid, bells]
    assert dataset.split_made


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([1, 2, 4], FLOWERS, r"imagelabels.mat, labels\[2\]: expected a class number from 1 to 3; got 4"),
        ([1, 0, 2], FLOWERS, r"labels\[1\]: expected a class number from 1 to 3; got 0"),
        ([1, 1.5, 2], FLOWERS, r"labels\[1\]: expected a whole number; got 1.5"),
        ([1, float("nan")], FLOWERS, r"labels\[1\]: expected a whole number; got nan"),
        ([1, float("inf")], FLOWERS, r"labels\[1\]: expected a whole number; got inf"),
        ([1, 2, 3], FLOWERS, r"imagelabels.mat: class 'pink primrose': expected enough images"),
        ([1] * 4 + [3] * 4, FLOWERS, r"images of all 3 classes; got none of 1, first 'hard-leaved pocket orchid'"),
        ([1], "{", r"cat_to_name.json: expected {\"1\": .*; got Expecting"),
        ([1], "[" * 100_000, r"cat_to_name.json: expected {\"1\": .*; got .*too deep"),
        ([1], ["rose"], r"cat_to_name.json: expected .*; got list"),
        ([1], {"a": "rose"}, r"cat_to_name.json: expected .*; got 'a': 'rose'"),
        ([1], {"0": "rose"}, r"cat_to_name.json: expected .*; got '0': 'rose'"),
        ([1], {"1": 7}, r"cat_to_name.json: expected .*; got '1': 7"),
        ([1], {"1": "rose", "3": "lily"}, r"cat_to_name.json: expected class numbers 1..K .* 2 numbers without 2"),
        ([1], {}, r"cat_to_name.json: expected class numbers 1..K without gaps; got none"),
    ],
)
def test_flowers_that_cannot_be_read(tmp_path, labels, names, message):
    with pytest.raises(InputError, match=message):
        read_paper_dataset("oxford_flowers", flowers(tmp_path, labels, names))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("devkit/cars_meta.mat", class_names("Acura RL Sedan"), r"cars_meta.mat: .*end with a year.*'Acura RL Sedan'"),
        ("devkit/cars_meta.mat", class_names(2012.0), r"cars_meta.mat: expected text; got 2012.0"),
        (
            "devkit/cars_meta.mat",
            class_names(NAMES[0]),
            r"cars_train_annos.mat, annotations\[0\]: .*from 1 to 1; got 2",
        ),
        ("devkit/cars_meta.mat", {"names": 1}, r"with the variable 'class_names'; got the variables names"),
        ("devkit/cars_meta.mat", {}, r"with the variable 'class_names'; got the variables \(none\)"),
        ("devkit/cars_train_annos.mat", {"annotations": 3}, r"fields class, fname; got none of the name 'class'"),
        (
            "cars_test_annos_withlabels.mat",
            annotations(("00001.jpg",), fields=("fname",)),
            r"withlabels.mat: expected .* fields class, fname; got none of the name 'class'",
        ),
        (
            "cars_test_annos_withlabels.mat",
            annotations(("one", "00001.jpg")),
            r"annotations\[0\]: expected a whole number; got 'one'",
        ),
        ("cars_test_annos_withlabels.mat", annotations((1, 7)), r"annotations\[0\]: expected text; got 7"),
        ("cars_test_annos_withlabels.mat", annotations(([1, 2], "1.jpg")), r"expected a whole number; got array"),
    ],
)
def test_cars_that_cannot_be_read(cars, file, content, message):
    savemat(cars / "stanford_cars" / file, content)
    with pytest.raises(InputError, match=message) as raised:
        read_paper_dataset("stanford_cars", cars)
    assert str(raised.value).startswith(str(cars / "stanford_cars"))


def test_a_mat_file_that_is_missing_or_no_mat_file(cars):
    path = cars / "stanford_cars" / "cars_test_annos_withlabels.mat"
    path.write_text("<html>404 Not Found</html>")
    with pytest.raises(InputError, match=r"withlabels.mat: expected a MATLAB file .*; got "):
        read_paper_dataset("stanford_cars", cars)
    path.unlink()
    with pytest.raises(InputError, match=r"withlabels.mat: expected a MATLAB file .*; there is no such file"):
        read_paper_dataset("stanford_cars", cars)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_mat_file_is_an_input_error(tmp_path, compressed):
    """Cut short, or with any one byte changed: read (where the byte does not matter) or refused, no other error."""
    root = flowers(tmp_path, [1] * 4 + [2] * 4 + [3] * 4, FLOWERS)
    path = root / "oxford_flowers" / "imagelabels.mat"
    savemat(path, {"labels": np.array([[1] * 4 + [2] * 4 + [3] * 4])}, do_compression=compressed)
    whole = path.read_bytes()
    damaged = [whole[:end] for end in range(0, len(whole), 7)]
    if compressed:
        # From 124: before lies free text. Uncompressed files have no checksum, and SciPy dies of some wrong type tags.
        damaged += [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(124, len(whole))]
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            read_paper_dataset("oxford_flowers", root)
        except InputError:
            refused += 1
    assert refused >= 0.9 * len(damaged)
