"""train, val and test folders of a user's own, and what `Dataset.with_split` makes of data without a test split."""

from pathlib import Path

import pytest

from cocoop.data import Dataset, Example, random_split, read_folder, read_folder_dataset
from cocoop.errors import InputError


def make(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def test_labels_are_those_of_all_splits_together(tmp_path):
    make(tmp_path, "train/dog/1.jpg", "train/cat/1.jpg", "val/dog/2.jpg", "test/ant/1.jpg", "test/dog/3.jpg")
    dataset = read_folder_dataset(tmp_path)
    assert dataset == Dataset(
        name=str(tmp_path),
        train=[Example(tmp_path / "train/cat/1.jpg", 1, "cat"), Example(tmp_path / "train/dog/1.jpg", 2, "dog")],
        val=[Example(tmp_path / "val/dog/2.jpg", 2, "dog")],
        test=[Example(tmp_path / "test/ant/1.jpg", 0, "ant"), Example(tmp_path / "test/dog/3.jpg", 2, "dog")],
        class_names=["ant", "cat", "dog"],
        template="a photo of a {}.",
        image_root=tmp_path,
    )
    assert dataset.with_split() is dataset


@pytest.mark.parametrize("train", ["train", "training", "Train", "TRAINING"])
@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
@pytest.mark.parametrize("test", ["test", "Testing"])
def test_the_names_of_splits(tmp_path, train, val, test):
    make(tmp_path, *(f"{split}/{name}/{split}.jpg" for split in (train, val, test) for name in ("cat", "dog")))
    dataset = read_folder_dataset(tmp_path)
    for split, images in ((train, dataset.train), (val, dataset.val), (test, dataset.test)):
        assert [example.path.stem for example in images] == [split, split]


def test_val_is_the_test_where_there_is_none(tmp_path):
    make(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "valid/cat/2.jpg")
    dataset = read_folder_dataset(tmp_path)
    assert [example.path.name for example in dataset.test] == ["2.jpg"] and dataset.val == []


def test_train_alone_is_as_a_folder_per_class(tmp_path):
    make(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg")
    dataset = read_folder_dataset(tmp_path)
    assert dataset.train == read_folder(tmp_path / "train") == read_folder_dataset(tmp_path / "train").train
    assert dataset.val == dataset.test == []


def test_a_class_may_be_empty_in_one_split(tmp_path):
    make(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/dog/1.jpg", "test/cat/notes.txt")
    assert [example.class_name for example in read_folder_dataset(tmp_path).test] == ["dog"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/1.jpg", "test/1.jpg"], "test: expected one sub-folder of images per class.*got no image"),
        (["train/cat/1.jpg", "train/dog/1.jpg", "test/1.jpg"], "test: expected one sub-folder"),
        (["train/cat/1.jpg", "test/cat/1.jpg"], "at least two classes; got only 'cat'"),
        (["train/cat/1.jpg", "train/dog/x.txt", "test/dog/x.txt", "test/cat/1.jpg"], "none in dog"),
        (["train/cat/1.jpg", "test/Cat/1.jpg"], "'Cat' and 'cat', which read the same"),
        (
            ["train/cat/1.jpg", "Test/cat/1.jpg", "more/1.jpg"],
            "expected only splits or only classes; got the splits Test, train beside more",
        ),
        (["val/cat/1.jpg", "valid/cat/1.jpg"], "one split of each kind; got 'val' and 'valid'"),
    ],
)
def test_refuses(tmp_path, files, message):
    with pytest.raises(InputError, match=message) as caught:
        read_folder_dataset(make(tmp_path, *files))
    assert "\n" not in str(caught.value)


def test_a_class_may_be_called_test(tmp_path):
    make(tmp_path, "test/1.jpg", "tube/1.jpg")
    assert read_folder_dataset(tmp_path).class_names == ["test", "tube"]


def test_with_split_draws_50_20_30_per_class(tmp_path):
    make(tmp_path, *(f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(10)))
    unsplit = read_folder_dataset(tmp_path)
    assert (len(unsplit.train), unsplit.val, unsplit.test, unsplit.split_made) == (20, [], [], False)
    dataset = unsplit.with_split()
    assert (dataset.train, dataset.val, dataset.test) == random_split(read_folder(tmp_path), seed=0)
    assert [len(split) for split in (dataset.train, dataset.val, dataset.test)] == [10, 4, 6]
    assert dataset.split_made and dataset.class_names == unsplit.class_names
    assert unsplit.with_split(1).test != dataset.test == unsplit.with_split(0).test


def test_with_split_needs_four_images_of_each_class(tmp_path):
    make(tmp_path, *(f"cat/{number}.jpg" for number in range(4)), "dog/1.jpg")
    with pytest.raises(InputError, match="class 'dog': expected enough images"):
        read_folder_dataset(tmp_path).with_split()
