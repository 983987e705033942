import hashlib
import json
from pathlib import Path

import pytest

from cocoop.data import Example, read_split_json, split_hash
from cocoop.errors import InputError

ENTRY = ["cat/1.jpg", 0, "cat"]


def written(tmp_path, content):
    path = tmp_path / "split.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_reads_the_three_parts(tmp_path):
    path = written(tmp_path, {"train": [ENTRY, ["dog/é.jpg", 1, "dog"]], "val": [], "test": [ENTRY]})
    cat = Example(Path("/data/cat/1.jpg"), 0, "cat")
    assert read_split_json(path, "/data") == ([cat, Example(Path("/data/dog/é.jpg"), 1, "dog")], [], [cat])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"split file.*got Expecting"),
        ("[" * 100_000, r"split file.*got .*too deep"),
        ([], "got list"),
        ({"train": [], "test": []}, r"got keys \['test', 'train'\]"),
        ({"train": [], "val": {}, "test": []}, r"got keys"),
        ({"train": [ENTRY, "cat/1.jpg"], "val": [], "test": []}, r"train\[1\]: expected"),
        ({"train": [], "val": [["cat/1.jpg", 0]], "test": []}, r"val\[0\]: expected"),
        ({"train": [], "val": [], "test": [["cat/1.jpg", "0", "cat"]]}, r"test\[0\]: expected"),
        ({"train": [], "val": [], "test": [["cat/1.jpg", True, "cat"]]}, r"test\[0\]: expected"),
        ({"train": [], "val": [], "test": [["cat/1.jpg", -1, "cat"]]}, r"test\[0\]: expected"),
        ({"train": [], "val": [], "test": [["", 0, "cat"]]}, r"test\[0\]: expected"),
    ],
)
def test_refuses_another_schema_and_names_the_place(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_split_json(written(tmp_path, content), "/data")


def test_refuses_a_missing_and_a_binary_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: expected a split file"):
        read_split_json(tmp_path / "none.json", "/data")
    (tmp_path / "split.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"split\.json: expected a split file"):
        read_split_json(tmp_path / "split.json", "/data")


def test_hash_is_that_of_the_lines():
    examples = [Example(Path("/data/é/1.jpg"), 3, "x"), Example(Path("/data/2.jpg"), 0, "y")]
    assert split_hash(examples, "/data") == hashlib.sha256("é/1.jpg\t3\n2.jpg\t0".encode()).hexdigest()
    assert split_hash(examples[::-1], "/data") != split_hash(examples, "/data")


def test_hash_does_not_depend_on_where_the_data_lie():
    def at(root):
        return split_hash([Example(Path(root, "a/1.jpg"), 1, "a")], root)

    assert at("/data") == at("elsewhere/data")


def test_hash_refuses_an_image_outside_the_root():
    with pytest.raises(InputError, match=r"2\.jpg: expected an image below .*data"):
        split_hash([Example(Path("/other/2.jpg"), 0, "y")], "/data")
