"""Options under the names that they had before: what they meant, and one note for each."""

import pytest
from own_photos import write_photos

from cocoop.cli.renamed import renamed
from cocoop.cli.settings import parse_settings
from cocoop.results import read_run


@pytest.mark.parametrize(
    ("given", "now"),
    [
        (["--features", "DIR"], ["--feature-cache", "DIR"]),
        (["--features=DIR"], ["--feature-cache", "DIR"]),
        (["--features=a=b"], ["--feature-cache", "a=b"]),
        (["--features="], ["--feature-cache", ""]),
        (["--features", "--json"], ["--feature-cache", "--json"]),  # as the option itself would take it
        (["--compile", "off"], ["--cuda-graph", "off"]),
        (["--random-context", "4"], ["--set", "context=none", "--set", "context_length=4"]),
        (["--class-specific"], ["--set", "class_specific=true"]),
    ],
)
def test_old_options(given, now):
    arguments, notes = renamed(["train", *given, "--shots", "4"])
    assert arguments == ["train", *now, "--shots", "4"]
    assert len(notes) == 1
    assert notes[0].startswith(f"note: {given[0].partition('=')[0]} is called {now[0]} ")


@pytest.mark.parametrize("text", ["a photo of a", "none", "8", "true", '["a"]', '"quoted"', "--x", "a=b", "café", "{}"])
@pytest.mark.parametrize(
    ("old", "setting"),
    [("--context", "context"), ("--template", "templates"), ("--class-position", "class_position")],
)
def test_texts_stay_texts(old, setting, text):
    """Old options took words as they were; `--set` would read some as numbers, or as nothing."""
    for given in ([old, text], [f"{old}={text}"]):
        (option, value), notes = renamed(given)
        assert option == "--set" and parse_settings([value]) == {setting: text}
        assert notes == [
            f"note: {old} is called --set {setting}=... now; the old name will be gone in the next release"
        ]


def test_what_is_not_renamed():
    for given in (
        [],
        ["train", "photos", "--out", "run"],
        ["train", "--feature-cache", "x", "--set", "context=--features"],
        ["predict", "run", "--", "--features", "x.png"],
        ["train", "--features"],  # its value is missing: the command says so
        ["train", "--featuresx", "1"],
    ):
        assert renamed(given) == (given, [])


def test_several_come_together():
    arguments, notes = renamed(["--template", "a {}.", "--template", "the {}.", "--features", "d", "--features=e"])
    assert parse_settings(arguments[1:4:2]) == {"templates": ["a {}.", "the {}."]}
    assert arguments[4:] == ["--feature-cache", "d", "--feature-cache", "e"] and len(notes) == 4


def test_a_run_with_old_options_is_that_with_new_ones(cocoop, tmp_path):
    write_photos(tmp_path / "photos", 3)
    train = ["train", "photos", "--method", "coop", "--shots", 2, "--epochs", 2, "--no-augment"]
    old = cocoop(*train, "--out", "old", "--context", "8", "--class-position", "front", "--features=kept")
    assert old.code == 0, old.err
    assert [line.split(" is called ")[0] for line in old.err.splitlines() if " is called " in line] == [
        "note: --context",
        "note: --class-position",
        "note: --features",
    ]
    assert (tmp_path / "kept").is_dir()
    new = cocoop(*train, "--out", "new", "--set", 'context="8"', "--set", "class_position=front")
    assert new.code == 0 and " is called " not in new.err
    runs = [read_run(folder) for folder in ("old", "new")]
    assert runs[0].config == runs[1].config
    assert runs[0].config.settings["context"] == "8"
    assert (runs[0].tensors["ctx"] == runs[1].tensors["ctx"]).all()
