"""What the command line says about itself, and how little it imports for it."""

import re
import subprocess
import sys

import pytest

from cocoop.cli import app

HEAVY = ("torch", "transformers", "sklearn", "matplotlib", "numpy", "PIL", "safetensors", "scipy")
GROUPS = sorted(group.name for group in app.registered_groups)
COMMANDS = sorted(command.name for command in app.registered_commands) + sorted(
    f"{group.name} {command.name}"
    for group in app.registered_groups
    for command in group.typer_instance.registered_commands
)


def test_the_commands():
    assert COMMANDS == [
        "bench",
        "benchmark",
        "demo",
        "doctor",
        "embed",
        "evaluate",
        "explain",
        "export",
        "import",
        "info",
        "plan",
        "predict",
        "push",
        "report",
        "serve",
        "train",
        "datasets check",
        "datasets list",
        "datasets sample",
        "datasets show",
    ]
    assert GROUPS == ["datasets"]


@pytest.mark.parametrize(
    "arguments", ["", *GROUPS, *(f"{command} --help".strip() for command in ("", *GROUPS, *COMMANDS))]
)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: sys.stderr.write(','.join(sorted(set({HEAVY}) & set(sys.modules)))))\n"
        "from cocoop.cli import main\n"
        f"sys.argv = ['cocoop', *{arguments.split()}]\n"
        "main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    # Without a command, the help is there and the exit code says that something is missing.
    asked = arguments.endswith("--help")
    assert ran.returncode == (0 if asked else 2)
    text = ran.stdout + ran.stderr
    assert text.startswith("Usage: cocoop") and "Show this message and exit." in text
    heavy_modules = ran.stderr.splitlines()[-1:] if asked else []
    assert heavy_modules == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_as_it_is_typed(cocoop, command):
    lines = cocoop(*command.split(), "--help").out.splitlines()
    start = next(number for number, line in enumerate(lines) if re.fullmatch(r"  Examples?:", line))
    examples = lines[start + 1 : lines.index("", start)]
    assert examples and all(re.match(rf"    cocoop {command} \S|    cocoop {command}$", line) for line in examples)


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_no_line_of_the_overview_is_cut_short(cocoop, group):
    out = cocoop(*group.split(), "--help").out
    words = [f"{group} {name}".split() for name in GROUPS * (not group)]
    words += [command.split() for command in COMMANDS]
    inside = [word[-1] for word in words if word[:-1] == group.split()]
    assert inside and all(f"  {name} " in out for name in inside)
    lines = out.splitlines()
    assert lines[0] == " ".join(["Usage: cocoop", *group.split(), "[OPTIONS] COMMAND [ARGS]..."])
    assert not [line for line in lines[1:] if line.endswith("...")]


SLOW = ("torch._dynamo", "torch._inductor", "transformers", "sklearn", "scipy", "pandas", "matplotlib", "sympy")


@pytest.mark.parametrize("options", ["", "--shortlist 2", "--classes cat,dog --top 2 --json"])
def test_a_prediction_imports_nothing_slow_but_torch(trained, options):
    """Each of these takes from a tenth of torch's own time to all of it, and a prediction of one image a fraction."""
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print(*sorted({{'torch', *{SLOW}}} & set(sys.modules)), file=sys.stderr))\n"
        "from cocoop.cli import main\n"
        f"sys.argv = ['cocoop', 'predict', 'run', 'photos/one/0.png', *{options.split()}]\n"
        "main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=trained.parent)
    assert ran.returncode == 0 and "photos/one/0.png" in ran.stdout
    assert ran.stderr.splitlines()[-1] == "torch"
