"""What the command line says about itself, and how little it imports for it."""

import re
import subprocess
import sys

import pytest

from cocoop.cli import app

HEAVY = ("torch", "transformers", "sklearn", "matplotlib", "numpy", "PIL", "safetensors", "scipy")
COMMANDS = sorted(command.name for command in app.registered_commands)


def test_the_commands():
    assert COMMANDS == ["demo", "evaluate", "predict", "train"]


@pytest.mark.parametrize("arguments", [[], ["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: sys.stderr.write(','.join(sorted(set({HEAVY}) & set(sys.modules)))))\n"
        "from cocoop.cli import main\n"
        f"sys.argv = ['cocoop', *{arguments}]\n"
        "main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    # Without a command, the help is there and the exit code says that something is missing.
    assert ran.returncode == (0 if arguments else 2)
    text = ran.stdout + ran.stderr
    assert text.startswith("Usage: cocoop") and "Show this message and exit." in text
    heavy_modules = ran.stderr.splitlines()[-1:] if arguments else []
    assert heavy_modules == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_as_it_is_typed(cocoop, command):
    lines = cocoop(command, "--help").out.splitlines()
    start = next(number for number, line in enumerate(lines) if re.fullmatch(r"  Examples?:", line))
    examples = lines[start + 1 : lines.index("", start)]
    assert examples and all(re.match(rf"    cocoop {command} \S|    cocoop {command}$", line) for line in examples)


def test_no_line_of_the_overview_is_cut_short(cocoop):
    out = cocoop("--help").out
    assert all(f"  {command} " in out for command in COMMANDS)
    lines = out.splitlines()
    assert lines[0] == "Usage: cocoop [OPTIONS] COMMAND [ARGS]..."
    assert not [line for line in lines[1:] if line.endswith("...")]
