"""What users' folders, tables and lists of classes hold beside what is expected, and what becomes of it, a row each.

A new row needs no code: `data/test_intake.py` holds it to what it says, and `tools/intake_table.py` shows it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from PIL import Image

from cocoop.data import IMAGE_SUFFIXES, Dataset

FORMATS = {".jfif": "JPEG", ".jpe": "JPEG", ".pbm": "PPM", ".pgm": "PPM"}
"""Of endings that Pillow does not write by itself."""


class Link(NamedTuple):
    to: str


class Case(NamedTuple):
    """What lies in a folder called `data`, and what reading `source` there gives.

    pictures: names, blanks between them; the ending says the format, and without one it is a PNG. others: name -> text,
    bytes or `Link`. gives: split, class and number of images. notes: a pattern for each note, in order. refused: a
    pattern for the error instead.
    """

    pictures: str
    gives: str = ""
    notes: tuple[str, ...] = ()
    refused: str = ""
    source: str = "."
    others: Mapping[str, str | bytes | Link] = MappingProxyType({})
    class_names: str | list[str] | None = None


def make(case: Case) -> None:
    for name in case.pictures.split():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("1" if path.suffix == ".pbm" else "RGB", (4, 3)).save(
            path, FORMATS.get(path.suffix.lower(), None if path.suffix else "PNG")
        )
    for name, content in case.others.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            os.symlink(content.to, name)
        else:
            Path(name).write_bytes(content.encode() if isinstance(content, str) else content)


def summary(dataset: Dataset) -> str:
    """As "train: cat 2, dog 1; test: cat 1"."""
    parts = []
    for split in ("train", "val", "test"):
        counts = Counter(example.class_name for example in getattr(dataset, split))
        if counts:
            parts.append(f"{split}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    return "; ".join(parts)


def table(*rows: str) -> str:
    return "\n".join(rows) + "\n"


TWO = "cat/1.png dog/1.png"
BOTH = "train: cat 1, dog 1"
CATS_DOGS = "a.png,cat", "b.png,dog"

FOLDERS = {
    "jfif and jpe": Case("cat/1.jfif cat/2.jpe dog/1.JPE", "train: cat 2, dog 1"),
    "portable pixmaps": Case("cat/1.ppm cat/2.pgm dog/1.pbm", "train: cat 2, dog 1"),
    "jp2": Case("cat/1.jp2 dog/1.png", BOTH),
    "avif": Case("cat/1.avif dog/1.png", BOTH),
    "no ending": Case(f"{TWO} cat/IMG_2", BOTH, (r"left out files with other endings \(1 without any\): cat/IMG_2$",)),
    "raw and text": Case(
        TWO,
        BOTH,
        (r"other endings \(2 \.cr2, 1 \.txt\): cat/2\.CR2, cat/about\.txt, dog/3\.cr2$",),
        others={"cat/2.CR2": b"raw", "dog/3.cr2": b"raw", "cat/about.txt": "cats"},
    ),
    "more than three": Case(
        TWO,
        BOTH,
        (r"other endings \(5 \.txt\): cat/0\.txt, cat/1\.txt, cat/2\.txt, \.\.\.$",),
        others={f"cat/{number}.txt": "" for number in range(5)},
    ),
    "loose pictures": Case(
        f"{TWO} a.png b.jpg", BOTH, (r"left out pictures beside the class folders \(2\): a\.png, b\.jpg$",)
    ),
    "loose pictures of a split": Case(
        "train/cat/1.png train/dog/1.png train/a.png test/cat/2.png",
        "train: cat 1, dog 1; test: cat 1",
        (r"beside the class folders \(1\): train/a\.png$",),
    ),
    "only loose pictures": Case("a.png b.png", refused=r"got no image in any sub-folder.*class folders \(2\): a\.png"),
    "splits below the classes": Case(
        "cat/train/1.png cat/test/2.png dog/train/1.png dog/Validation/2.png",
        "train: cat 1, dog 1; val: dog 1; test: cat 1",
    ),
    "splits below one class": Case(
        "cat/train/1.png cat/test/2.png dog/1.png",
        refused="train and test below every class or none; got them below cat, and images outside of them in dog",
    ),
    "splits and pictures below a class": Case(
        "cat/train/1.png cat/test/2.png cat/3.png dog/train/1.png dog/test/2.png",
        refused="got them below cat, dog, and images outside of them in cat",
    ),
    "a sub-folder called test": Case("cat/test/1.png cat/2.png dog/1.png", "train: cat 2, dog 1"),
    "train below every class": Case("cat/train/1.png dog/train/1.png", BOTH),
    "thumbnails of a NAS": Case(
        f"{TWO} cat/@eaDir/1.png @eaDir/x/1.png", BOTH, (r"of systems \(2\): @eaDir, cat/@eaDir$",)
    ),
    "thumbnails, hidden": Case(f"{TWO} cat/.thumbnails/1.png", BOTH, (r"hidden pictures.* \(1\): cat/\.thumbnails$",)),
    "Thumbs.db and .DS_Store": Case(
        TWO, BOTH, (r"systems \(1\): cat/Thumbs\.db$",), others={"cat/Thumbs.db": b"", "cat/.DS_Store": b""}
    ),
    "zipped on a Mac": Case(f"{TWO} __MACOSX/cat/1.png", BOTH, (r"systems \(1\): __MACOSX$",)),
    "splits zipped on a Mac": Case(
        "train/cat/1.png train/dog/1.png test/cat/2.png __MACOSX/train/1.png",
        "train: cat 1, dog 1; test: cat 1",
        (r"systems \(1\): __MACOSX$",),
    ),
    "a Mac's second file": Case(TWO, BOTH, (r"hidden pictures.* \(1\): cat/\._1\.png$",), others={"cat/._1.png": b"x"}),
    "a link to the root": Case(TWO, BOTH, (r"left out links .*\(1\): cat/all$",), others={"cat/all": Link("..")}),
    "a link beside the classes to the root": Case(TWO, BOTH, (r"links .*\(1\): all$",), others={"all": Link(".")}),
    "a link above the root": Case(TWO, BOTH, (r"links .*\(1\): cat/up$",), others={"cat/up": Link("../..")}),
    "a folder around the data set": Case(
        "data/cat/1.png data/dog/1.png",
        refused=r"got only 'data'\. Add images of another class; or give data, if its folders are the classes\.$",
    ),
    "one class": Case("cat/1.png", refused=r"got only 'cat'\. Add images of another class\.$"),
    "numbers for names": Case(
        "0/1.png 1/1.png", "train: 0 1, 1 1", (r"a prompt is 'a photo of a 0\.'.*--class-names",)
    ),
    "numbers and names for them": Case(
        "0/1.png 2/1.png 10/1.png",
        "train: ant 1, cat 1, kiwi 1",
        class_names=["ant", "bee", "cat", "d", "e", "f", "g", "h", "i", "j", "kiwi"],
    ),
    "names where there are names": Case(
        TWO, refused="numbers 0..1 into the 2 names; got cat, dog", class_names=["a", "b"]
    ),
}

HEIC = {
    "a class that is all HEIC": Case(
        "dog/1.png",
        refused=r"got none in cat\..*\(2 \.heic\): cat/1\.heic, cat/2\.HEIC; HEIC needs .*cocoop\[heic\]",
        others={"cat/1.heic": b"", "cat/2.HEIC": b""},
    ),
    "some HEIC": Case(TWO, BOTH, (r"\(1 \.heic\): cat/2\.heic; HEIC needs.*",), others={"cat/2.heic": b""}),
}
"""Where HEIC cannot be read."""

TABLES = {
    "file_name": ("m.csv", table("file_name,label", *CATS_DOGS)),
    "image": ("m.csv", table("image,label", *CATS_DOGS)),
    "Path and Label": ("m.csv", table("Path,Label", *CATS_DOGS)),
    "filename and class": ("m.csv", table("filename,class", *CATS_DOGS)),
    "File Name and Class-Name": ("m.csv", table("File Name,Class-Name", *CATS_DOGS)),
    "its own name goes first": ("m.csv", table("path,label,class", "a.png,cat,x", "b.png,dog,y")),
    "semicolons": ("m.csv", table("path;label", "a.png;cat", "b.png;dog")),
    "semicolons and a comma in a name": ("m.csv", table("path;label;about", "a.png;cat;x, y", "b.png;dog;z")),
    "tabs": ("m.tsv", table("path\tlabel", "a.png\tcat", "b.png\tdog")),
    "tabs in a .csv": ("m.csv", table("path\tlabel", "a.png\tcat", "b.png\tdog")),
    "another key in JSONL": ("m.jsonl", '{"image": "a.png", "class": "cat"}\n{"image": "b.png", "class": "dog"}\n'),
    "metadata.csv of a folder": (".", {"metadata.csv": table("file_name,label", *CATS_DOGS)}),
    "metadata.jsonl of a folder": (
        ".",
        {"metadata.jsonl": '{"file_name": "a.png", "label": "cat"}\n{"file_name": "b.png", "label": "dog"}\n'},
    ),
}

LISTS = {
    "a table of two folders": Case(
        "x/a.png x/b.png y/a.png y/b.png",
        refused=r"m\.csv, line 2: expected an image file; .*but all are there from .*/x and from .*/y\. Move",
        source="m.csv",
        others={"m.csv": table("path,label", *CATS_DOGS)},
    ),
    "a table beside its images": Case(
        "images/a.png images/b.png",
        BOTH,
        (r"the paths in m\.csv start from .*/images$",),
        source="m.csv",
        others={"m.csv": table("path,label", *CATS_DOGS)},
    ),
    "a table in a folder of its own": Case(
        "images/a.png images/b.png",
        BOTH,
        (r"the paths in m\.csv start from .*/images$",),
        source="lists/m.csv",
        others={"lists/m.csv": table("path,label", *CATS_DOGS)},
    ),
    "backslashes": Case(
        "cats/a.png b.png", BOTH, source="m.csv", others={"m.csv": table("path,label", r"cats\a.png,cat", "b.png,dog")}
    ),
    "a backslash in a name": Case(
        "a\\b.png b.png", BOTH, source="m.csv", others={"m.csv": table("path,label", r"a\b.png,cat", "b.png,dog")}
    ),
    "one that is missing": Case(
        "images/a.png images/b.png",
        refused=r"line 3: .*no .*data/c\.png \(1 of 2 are missing\)\. Paths are relative to .*data, or absolute",
        source="m.csv",
        others={"m.csv": table("path,label", "images/a.png,cat", "c.png,dog")},
    ),
    "two columns for one": Case(
        "a.png b.png",
        refused="line 1: expected one column for the label; got 'class' and 'category'. Call the one",
        source="m.csv",
        others={"m.csv": table("path,class,category", "a.png,cat,x", "b.png,dog,y")},
    ),
    "a column twice": Case(
        "a.png b.png",
        refused="line 1: expected one column for the label; got 'label' and 'label'",
        source="m.csv",
        others={"m.csv": table("path,label,label", "a.png,cat,x", "b.png,dog,y")},
    ),
    "no column for the label": Case(
        "a.png b.png",
        refused=r"expected the names of the columns.*got 'file', 'text'. Other names for path: .*for label: class,",
        source="m.csv",
        others={"m.csv": table("file,text", "a.png,a cat", "b.png,a dog")},
    ),
    "two tables of a folder": Case(
        "a.png",
        refused=r"expected one table of the images; got metadata\.csv and metadata\.jsonl",
        others={"metadata.csv": "", "metadata.jsonl": ""},
    ),
    "metadata of every split": Case(
        "train/a.png train/b.png test/a.png",
        "train: cat 1, dog 1; test: cat 1",
        others={
            "train/metadata.csv": table("file_name,label", *CATS_DOGS),
            "test/metadata.jsonl": '{"file_name": "a.png", "label": "cat"}\n',
        },
    ),
    "metadata of one split": Case(
        "train/a.png train/b.png test/cat/a.png",
        refused=r"train: expected one sub-folder of images per class.*\(1 \.csv\): train/metadata\.csv",
        others={"train/metadata.csv": table("file_name,label", *CATS_DOGS)},
    ),
    "a table beside class folders": Case(
        TWO,
        BOTH,
        (r"\(1 \.csv\): metadata\.csv$",),
        others={"metadata.csv": table("file_name,text", "cat/1.png,a cat")},
    ),
    "numbers in CSV": Case(
        "a.png b.png",
        "train: 0 1, 1 1",
        (r"class names are numbers",),
        source="m.csv",
        others={"m.csv": table("path,label", "a.png,0", "b.png,1")},
    ),
    "numbers in JSONL": Case(
        "a.png b.png",
        "train: 0 1, 1 1",
        (r"class names are numbers",),
        source="m.jsonl",
        others={"m.jsonl": '{"path": "a.png", "label": 0}\n{"path": "b.png", "label": "1"}\n'},
    ),
    "numbers and a file of names": Case(
        "a.png b.png",
        "train: cat 1, red panda 1",
        source="m.csv",
        others={"m.csv": table("path,label", "a.png,0", "b.png,1"), "names.txt": "cat\n\nred panda\n"},
        class_names="names.txt",
    ),
    "numbers and a list of names": Case(
        "a.png b.png",
        "train: cat 1, panda, red 1",
        source="m.csv",
        others={"m.csv": table("path,label", "a.png,0", "b.png,1"), "names.json": '["cat", "panda, red"]'},
        class_names="names.json",
    ),
    "numbers from 1": Case(
        "a.png b.png",
        refused=r"numbers 0\.\.1 into the 2 names; got 2 in .*m\.csv.*number the labels from 0",
        source="m.csv",
        others={"m.csv": table("path,label", "a.png,1", "b.png,2")},
        class_names=["cat", "dog"],
    ),
    "names that are an object": Case(
        TWO,
        refused=r"names\.json: expected a list of names.*got dict",
        others={"names.json": "{}"},
        class_names="names.json",
    ),
    "no file of names": Case(TWO, refused=r"names\.txt: expected names, one a line", class_names="names.txt"),
    "a split file of CoOp": Case(
        "jpg/a.png jpg/b.png",
        "train: cat 1; test: dog 1",
        (r"the paths in split\.json start from .*/jpg$",),
        source="split.json",
        others={"split.json": json.dumps({"train": [["a.png", 0, "cat"]], "val": [], "test": [["b.png", 1, "dog"]]})},
    ),
    "a split file without its images": Case(
        "jpg/a.png",
        refused=r"split\.json, test\[0\]: expected an image file; there is no .*data/b\.png \(1 of 2 are missing\)",
        source="split.json",
        others={
            "split.json": json.dumps({"train": [["jpg/a.png", 0, "cat"]], "val": [], "test": [["b.png", 1, "dog"]]})
        },
    ),
    "a split file with backslashes": Case(
        "cats/a.png b.png",
        BOTH,
        source="split.json",
        others={
            "split.json": json.dumps({"train": [["cats\\a.png", 0, "cat"], ["b.png", 1, "dog"]], "val": [], "test": []})
        },
    ),
}

READ_ALIKE = {
    name: Case("a.png b.png", BOTH, source=source, others=content if isinstance(content, dict) else {source: content})
    for name, (source, content) in TABLES.items()
}
CASES = FOLDERS | READ_ALIKE | LISTS | ({} if ".heic" in IMAGE_SUFFIXES else HEIC)
