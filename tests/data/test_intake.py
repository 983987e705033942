"""What is read of users' folders and tables: every row of `intake_cases.py`, and what no row can say.

Every picture is made here and opened after it is read.
"""

from __future__ import annotations

import os
import re

import pytest
from intake_cases import BOTH, CASES, Case, make, summary
from PIL import Image

from cocoop.data import IMAGE_SUFFIXES, open_image, read_dataset, read_offline_dataset
from cocoop.errors import InputError


@pytest.mark.parametrize("name", CASES)
def test_intake(tmp_path, monkeypatch, name):
    case = CASES[name]
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    make(case)
    if case.refused:
        with pytest.raises(InputError, match=case.refused) as caught:
            read_dataset(case.source, class_names=case.class_names)
        assert "\n" not in str(caught.value)
        return
    dataset = read_dataset(case.source, class_names=case.class_names)
    assert summary(dataset) == case.gives
    assert len(dataset.notes) == len(case.notes), dataset.notes
    for note, pattern in zip(dataset.notes, case.notes, strict=True):
        assert re.search(pattern, note), note
    for example in (*dataset.train, *dataset.val, *dataset.test):
        assert open_image(example.path).size == (4, 3)
        assert dataset.class_names[example.label] == example.class_name


@pytest.mark.parametrize("ending", ["heic", "HEIF"])
def test_heic_where_it_can_be_read(tmp_path, ending):
    pytest.importorskip("pillow_heif").register_heif_opener()
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (40, 30), "red").save(tmp_path / name / f"1.{ending}", "HEIF")
    dataset = read_dataset(tmp_path)
    assert (summary(dataset), dataset.notes) == (BOTH, ())
    assert open_image(dataset.train[0].path).size == (40, 30)


@pytest.mark.skipif(".heic" in IMAGE_SUFFIXES, reason="HEIC can be read here")
def test_a_heic_that_cannot_be_opened_names_the_extra(tmp_path):
    (tmp_path / "a.HEIC").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.HEIC: .*HEIC needs pillow-heif: pip install \"cocoop\[heic\]\""):
        open_image(tmp_path / "a.HEIC")


def test_a_folder_with_a_built_in_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(Case("digits/cat/1.png digits/dog/1.png"))
    dataset = read_dataset("digits", "root")
    assert dataset.notes == ("digits is the data set of that name; ./digits is the folder here",)
    assert dataset == read_offline_dataset("digits", "root")
    assert summary(read_dataset("./digits")) == BOTH
    monkeypatch.chdir("root")
    assert read_dataset("digits", ".").notes == ()  # the folder is the data set


def test_a_pipe_is_left_out(tmp_path, monkeypatch):
    """Opening one waits for ever."""
    monkeypatch.chdir(tmp_path)
    make(Case("cat/2.png dog/1.png"))
    os.mkfifo("cat/1.png")
    dataset = read_dataset(tmp_path)
    assert dataset.notes == ("left out pipes, sockets and devices (1): cat/1.png",)
    assert summary(dataset) == BOTH


def test_a_data_set_is_shown_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(Case("data/train/cat/1.png data/train/dog/1.png data/test/cat/2.png"))
    assert repr(read_dataset("data")) == "Dataset('data': 2 classes, 2 / 0 / 1 images to train / val / test)"
