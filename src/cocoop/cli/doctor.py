"""`cocoop doctor`."""

from dataclasses import asdict

import typer

from cocoop.cli.common import AsJson, print_json
from cocoop.escapes import visible
from cocoop.pipes import pipe_table


def doctor(as_json: AsJson = False) -> None:
    """Look at this machine and installation: versions, devices, memory, disk, and a self-test of exactness.

    It prints one table, to be pasted into a bug report, and below it what to do. The self-test computes features and
    gradients of the bundled CLIP on each device and in each dtype, beside float64. Nothing is sent anywhere. Exit code
    0 if nothing is wrong, else 1; notes are not wrong.

    Examples:
      cocoop doctor
      cocoop doctor --json
    """
    from cocoop.doctor import examine

    findings = list(examine())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [(finding.check, finding.found, finding.state) for finding in findings]
        safe = [[visible(cell).replace("|", r"\|") for cell in row] for row in rows]
        print(pipe_table(["check", "found", "state"], safe, [True] * 3))
        remedies = [f"{f.state}: {f.check}: {f.remedy}" for f in findings if f.remedy]
        print("\n" + "\n".join(map(visible, remedies or ["nothing is wrong"])))
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)
