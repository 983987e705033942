"""The options of all commands against the table in CONTRIBUTING.md, and the words that they choose from."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cocoop import METHODS
from cocoop.arguments import CUDA_GRAPH
from cocoop.bench.shapes import SHAPES
from cocoop.cli import app
from cocoop.protocols import PROTOCOLS
from cocoop.protocols.presets import PRESET_NAMES
from cocoop.reports import FORMATS as OF_REPORTS
from cocoop.rgb import EXIF
from cocoop.serving.rows import FORMATS as OF_ROWS

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield " ".join(path), command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


ROOT = typer.main.get_command(app)
OPTIONS = {
    (name, parameter.opts[0]): parameter
    for name, command in commands(ROOT)
    for parameter in command.params
    if parameter.param_type_name == "option"
}
"""(Command, option) -> what the parser knows of it."""


def table() -> dict[str, list[str]]:
    """Option -> what it may take in one command or another."""
    text = CONTRIBUTING.read_text(encoding="utf-8").replace("\\|", "¦")
    rows = re.findall(r"^\| `(--[\w-]+)`(?:, `-\w`)? \| ([^|]+) \|", text, re.MULTILINE)
    return {option: takes.replace("`", "").replace("¦", "|").strip().split(" or ") for option, takes in rows}


def taken(parameter: Any) -> str:
    if parameter.is_flag:
        return "nothing"
    return parameter.metavar or "something without a name"


def test_an_option_takes_the_same_in_all_commands_as_the_table_says():
    known = table()
    assert len(known) > 25
    assert known.keys() <= {option for _, option in OPTIONS}, "the table names an option that no command has"
    for (command, option), parameter in OPTIONS.items():
        if option in known:
            is_choice = "A|B" in known[option] and "|" in taken(parameter)
            assert is_choice or taken(parameter) in known[option], (command, option)


def test_an_option_of_several_commands_stands_in_the_table():
    having = defaultdict(list)
    for command, option in OPTIONS:
        having[option].append(command)
    assert {option for option, names in having.items() if len(names) > 1} <= table().keys()


def test_lists_have_commas():
    """Only what may hold a comma itself is repeated, and what was repeated before it took commas."""
    repeated = {option for (_, option), parameter in OPTIONS.items() if parameter.multiple}
    assert repeated == {"--plugin", "--set", "--class-counts", "--batch-sizes"}
    for (command, option), parameter in OPTIONS.items():
        assert ",..." in taken(parameter) or "comma" not in (parameter.help or ""), (command, option)


@pytest.mark.parametrize(
    ("command", "option", "words"),
    [
        ("train", "--method", [*METHODS, "..."]),  # a plugin's
        ("train", "--cuda-graph", CUDA_GRAPH),
        ("predict", "--format", OF_ROWS),
        ("report", "--format", OF_REPORTS),
        ("bench", "--shape", SHAPES),
        ("benchmark", "--preset", PRESET_NAMES),
        *(
            (command, "--exif", [word for word in EXIF if word != "original"])
            for command in ("train", "evaluate", "explain", "predict")
        ),
    ],
)
def test_the_words_to_choose_from_are_shown(cocoop, command, option, words):
    assert sorted(taken(OPTIONS[command, option]).split("|")) == sorted(set(words))
    help_text = cocoop(command, "--help").out
    assert f"{option} {taken(OPTIONS[command, option])}" in help_text


def test_the_protocols_and_dtypes_are_shown(cocoop):
    shown = "".join(cocoop("benchmark", "-h").out.split())
    assert f"{','.join([*PROTOCOLS][:-1])}or{[*PROTOCOLS][-1]}." in shown
    refused = cocoop("train", "digits", "--out", "new", "--dtype", "int4").err
    listed = re.search(r"dtype: expected one of ([\w, ]+);", refused)[1].split(", ")
    for command in {command for command, option in OPTIONS if option == "--dtype"}:
        assert sorted(taken(OPTIONS[command, "--dtype"]).split("|")) == sorted(listed)


@pytest.mark.parametrize("command", ["", "datasets", *dict(commands(ROOT))])
def test_h_is_help(cocoop, command):
    short, long = cocoop(*command.split(), "-h"), cocoop(*command.split(), "--help")
    assert short == long and short.code == 0 and "-h, --help" in short.out
