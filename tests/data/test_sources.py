"""`read_dataset`: which reader gets which source."""

import json
from pathlib import Path

import pytest
from PIL import Image

from cocoop.data import (
    Example,
    open_image,
    read_dataset,
    read_offline_dataset,
    read_paper_dataset,
    split_hash,
    write_miniature,
)
from cocoop.errors import InputError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COCOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path


def make(*files: str) -> None:
    for file in map(Path, files):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 3)).save(file)


def test_a_name_of_the_papers_needs_the_data_root(here):
    write_miniature("dtd", here / "root")
    make("dtd/cat/1.png", "dtd/dog/1.png")
    assert read_dataset("dtd", here / "root") == read_paper_dataset("dtd", here / "root")
    with pytest.raises(InputError, match=r"dtd: expected the data root.*--data-root.*\./dtd if a folder"):
        read_dataset("dtd")
    # A folder of that name is meant by a path.
    assert read_dataset("./dtd").class_names == read_dataset(Path("dtd")).class_names == ["cat", "dog"]


@pytest.mark.parametrize("name", ["digits"])
def test_an_offline_name_is_made_below_the_root_or_in_the_cache(here, name):
    assert read_dataset(name) == read_offline_dataset(name, here / "cache")
    assert read_dataset(name, here / "root") == read_offline_dataset(name, here / "root")
    assert {path.name for path in here.iterdir()} == {"cache", "root"}


def test_folders_and_files(here):
    make("photos/cat/1.png", "photos/dog/1.png", "parts/train/cat/1.png", "parts/test/dog/1.png")
    assert read_dataset("photos").train == [
        Example(Path("photos/cat/1.png"), 0, "cat"),
        Example(Path("photos/dog/1.png"), 1, "dog"),
    ]
    assert read_dataset("photos").name == "photos"
    assert [e.class_name for e in read_dataset(here / "parts").test] == ["dog"]
    Path("list.csv").write_text("path,label\nphotos/cat/1.png,x\nphotos/dog/1.png,y\n")
    Path("list.JSONL").write_text(
        '{"path": "photos/cat/1.png", "label": "x"}\n{"path": "photos/dog/1.png", "label": "y"}'
    )
    assert read_dataset("list.csv").train == read_dataset("list.JSONL").train
    assert read_dataset("list.csv").train == [
        Example(here / "photos/cat/1.png", 0, "x"),
        Example(here / "photos/dog/1.png", 1, "y"),
    ]


def test_a_split_file_with_paths_from_its_folder(here):
    make("data/a.png", "data/b.png", "data/c/d.png", "b.png")
    content = {"train": [["a.png", 1, "ant"]], "val": [["c/d.png", 0, "zoo"]], "test": [["b.png", 0, "zoo"]]}
    Path("data/split.json").write_text(json.dumps(content))
    dataset = read_dataset("data/split.json")
    assert dataset.class_names == ["zoo", "ant"]
    assert dataset.train == [Example(here / "data/a.png", 1, "ant")]
    assert dataset.val == [Example(here / "data/c/d.png", 0, "zoo")]
    assert dataset.test == [Example(here / "data/b.png", 0, "zoo")]
    Path("data/split.json").write_text(json.dumps(content | {"test": []}))
    assert [e.path.name for e in read_dataset("data/split.json").test] == ["d.png"]
    Path("data/split.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    assert read_dataset("data/split.json") == dataset
    elsewhere = [[str(here / "data/a.png"), 0, "ant"], ["../b.png", 1, "zoo"]]
    Path("data/split.json").write_text(json.dumps({"train": elsewhere, "val": [], "test": []}))
    dataset = read_dataset("data/split.json")
    assert [e.path.resolve() for e in dataset.train] == [here / "data/a.png", here / "b.png"]
    split_hash(dataset.train, dataset.image_root)  # all lie below it


def test_pairs_from_python(here):
    make("a.png")
    images = [Image.new("L", (4, 5), value) for value in (7, 8)]
    pairs = [("a.png", "one"), (images[0], "two"), [Path("a.png"), 3], (images[1], "two")]
    dataset = read_dataset(iter(pairs))
    assert dataset.class_names == ["3", "one", "two"] and [e.label for e in dataset.train] == [1, 2, 0, 2]
    assert dataset.train[0].path == dataset.train[2].path == here / "a.png"
    for example, image in zip(dataset.train[1::2], images, strict=True):
        assert open_image(example.path).tobytes() == image.convert("RGB").tobytes()
        assert here / "cache" in example.path.parents and dataset.image_root in example.path.parents
    assert read_dataset(pairs) == dataset
    assert here / "root" in read_dataset(pairs, here / "root").train[1].path.parents


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "nowhere: expected a data set; got no such file or folder. Give a folder with"),
        ("", ": expected a data set; got no such file or folder"),
        ("x" * 5000, "expected a data set"),
        ("a\0b", "expected a data set"),
        ("notes.txt", "notes.txt: expected a data set; got a file. Give"),
        ("bad.json", r'bad.json: expected {"train"'),
        ("one.json", "one.json: expected at least two classes; got only 'ant'"),
        ("none.json", "none.json: examples: expected at least one labelled image"),
        (3, "source: expected a name, a path or pairs of an image and its class; got int"),
        (None, "source: expected a name, a path or pairs of an image and its class; got NoneType"),
        ("nameless.json", "nameless.json: class names: expected words in every name; got '_'"),
        ("empty", "empty: expected one sub-folder of images per class"),
        ([], "expected labelled images; got none"),
        ([("notes.txt", "x"), ("notes.txt",)], r"images, number 1: expected a pair.*got tuple \(str\)"),
        ([("notes.txt", "x"), (3, "y")], r"images, number 1: expected a pair.*got tuple \(int, str\)"),
        ([("notes.txt", "x")], "at least two classes; got only 'x'"),
        (["ab", "cd"], "images, number 0: expected a pair.*got str"),
    ],
)
def test_refuses(here, source, message):
    Path("notes.txt").touch()
    make("a.png")
    Path("bad.json").write_text("[]")
    for name, classes in (("one", ["ant"]), ("none", []), ("nameless", ["ant", "_"])):
        images = [["a.png", label, class_name] for label, class_name in enumerate(classes)]
        Path(f"{name}.json").write_text(json.dumps({"train": images, "val": [], "test": []}))
    Path("empty").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        read_dataset(source)
    assert "\n" not in str(caught.value)
