"""Lists of class names on the command line, which classes count as the same, and the notes of what was read."""

import json

import pytest
from own_photos import write_photos

from cocoop.cli.common import split_names
from cocoop.errors import InputError

LISTS = {
    "cat,dog": ["cat", "dog"],
    " cat , red panda ": ["cat", "red panda"],
    '"panda, red",cat': ["panda, red", "cat"],
    'cat, "panda, red"': ["cat", "panda, red"],
    '"say ""hi""",5" nail': ['say "hi"', '5" nail'],
    '"@home",office': ["@home", "office"],
    "@names.txt": ["cat", "panda, red"],
    "@names.json": ["cat", "panda, red"],
}


@pytest.mark.parametrize("given", LISTS)
def test_lists(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("\ufeffcat\r\n\r\npanda, red\r\n", encoding="utf-8", newline="")
    (tmp_path / "names.json").write_text('["cat", "panda, red"]')
    assert split_names("--classes", given, at_least=2) == LISTS[given]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("cat,,dog", "--classes: expected names, comma-separated, none of them empty; got 'cat,,dog'"),
        ("", "none of them empty; got ''"),
        ('"cat,dog', "--classes: expected names, comma-separated, on one line"),
        ("cat\ndog", "on one line"),
        ("cat", "--classes: expected 2 names or more, comma-separated; got only 'cat'"),
        ("@empty.txt", "got '@empty.txt'"),
        ("@nowhere.txt", "nowhere.txt: expected names, one a line"),
        ("@bad.json", "bad.json: expected a list of names.*got int"),
    ],
)
def test_refuses(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "bad.json").write_text("3")
    with pytest.raises(InputError, match=message) as caught:
        split_names("--classes", given, at_least=2)
    assert "\n" not in str(caught.value)


def test_one_class_is_no_question(cocoop, trained):
    for command in (("evaluate", "run", "photos"), ("predict", "run", "photos/one/0.png")):
        ran = cocoop(*command, "--classes", "one")
        assert ran.code == 2 and "expected 2 names or more" in ran.err


def test_names_that_read_the_same_are_one_class(cocoop, trained, tmp_path):
    scored = json.loads(cocoop("evaluate", "run", "photos", "--classes", "one,seven,three", "--json").out)
    (tmp_path / "photos/one").rename(tmp_path / "photos/__One")
    ran = cocoop("evaluate", "run", "photos", "--json")
    assert json.loads(ran.out) == scored, ran.err
    ran = cocoop("evaluate", "run", "photos", "--classes", "ONE,two,one", "--json")
    assert ran.code == 2 and "'ONE' and 'one', which read the same in a prompt" in ran.err


def test_an_easier_question_is_said(cocoop, trained, tmp_path):
    write_photos(tmp_path / "fewer", 2, ["one", "three"])
    ran = cocoop("evaluate", "run", "fewer", "--folder-classes", "--include-training")
    assert "note: 1 of the run's 3 classes are not among the 2 to choose from here: seven." in ran.err
    assert "choose from" not in cocoop("evaluate", "run", "fewer", "--include-training").err
    assert "choose from" not in cocoop("evaluate", "run", "photos", "--folder-classes", "--include-training").err


def test_notes_stand_before_the_figures(cocoop, photos, tmp_path):
    (photos / "loose.png").write_bytes((photos / "one/0.png").read_bytes())
    said = "note: left out pictures beside the class folders (1): loose.png"
    ran = cocoop("train", "photos", "--out", "run", "--method", "zero-shot")
    assert ran.code == 0 and ran.err.splitlines()[0] == said
    assert cocoop("evaluate", "run", "photos").err.splitlines()[0] == said


def test_show_tells_what_would_be_read(cocoop, photos):
    (photos / "one/about.txt").touch()
    note = "left out files with other endings (1 .txt): one/about.txt"
    ran = cocoop("datasets", "show", "photos")
    assert ran.err == f"note: {note}\n"
    assert [row.split() for row in ran.out.splitlines()[2:]] == [
        ["|", name, "|", "6", "|", "0", "|", "0", "|"] for name in ("one", "seven", "three")
    ]
    shown = json.loads(cocoop("datasets", "show", "photos", "--json").out)
    assert shown["notes"] == [note] and shown["classes"][0] == {"class": "one", "train": 6, "val": 0, "test": 0}
    assert "expected one of" in cocoop("datasets", "show", "nowhere").err


def test_names_for_numbered_classes(cocoop, photos, tmp_path):
    names = ["one", "seven", "three"]
    (tmp_path / "names.txt").write_text("\n".join(names))
    expected = cocoop("train", "photos", "--out", "run", "--method", "zero-shot", "--json").out
    for number, name in enumerate(names):
        (photos / name).rename(photos / str(number))
    options = ("--out", "numbered", "--method", "zero-shot", "--json")
    assert "the class names are numbers" in cocoop("train", "photos", *options).err
    ran = cocoop("train", "photos", "--class-names", "names.txt", "--out", "named", "--method", "zero-shot", "--json")
    assert "numbers" not in ran.err
    figures, named = json.loads(expected), json.loads(ran.out)
    assert named["results"] == figures["results"]
    assert cocoop("evaluate", "run", "photos", "--class-names", "names.txt").code == 0
