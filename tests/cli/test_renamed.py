"""Options under the names that they had before: what they meant, and one note for each."""

import pytest
import typer
from own_photos import write_photos

from cocoop.cli import app
from cocoop.cli.renamed import with_new_names
from cocoop.cli.settings import parse_settings
from cocoop.results import read_run


def renamed(arguments):
    return with_new_names(arguments, typer.main.get_command(app))


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
        (_, option, value), notes = renamed(["train", *given])
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
        # What another command had.
        ["demo", "--context", "x"],
        ["predict", "run", "--context", "x"],
        ["benchmark", "few-shot", "--compile", "on"],
        ["datasets", "list", "--template", "x"],
        ["no-such-command", "--context", "x"],
        ["--help", "--context", "x"],
        # The value of another option.
        ["predict", "run", "--classes", "--features", "y"],
        ["evaluate", "run", "photos", "--clip", "--features"],
        ["train", "--out", "--context", "--lr", "--class-specific", "--set", "--template"],
        ["benchmark", "few-shot", "--out", "--features", "--data-root=--features"],
    ):
        assert renamed(given) == (given, [])


def test_after_a_switch_comes_an_option():
    for switch in ("--json", "--no-augment", "--augment", "--out=run"):
        assert renamed(["train", switch, "--features", "d"])[0] == ["train", switch, "--feature-cache", "d"]


def test_an_option_that_the_command_never_had_is_called_by_its_name(cocoop):
    ran = cocoop("demo", "--context", "x")
    assert ran.code == 2 and "--context" in ran.err and "--set" not in ran.err and "note" not in ran.err


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "benchmark"])
def test_every_command_that_had_it(command):
    assert renamed([command, "--features", "d"])[0] == [command, "--feature-cache", "d"]


def test_several_come_together():
    given = ["--template", "a {}.", "--template", "the {}.", "--features", "d", "--features=e"]
    arguments, notes = renamed(["train", *given])
    assert parse_settings(arguments[2:5:2]) == {"templates": ["a {}.", "the {}."]}
    assert arguments[5:] == ["--feature-cache", "d", "--feature-cache", "e"] and len(notes) == 4


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


@pytest.mark.parametrize(
    ("given", "now"),
    [
        ("predict run photos --results-format csv", "predict run photos --format csv"),
        ("bench --classes 3 --classes 4 --images=2", "bench --class-counts 3 --class-counts 4 --batch-sizes 2"),
        ("info tiny --classes 3", "info tiny --class-counts 3"),
        ("datasets check all --root data", "datasets check all --data-root data"),
        ("datasets sample dtd --root=data --images 8", "datasets sample dtd --data-root data --images 8"),
        ("-q --verbose datasets check all --root data", "-q --verbose datasets check all --data-root data"),
        ("evaluate run photos --classes cat,dog", "evaluate run photos --classes cat,dog"),
        ("datasets show dtd --root data", "datasets show dtd --root data"),
        ("datasets --root data", "datasets --root data"),
    ],
)
def test_names_that_clashed(given, now):
    arguments, notes = renamed(given.split())
    assert arguments == now.split() and bool(notes) == (given != now)
