import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from cocoop.data import base_to_new, class_names, open_image, read_digits, write_digits
from cocoop.errors import RunError

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits") / "new")


def test_every_pixel_of_every_digit(root):
    digits = load_digits()
    examples = read_digits(root)
    assert len(examples) == 1797
    order = np.argsort(digits.target, kind="stable")  # by class, within a class as in the data
    assert [e.label for e in examples] == digits.target[order].tolist()
    for example, values in zip(examples, digits.images[order], strict=True):
        with Image.open(example.path) as image:
            assert image.mode == "L"
            # x * 255 / 16 has the tie 127.5 at x = 8 only; Python's round takes it to 128, the even one.
            assert np.asarray(image).tolist() == [[round(x * 255 / 16) for x in row] for row in values]


def test_labels_are_the_digits_and_names_are_words(root):
    assert class_names(read_digits(root)) == NAMES
    (new,) = base_to_new(read_digits(root), half="new")
    assert class_names(new) == NAMES[5:]
    assert sorted(p.name for p in root.iterdir()) == sorted(NAMES)
    assert sum(1 for p in root.rglob("*") if p.is_file()) == 1797  # no temporary file stays


def test_reading_writes_what_is_missing_and_leaves_other_files_alone(root, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    examples = read_digits(tmp_path)
    examples[1000].path.unlink()
    assert read_digits(tmp_path) == examples
    assert open_image(examples[1000].path).size == (8, 8)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_reading_complete_digits_writes_nothing(root):
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*.png")}
    read_digits(str(root))
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*.png")} == before


def test_an_unwritable_place_is_a_run_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="1,797 small images"):
        write_digits(tmp_path / "file")


def test_the_package_imports_no_torch_and_no_scikit_learn():
    code = (
        "import sys, cocoop.data, cocoop.results; "
        "sys.exit(', '.join(m for m in ('torch', 'sklearn', 'transformers') if m in sys.modules) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
