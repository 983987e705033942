"""The command line: parse, call, print. Results go to stdout, progress and notes to stderr.

Exit codes: 0 done, 1 the run failed, 2 the input cannot work. Nothing heavy is imported before a command runs.
"""

import inspect
import os
import sys
from collections.abc import Callable

import typer

from cocoop.cli import demo, evaluate, predict, train
from cocoop.errors import CocoopError, InputError

app = typer.Typer(
    name="cocoop",
    help="Conditional prompt learning for CLIP: learn a prompt from a few images per class, classify anything.",
    epilog="Start with: cocoop demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)


def _add(name: str, command: Callable[..., None], short_help: str) -> None:
    # A line of a lone \b keeps the examples' lines as they are; unlike in a docstring, here it is easy to read.
    text = (inspect.getdoc(command) or "").replace("\n\nExample", "\n\n\b\nExample")
    app.command(name, help=text, short_help=short_help)(command)


_add("demo", demo.demo, "Compare the three methods on real images; about a minute.")
_add("train", train.train, "Learn a prompt from a folder of images.")
_add("evaluate", evaluate.evaluate, "Score a learned prompt on labelled images.")
_add("predict", predict.predict, "Classify image files.")


def main() -> None:
    """Entry point: run the command, and turn this package's errors into one line and an exit code."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        app(prog_name="cocoop")
    except InputError as error:
        print(f"cocoop: {error}", file=sys.stderr)
        sys.exit(2)
    except CocoopError as error:
        print(f"cocoop: {error}", file=sys.stderr)
        sys.exit(1)
