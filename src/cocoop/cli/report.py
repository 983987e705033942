"""`cocoop report`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cocoop.escapes import for_stdout
from cocoop.progress import note

PAGE = Path("report.html")

Runs = Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold some at any depth.")]
Form = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="table|md|csv|latex|html|json",
        help="csv and json are unrounded. Default: html for one run folder, table for more.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write there instead of printing. Without it html goes to report.html, in the run folder if it is one.",
    ),
]
Interval = Annotated[
    bool, typer.Option("--ci95", help="Half the 95 % interval, 1.96 std / sqrt(n), instead of the std.")
]


def report(runs: Runs, form: Form = None, out: Out = None, ci95: Interval = False) -> None:
    """Make a page about one run, or tables and pictures of many, with the published figures beside one's own.

    html is one page with everything in it: tables, pictures, settings; it needs no network.

    Examples:
      cocoop report my-run
      cocoop report benchmark/
      cocoop report benchmark/ --format html --out report.html
      cocoop report benchmark/ other-runs/ --format csv --out figures.csv
    """
    import shlex
    import sys

    from cocoop.errors import expect_choice
    from cocoop.reports import FORMATS, cautions, format_tables, html_report, protocol_tables, run_report
    from cocoop.reports.rounding import counted
    from cocoop.results import check_file, read_records, write_text

    alone = len(runs) == 1 and os.path.isfile(runs[0] / "record.json")
    form = form or ("html" if alone else "table")
    expect_choice("--format", form, FORMATS)
    target = out or (_page_of(runs[0] if alone else None) if form == "html" else None)
    if target is not None:
        check_file(target)
    records, command = read_records(runs), shlex.join(["cocoop", *sys.argv[1:]])
    if form == "html":
        text = run_report(records[0], command) if alone else html_report(records, command, ci95)
    else:
        lines = cautions(records)
        text = format_tables(protocol_tables(records, ci95), form, lines)
        for line in lines if form in ("csv", "json") else ():
            note(f"warning: {line}")
    if target is None:
        print(for_stdout(text))
        return
    write_text(target, text + "\n")
    note(counted(len(records), "run"))
    print(target)


def _page_of(run: Path | None) -> Path:
    """Where a page goes: into the folder of the one run that it is about, if that can be written."""
    from cocoop.errors import InputError
    from cocoop.results import check_file

    if run is None:
        return PAGE
    try:
        check_file(run / PAGE)
    except InputError as error:
        note(f"note: {error} The page goes to {PAGE}")
        return PAGE
    return run / PAGE
