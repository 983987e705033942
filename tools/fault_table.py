"""Faults of the machine, and what comes of them: `python tools/fault_table.py` prints the table of docs/robustness.md.

The rows are those that `tests/cli/test_faults.py` runs.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
cases = import_module("fault_cases")


def main() -> None:
    """Print the table."""
    print("| kind | where | command | what is said | exit code | what is left |\n|---|---|---|---|---:|---|")
    for fault in cases.FAULTS:
        print(f"| {fault.kind} | {fault.where} | {_command(fault)} | {_said(fault)} | {fault.code} | {fault.left} |")
    print("\nWhat takes more than a command, and the tests of it:\n")
    print("| kind | where | what is left | test |\n|---|---|---|---|")
    for kind, where, left, file, _ in cases.ELSEWHERE:
        print(f"| {kind} | {where} | {left} | `tests/{file}` |")


def _command(fault: Any) -> str:
    name, *rest = fault.command.split()
    return f"`{name} {rest[0]}`" if name == "datasets" else f"`{name}`"


def _said(fault: Any) -> str:
    return f"`{fault.said}`" if fault.said else "nothing"


if __name__ == "__main__":
    main()
