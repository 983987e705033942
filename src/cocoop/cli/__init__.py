"""The command line: parse, call, print. Results go to stdout, progress and notes to stderr.

Exit codes: 0 done, 1 the run failed, 2 the input cannot work. Nothing heavy is imported before a command runs.
"""

import os
import sys

import typer

from cocoop.cli import demo, evaluate, predict, train
from cocoop.errors import CocoopError, InputError

app = typer.Typer(
    name="cocoop",
    help="Conditional prompt learning for CLIP: learn a prompt from a few images per class, classify anything.",
    epilog="Start with: cocoop demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)


def main() -> None:
    """Entry point: run the command, and turn this package's errors into one line and an exit code."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        app()
    except InputError as error:
        print(f"cocoop: {error}", file=sys.stderr)
        sys.exit(2)
    except CocoopError as error:
        print(f"cocoop: {error}", file=sys.stderr)
        sys.exit(1)
