"""`cocoop report`."""

from pathlib import Path
from typing import Annotated

import typer

from cocoop.progress import note

PAGE = Path("report.html")

Runs = Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold some at any depth.")]
Form = Annotated[
    str, typer.Option("--format", metavar="table|md|csv|latex|html|json", help="csv and json are unrounded.")
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write there instead of printing; html goes to report.html without it."),
]
Interval = Annotated[
    bool, typer.Option("--ci95", help="Half the 95 % interval, 1.96 std / sqrt(n), instead of the std.")
]


def report(runs: Runs, form: Form = "table", out: Out = None, ci95: Interval = False) -> None:
    """Make tables and pictures of runs, with the published figures beside one's own.

    html is one page with everything in it: tables, pictures, settings; it needs no network.

    Examples:
      cocoop report benchmark/
      cocoop report benchmark/ --format html --out report.html
      cocoop report benchmark/ other-runs/ --format csv --out figures.csv
    """
    import shlex
    import sys

    from cocoop.errors import expect_choice
    from cocoop.reports import FORMATS, format_tables, html_report, protocol_tables
    from cocoop.reports.rounding import counted
    from cocoop.results import check_file, read_records, write_text

    expect_choice("--format", form, FORMATS)
    target = out or (PAGE if form == "html" else None)
    if target is not None:
        check_file(target)
    records = read_records(runs)
    if form == "html":
        text = html_report(records, shlex.join(["cocoop", *sys.argv[1:]]), ci95)
    else:
        text = format_tables(protocol_tables(records, ci95), form)
    if target is None:
        print(text)
        return
    write_text(target, text + "\n")
    note(counted(len(records), "run"))
    print(target)
