"""`read_paper_dataset`: the data root, split files, and the original's picks through it."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from raw_layouts import images, parts, write

from cocoop.data import PAPER_DATASETS, hold_out, random_split, read_paper_dataset, sample_few_shot, split_hash
from cocoop.data.papers.read import RAW_READERS
from cocoop.errors import InputError

REFERENCE = Path(__file__).parents[1] / "reference"
EXPECTED = json.loads((REFERENCE / "few_shot_expected.json").read_text(encoding="utf-8"))
SPLIT_FILES = {"oxford_pets": "OxfordPets", "dtd": "DescribableTextures"}

SPLIT = {
    "train": [["b/1.jpg", 1, "Bee hive"], ["a/1.jpg", 0, "ant"]],
    "val": [],
    "test": [["b/2.jpg", 1, "Bee hive"], ["c/1.jpg", 2, "cat"]],
}


def test_every_data_set_has_its_reader():
    assert list(RAW_READERS) == list(PAPER_DATASETS)


def test_a_split_file_is_taken_as_it_is(tmp_path):
    """Also where raw folders are there, too, and classes that only the test split has."""
    files = images(*(f"dtd/images/banded/{number}.jpg" for number in range(9)))
    root = write(tmp_path, {**files, "dtd/split_zhou_DescribableTextures.json": json.dumps(SPLIT)})
    dataset = read_paper_dataset("dtd", root)
    assert parts(dataset, root / "dtd" / "images") == {
        "train": [("b/1.jpg", 1, "Bee hive"), ("a/1.jpg", 0, "ant")],
        "val": [],
        "test": [("b/2.jpg", 1, "Bee hive"), ("c/1.jpg", 2, "cat")],
    }
    assert dataset.class_names == ["ant", "Bee hive", "cat"]
    assert not dataset.split_made
    assert read_paper_dataset("dtd", str(root)) == dataset


def test_paths_of_the_cars_split_file_start_at_the_data_sets_folder(tmp_path):
    split = {"train": [["cars_train/05266.jpg", 0, "2012 Acura RL Sedan"]], "val": [], "test": []}
    root = write(tmp_path, {"stanford_cars/split_zhou_StanfordCars.json": json.dumps(split)})
    dataset = read_paper_dataset("stanford_cars", root)
    assert dataset.train[0].path == root / "stanford_cars" / "cars_train" / "05266.jpg"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"split_zhou_DescribableTextures.json: expected a split file"),
        ({**SPLIT, "val": [["a/2.jpg", 0, "aunt"]]}, r"split_zhou_.*json: examples: .*'ant' and 'aunt' for label 0"),
        (
            {**SPLIT, "test": [["d/1.jpg", 3, "dog"]]},
            r"split_zhou_.*json: examples: expected labels 0..2 for 3 classes",
        ),
        ({"train": [], "val": [], "test": []}, r"split_zhou_.*json: examples: expected at least one"),
    ],
)
def test_split_files_that_cannot_be_read(tmp_path, content, message):
    text = content if isinstance(content, str) else json.dumps(content)
    with pytest.raises(InputError, match=message) as raised:
        read_paper_dataset("dtd", write(tmp_path, {"dtd/split_zhou_DescribableTextures.json": text}))
    assert "`cocoop datasets check dtd --data-root DIR`" in str(raised.value)


def test_a_broken_link_to_a_split_file_does_not_mean_another_split(tmp_path):
    write(tmp_path, images(*(f"dtd/images/banded/{number}.jpg" for number in range(9))))
    (tmp_path / "dtd" / "split_zhou_DescribableTextures.json").symlink_to(tmp_path / "gone.json")
    with pytest.raises(InputError, match=r"split_zhou_DescribableTextures.json: expected a split file"):
        read_paper_dataset("dtd", tmp_path)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"data set: expected one of imagenet, caltech101, .*; got 'pets'"):
        read_paper_dataset("pets", tmp_path)


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("nowhere", r"nowhere: expected the data root, which holds the folder oxford_pets of OxfordPets; got no such"),
        ("oxford_pets/list.txt", r"list.txt: expected the data root.*; got a file"),
        ("other", r"other: expected the data root.*; it holds no such folder. .* get OxfordPets: https://www.robots"),
        ("oxford_pets", r"oxford_pets: .*; got what looks like that folder itself. Give the folder above it, {above},"),
        (
            "pets",
            r"pets: .* folder itself. Give the folder above it, {above}, in which it has to be called oxford_pets",
        ),
        (
            "split",
            r"split: .* folder itself. Give the folder above it, {above}, in which it has to be called oxford_pets",
        ),
    ],
)
def test_a_wrong_root(tmp_path, root, message):
    write(tmp_path, images("oxford_pets/list.txt", "other/x.txt", "pets/images/a_1.jpg"))
    write(tmp_path, images("split/split_zhou_OxfordPets.json"))
    with pytest.raises(InputError, match=message.format(above=tmp_path)) as raised:
        read_paper_dataset("oxford_pets", tmp_path / root)
    assert "`cocoop datasets show oxford_pets`" in str(raised.value)


@pytest.fixture(scope="module", params=sorted(SPLIT_FILES))
def published(request, tmp_path_factory):
    """A data set with its published split file in place, and what is known of it."""
    row = PAPER_DATASETS[request.param]
    folder = tmp_path_factory.mktemp("data") / row.folder
    folder.mkdir()
    shutil.copy(REFERENCE / row.split_file, folder)
    return read_paper_dataset(request.param, folder.parent), EXPECTED[SPLIT_FILES[request.param]]


@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_originals_picks(published, shots, seed):
    dataset, expected = published
    expected = expected["picks"][f"shots{shots}-seed{seed}"]
    root = dataset.image_root
    train, val = sample_few_shot(dataset.train, dataset.val, shots, seed)
    assert (split_hash(train, root), split_hash(val, root)) == (expected["train_sha256"], expected["val_sha256"])
    for half in ("base", "new"):
        selected = replace(dataset, train=train, val=val).select(half)
        hashes = {"train_sha256": split_hash(selected.train, root), "test_sha256": split_hash(selected.test, root)}
        assert hashes.items() <= expected[half].items()


# Section 1.4 of the notes on the original's protocol, measured on the published files: classes; base and new classes;
# test images of base and new; the last base and the first new class; training images of the smallest class.
MEASURED = {
    "oxford_pets": (37, (19, 18), (1881, 1788), ("keeshond", "leonberger"), 74),
    "dtd": (47, (24, 23), (864, 828), ("marbled", "matted"), 60),
}


def test_measured_facts(published):
    dataset, _ = published
    base, new = dataset.select("base"), dataset.select("new")
    assert MEASURED[dataset.name] == (
        len(dataset.class_names),
        (len(base.class_names), len(new.class_names)),
        (len(base.test), len(new.test)),
        (base.class_names[-1], new.class_names[0]),
        min(Counter(example.label for example in dataset.train).values()),
    )
    assert tuple(map(len, (dataset.train, dataset.val, dataset.test))) == PAPER_DATASETS[dataset.name].sizes
    assert dataset.class_names == [*base.class_names, *new.class_names]


def test_splits_made_here_have_as_many_of_every_class_as_the_published_ones(published):
    """Another draw by the same rule: 50/20/30 for DTD, a fifth of the images for learning for OxfordPets."""
    dataset, _ = published
    if dataset.name == "dtd":
        made = random_split([*dataset.train, *dataset.val, *dataset.test], 0)
    else:
        made = (*hold_out([*dataset.train, *dataset.val], 0), dataset.test)
    for ours, theirs in zip(made, (dataset.train, dataset.val, dataset.test), strict=True):
        assert Counter(example.class_name for example in ours) == Counter(example.class_name for example in theirs)
