import os
from pathlib import Path

import pytest

from cocoop.data import Example, read_folder
from cocoop.errors import InputError


def make(root: Path, *files: str) -> Path:
    """`read_folder` lists files without opening them, so empty ones will do."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def test_lists_classes_and_images_in_string_order(tmp_path):
    make(tmp_path, "red_fox/b.jpg", "red_fox/a.PNG", "Zebra/10.webp", "Zebra/9.tiff", "ant/x.Jpeg")
    assert read_folder(tmp_path) == [
        Example(tmp_path / "Zebra/10.webp", 0, "Zebra"),
        Example(tmp_path / "Zebra/9.tiff", 0, "Zebra"),
        Example(tmp_path / "ant/x.Jpeg", 1, "ant"),
        Example(tmp_path / "red_fox/a.PNG", 2, "red_fox"),
        Example(tmp_path / "red_fox/b.jpg", 2, "red_fox"),
    ]
    assert read_folder(str(tmp_path)) == read_folder(tmp_path)


def test_nested_images_belong_to_their_top_folder_and_sort_as_strings(tmp_path):
    make(tmp_path, "cat/in/1.jpg", "cat/in-door.jpg", "cat/a.jpg", "dog/1.jpg")
    # "-" sorts before "/" in a plain string; pathlib's own order would put in/1.jpg first.
    names = [e.path.relative_to(tmp_path).as_posix() for e in read_folder(tmp_path)]
    assert names == ["cat/a.jpg", "cat/in-door.jpg", "cat/in/1.jpg", "dog/1.jpg"]


def test_hidden_files_other_types_and_loose_files_are_left_out(tmp_path):
    make(tmp_path, "cat/1.jpg", "cat/._1.jpg", "cat/.cache/2.jpg", "cat/notes.txt", "cat/Thumbs.db")
    make(tmp_path, "dog/1.jpg", ".git/3.jpg", "overview.jpg")
    (tmp_path / "dog/folder.jpg").mkdir()
    assert [e.path.relative_to(tmp_path).as_posix() for e in read_folder(tmp_path)] == [
        "cat/1.jpg",
        "dog/1.jpg",
    ]


def test_a_hidden_parent_folder_does_not_hide_the_images(tmp_path):
    root = make(tmp_path / ".cache", "cat/1.jpg", "dog/1.jpg")
    assert len(read_folder(root)) == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "got no image in any sub-folder"),
        (["1.jpg", "2.jpg"], "one sub-folder of images per class, e.g. .*cat/1.jpg"),
        (["cat/readme.txt"], "got no image in any sub-folder"),
        (["cat/1.jpg"], "at least two classes; got only 'cat'"),
        (["cat/1.jpg", "dog/notes.txt", "emu/notes.txt"], "got none in dog, emu"),
        (["red_fox/1.jpg", "Red fox/1.jpg"], "'Red fox' and 'red_fox'"),
        (["cat/1.jpg", "__/1.jpg"], "got '__'"),
        (["Train/cat/1.jpg", "test/cat/1.jpg"], "got the splits Train, test"),
    ],
)
def test_refuses_layouts_that_are_no_class_folders(tmp_path, files, message):
    make(tmp_path, *files)
    with pytest.raises(InputError, match=message) as caught:
        read_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_links_to_folders_are_followed_once_each(tmp_path):
    make(tmp_path / "data", "cat/1.jpg", "dog/1.jpg")
    make(tmp_path / "more", "2.jpg", "in/3.jpg")
    (tmp_path / "data/cat/more").symlink_to(tmp_path / "more")
    (tmp_path / "more/in/loop").symlink_to(tmp_path / "more")
    (tmp_path / "data/emu").symlink_to(tmp_path / "more")
    names = [e.path.relative_to(tmp_path / "data").as_posix() for e in read_folder(tmp_path / "data")]
    assert names == ["cat/1.jpg", "cat/more/2.jpg", "cat/more/in/3.jpg", "dog/1.jpg", "emu/2.jpg", "emu/in/3.jpg"]


def test_a_link_that_leads_nowhere_is_listed_so_that_it_is_found_missing(tmp_path):
    make(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "cat/2.jpg").symlink_to(tmp_path / "gone.jpg")
    assert [e.path.name for e in read_folder(tmp_path)] == ["1.jpg", "2.jpg", "1.jpg"]


@pytest.mark.parametrize("folder", [".", "dog", "dog/in"])
def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch, folder):
    make(tmp_path, "cat/1.jpg", "dog/in/1.jpg")
    locked, listed = tmp_path / folder, os.scandir

    def scandir(path):
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=f"{locked}: expected a folder that can be listed; got .*denied"):
        read_folder(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    make(tmp_path, "train/1.jpg", "bus/1.jpg")
    assert len(read_folder(tmp_path)) == 2


def test_refuses_a_path_that_is_no_folder(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="got a file"):
        read_folder(make(tmp_path, "cat.jpg") / "cat.jpg")
