"""The README's Python runs as it stands."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cocoop.data import read_offline_dataset

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder `photos/` in the current one, twenty digits of each of two classes."""
    digits = read_offline_dataset("digits", tmp_path)
    for example in (*digits.train, *digits.val, *digits.test):
        if example.class_name in ("six", "one") and example.path.stem < "020":
            target = tmp_path / "photos" / example.class_name / example.path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(example.path, target)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def test_the_classifier_in_ten_lines(photos, capsys):
    block = BLOCKS[0]
    assert len([line for line in block.splitlines() if line]) <= 10
    names = {}
    exec(block, names)
    score, predictions = capsys.readouterr().out.strip().split("\n", 1)
    assert 0.5 < float(score) <= 1  # better than a coin on one against six
    assert re.findall("six|seven", predictions)
    assert (photos.parent / "my-run" / "record.json").is_file()


def test_the_method_underneath():
    names = {"image": Image.new("RGB", (50, 40), "red")}
    exec("import cocoop\n" + BLOCKS[1], names)
    assert names["probabilities"].shape == (1, 3)
