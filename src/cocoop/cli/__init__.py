"""The command line: parse, call, print. Results go to stdout, progress and notes to stderr.

Exit codes: 0 done, 1 the run failed, 2 the input cannot work. Nothing heavy is imported before a command runs.
"""

import inspect
import io
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from cocoop.cli import (
    bench,
    benchmark,
    datasets,
    demo,
    doctor,
    embed,
    evaluate,
    explain,
    export,
    import_prompt,
    info,
    plan,
    predict,
    push,
    report,
    serve,
    train,
)
from cocoop.cli.manners import (
    Quiet,
    Verbose,
    behave,
    exit_code,
    refusal_of_stdout,
    start_afresh,
    with_manners,
)
from cocoop.cli.renamed import with_new_names

app = typer.Typer(
    name="cocoop",
    help="Conditional prompt learning for CLIP: learn a prompt from a few images per class, classify anything.",
    epilog="Start with: cocoop demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)


datasets_app = typer.Typer(
    help="What data sets there are, what is missing of one on this disk, and miniatures to try.",
    epilog="Start with: cocoop datasets list",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("cocoop"))
        raise typer.Exit


def _root(
    wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    behave(quiet, verbose)


app.callback(help=app.info.help)(_root)


def _add(to: typer.Typer, name: str, command: Callable[..., None], short_help: str, by_ranks: bool = False) -> None:
    # A line with nothing but \b keeps click from joining the examples' lines. In the docstrings it would be in the way.
    text = (inspect.getdoc(command) or "").replace("\n\nExample", "\n\n\b\nExample")
    to.command(name, help=text, short_help=short_help)(with_manners(command, by_ranks))


_add(app, "demo", demo.demo, "Compare the three methods on real images; about a minute.")
_add(app, "info", info.info, "What a CLIP is: towers, sizes, and the memory that K classes take.")
_add(app, "train", train.train, "Learn a prompt from a folder of images.", by_ranks=True)
_add(app, "evaluate", evaluate.evaluate, "Score a learned prompt on labelled images.")
_add(app, "predict", predict.predict, "Classify pictures: files, folders, lists, tables, archives.")
_add(app, "explain", explain.explain, "Say what a prompt learned, and what it makes of images.")
_add(app, "embed", embed.embed, "Write the image features of pictures into a file.")
_add(app, "export", export.export, "Write a prompt as an ONNX model, a torch program, or a head's tensors.")
_add(app, "import", import_prompt.import_prompt, "Make a run of a prompt that the original code learned.")
_add(app, "push", push.push, "Push a run to the Hugging Face hub, with a model card.")
_add(app, "serve", serve.serve, "A page to drop pictures on, and a JSON API, for learned prompts.")
_add(app, "benchmark", benchmark.benchmark, "Carry out a protocol of the papers, many runs in one folder.")
_add(app, "report", report.report, "Tables and pictures of runs, beside the published figures.")
_add(app, "bench", bench.bench, "Measure speed and memory on this machine, beside the original's way.")
_add(app, "plan", plan.plan, "Estimate the time of many pictures, from rates measured here, and what they wait for.")
_add(app, "doctor", doctor.doctor, "Look at this machine and installation: one table for a bug report.")
app.add_typer(datasets_app, name="datasets", short_help="Data sets by name: list, show, check, sample.")
_add(datasets_app, "list", datasets.list_datasets, "All data sets that have a name, in one table.")
_add(datasets_app, "show", datasets.show, "What one is, where to get it, how it has to lie on the disk.")
_add(datasets_app, "check", datasets.check, "What is missing or miscounted on this disk.")
_add(datasets_app, "sample", datasets.sample, "Write a miniature of one in its exact layout.")


def main() -> None:
    """Entry point: run the command, and turn errors into one line and an exit code."""
    start_afresh()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if isinstance(sys.stdout, io.TextIOWrapper):  # as stderr does of itself: names of files need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    if not sys.stderr.isatty():  # nobody watches
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    command = typer.main.get_command(app)
    arguments, notes = with_new_names(sys.argv[1:], command)
    try:
        command(arguments, prog_name="cocoop", obj=notes)
    except SystemExit:
        refused = refusal_of_stdout()
        if refused is None:
            raise
    except Exception as error:
        sys.exit(exit_code(refusal_of_stdout(error) or error))
    else:
        refused = refusal_of_stdout()
    if refused is not None:
        sys.exit(exit_code(refused))
