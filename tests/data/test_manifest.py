import csv
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cocoop.class_names import clean, composed, prompt_name
from cocoop.data import Example, read_manifest
from cocoop.errors import InputError


@pytest.fixture
def root(tmp_path) -> Path:
    for name in ("a.jpg", "b.jpg", "c.jpg", "img/d, e.jpg", "elsewhere/f.jpg"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    return tmp_path / "data"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


CSV = {
    "columns in another order, one more": "id,label,path\n1,cat,a.jpg\n2,dog,b.jpg\n",
    "Windows": "path,label\r\na.jpg,cat\r\nb.jpg,dog\r\n",
    "byte order mark": "\ufeffpath,label\na.jpg,cat\nb.jpg,dog",
    "blank lines": "path,label\n\na.jpg,cat\n\n , ,\n,,\nb.jpg,dog,\n\n",
    "blanks around": " path , label\n a.jpg, cat \nb.jpg , dog\n",
    "quotes": '"path","label"\n"a.jpg","cat"\n"b.jpg",dog\n',
}


@pytest.mark.parametrize("case", CSV)
def test_csv(root, case):
    dataset = read_manifest(write(root / "m.csv", CSV[case]))
    assert dataset.train == [Example(root / "a.jpg", 0, "cat"), Example(root / "b.jpg", 1, "dog")]
    assert (dataset.val, dataset.test, dataset.class_names) == ([], [], ["cat", "dog"])
    assert dataset.image_root == root and dataset.template == "a photo of a {}."


def test_quoted_commas_and_absolute_paths(root):
    text = f'path,label\n"img/d, e.jpg","red, striped"\n{root / "elsewhere/f.jpg"},"say ""hi"""\n'
    dataset = read_manifest(write(root / "img" / "m.CSV", text.replace("img/", "")))
    assert dataset.train == [
        Example(root / "img/d, e.jpg", 0, "red, striped"),
        Example(root / "elsewhere/f.jpg", 1, 'say "hi"'),
    ]
    assert dataset.image_root == root


def test_splits_and_a_relative_manifest(root, monkeypatch):
    lines = ["path,label,split", "a.jpg,dog,Train", "b.jpg,cat,testing", "c.jpg,dog,validation"]
    write(root / "m.csv", "\n".join(lines))
    monkeypatch.chdir(root.parent)
    dataset = read_manifest("data/m.csv")
    assert dataset.train == [Example(root / "a.jpg", 1, "dog")]
    assert dataset.val == [Example(root / "c.jpg", 1, "dog")]
    assert dataset.test == [Example(root / "b.jpg", 0, "cat")]


def test_an_empty_split_column_is_no_split(root):
    dataset = read_manifest(write(root / "m.csv", "path,label,split\na.jpg,cat,\nb.jpg,dog,\n"))
    assert len(dataset.train) == 2 and dataset.test == []


def test_jsonl_reads_the_same(root):
    rows = [
        {"path": "a.jpg", "label": "cat", "split": "train", "note": 1},
        {"path": "img/d, e.jpg", "label": "été", "split": "test"},
    ]
    text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    dataset = read_manifest(write(root / "m.jsonl", "\ufeff" + text))
    assert dataset.train == [Example(root / "a.jpg", 0, "cat")]
    assert dataset.test == [Example(root / "img/d, e.jpg", 1, "été")]
    with open(root / "m.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "split"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    same = read_manifest(root / "m.csv")
    assert (same.train, same.val, same.test) == (dataset.train, dataset.val, dataset.test)
    no_split = write(
        root / "n.jsonl", '{"path": "a.jpg", "label": "x", "split": null}\n{"path": "b.jpg", "label": "y"}'
    )
    assert len(read_manifest(no_split).train) == 2


REFUSED = {
    "empty": ("m.csv", "", "line 1: expected the names of the columns"),
    "no header": ("m.csv", "a.jpg,cat\nb.jpg,dog\n", "line 1: expected the names .* got 'a.jpg', 'cat'"),
    "bars": ("m.csv", "path|label\na.jpg|cat\n", "got 'path.label'. Other names for path: file_name, "),
    "only a header": ("m.csv", "path,label\n", "expected labelled images; got none"),
    "one class": ("m.csv", "path,label\na.jpg,cat\n", "at least two classes; got only 'cat'"),
    "no label": ("m.csv", "path,label\na.jpg,cat\nb.jpg\n", "line 3: label: expected the name of a class.*got None"),
    "empty path": ("m.csv", "path,label\n\n ,cat\n", "line 3: path: expected the path of an image"),
    "too many": ("m.csv", "path,label\na.jpg,red, striped\n", "line 2: expected as many values.*quotes"),
    "open quote": ("m.csv", 'path,label\n"a.jpg,cat\nb.jpg,dog\n', "after line 1: .*quotes that are not closed"),
    "unknown split": (
        "m.csv",
        "path,label,split\na.jpg,cat,dev\n",
        "line 2: split: expected train, val or test.*'dev'",
    ),
    "split missing": (
        "m.csv",
        "path,label,split\na.jpg,x,test\nb.jpg,y,\n",
        "line 3: .*a split, as in line 2; got none",
    ),
    "missing file": ("m.csv", "path,label\na.jpg,x\n\nno.jpg,y\nne.jpg,y\n", r"line 4: .*no .*no\.jpg \(2 of 3 are"),
    "a folder": ("m.csv", "path,label\nimg,x\nb.jpg,y\n", "line 2: expected an image file"),
    "latin-1": ("m.csv", "path,label\na.jpg,caf\xe9\n".encode("latin-1"), "UTF-8"),
    "same in a prompt": ("m.csv", "path,label\na.jpg,red_fox\nb.jpg,Red fox\n", "which read the same"),
    "not JSON": ("m.jsonl", '{"path": "a.jpg", "label": "cat"}\n\n{path: b.jpg}\n', "line 3: expected one JSON object"),
    "brackets without end": ("m.jsonl", "[" * 100_000, "line 1: expected one JSON object"),
    "a list": ("m.jsonl", '["a.jpg", "cat"]\n', "line 1: expected {.*got \\['a.jpg', 'cat'\\]"),
    "true": ("m.jsonl", '{"path": "a.jpg", "label": true}\n', "line 1: label: .*as text; got True"),
    "a split that is no text": ("m.jsonl", '{"path": "a.jpg", "label": "x", "split": 1}\n', "line 1: split: .*got '1'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_the_line(root, case):
    name, text, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as caught:
        read_manifest(write(root / name, text))
    assert "\n" not in str(caught.value)


names = (
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9)
    .filter(lambda name: name.replace("_", " ").strip() == name != "")
    .map(composed)
)


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(
        names, min_size=2, max_size=5, unique_by=lambda n: " ".join(clean(prompt_name(n)).split()).casefold()
    )
)
def test_whatever_csv_writes_is_read_back(tmp_path_factory, labels):
    root = tmp_path_factory.mktemp("m")
    images = [f"{number}.jpg" for number in range(len(labels))]
    for image in images:
        (root / image).touch()
    with open(root / "m.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label"), *zip(images, labels, strict=True)])
    dataset = read_manifest(root / "m.csv")
    assert [example.class_name for example in dataset.train] == labels
    assert dataset.class_names == sorted(labels)
    assert os.path.samefile(dataset.image_root, root)


@pytest.mark.parametrize("again", ["a.jpg,dog,train", "img/../a.jpg,cat,test"])
def test_an_image_stands_once(root, again):
    path = write(root / "m.csv", f"path,label,split\na.jpg,cat,train\nb.jpg,dog,train\n{again}\nc.jpg,dog,test\n")
    with pytest.raises(InputError, match=r"line 4: expected every image once; got .*a\.jpg, as in line 2\. Remove one"):
        read_manifest(path)
